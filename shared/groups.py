"""Which jobs can be painted in one optimisation: those with the same key.

The key says how many of them at most, since dispatch has to know and nothing else of the job tells it: `8:` and
a hash of all that must be equal. Params and styles in full, the weights wanted, and the size at every scale: two
pictures that end at one size may differ by a pixel on the way there.

Invariant: jobs with one key, painted together, become what each would have become alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import InvalidParams
from shared.params import StyleParams
from shared.sizes import fitted, long_sides

#: A larger picture keeps the device busy by itself: painting several together would gain nothing but waiting.
_MOST_PX = 512 * 512
#: Pixels that a group has together at most, and pictures.
_GROUP_PX = 2**19
_MOST_JOBS = 16
#: Digits of the hash in a key, which with the count before it fits the column of 64.
_DIGITS = 48


def group_key(
    params: StyleParams,
    styles: Sequence[Mapping[str, Any]],
    content_size: tuple[int, int],
    weights: str | None,
    init_id: str | None,
) -> str | None:
    """Name the group of a job whose content is `content_size` (height, width) as uploaded.

    None for a job to be painted alone: it starts from a picture of its own, or is too large or too narrow.
    """
    if init_id is not None:
        return None
    try:
        sizes = scale_sizes(params, content_size)
    except InvalidParams:
        return None
    height, width = sizes[-1]
    if height * width > _MOST_PX:
        return None
    equal = {"params": params.model_dump(mode="json"), "styles": list(styles), "sizes": sizes, "weights": weights}
    digest = hashlib.sha256(json.dumps(equal, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return f"{min(_GROUP_PX // (height * width), _MOST_JOBS)}:{digest[:_DIGITS]}"


def most_in_group(key: str) -> int:
    """Read from a key how many jobs of its group may be painted together."""
    return int(key.partition(":")[0])


def scale_sizes(params: StyleParams, content_size: tuple[int, int]) -> list[tuple[int, int]]:
    """List the (height, width) that a content passes through; raise `InvalidParams` if it is too narrow."""
    return [fitted(content_size, side) for side in long_sides(params, content_size)]
