"""Keys of jobs: which can be painted in one optimisation, and which have the same picture.

The key says how many of them at most, since dispatch has to know and nothing else of the job tells it: `8:` and
a hash of all that must be equal. Params and styles in full, the weights wanted, and the size at every scale: two
pictures that end at one size may differ by a pixel on the way there.

Invariant: jobs with one key, painted together, become what each would have become alone.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from shared.errors import InvalidParams
from shared.painting.params import StyleParams
from shared.painting.sizes import scale_sizes

#: A larger picture keeps the device busy by itself: painting several together would gain nothing but waiting.
_MOST_PX = 512 * 512
#: Pixels that a group has together at most, and pictures.
_GROUP_PX = 2**19
_MOST_JOBS = 16
#: Pixels of the contents as uploaded, which are in memory together while a group is painted: 0.8 GB.
_ORIGINALS_PX = 2**26
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

    None for a job to be painted alone: it has a start or regions of its own, its steps depend on its losses, or it
    is too large or too narrow.
    """
    own = init_id is not None or any(style.get("mask") for style in styles)
    if own or params.early_stop or params.tile_size:
        return None
    try:
        sizes = scale_sizes(params, content_size)
    except InvalidParams:
        return None
    most = _most(sizes[-1], content_size)
    if most < 2:
        return None
    equal = {"params": params.model_dump(mode="json"), "styles": list(styles), "sizes": sizes, "weights": weights}
    digest = hashlib.sha256(json.dumps(equal, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return f"{most}:{digest[:_DIGITS]}"


def most_in_group(key: str) -> int:
    """Read from a key how many jobs of its group may be painted together."""
    return int(key.partition(":")[0])


def _most(painted: tuple[int, int], original: tuple[int, int]) -> int:
    painted_px, original_px = math.prod(painted), math.prod(original)
    if painted_px > _MOST_PX:
        return 1
    return min(_GROUP_PX // painted_px, _ORIGINALS_PX // original_px, _MOST_JOBS)


def way_key(
    params: Mapping[str, Any],
    styles: Sequence[Mapping[str, Any]],
    init_id: str | None = None,
    weights: str | None = None,
) -> str:
    """Hash how is painted, and by which version; `params` in full, `weights` those that the client insists on."""
    how = [_version(), init_id, weights, dict(params), [dict(style) for style in styles]]
    return hashlib.sha256(json.dumps(how, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def work_key(way: str, content_id: str) -> str:
    """Hash what is painted in the way of a `way_key`, which many pictures share."""
    return hashlib.sha256(f"{way} {content_id}".encode()).hexdigest()


@cache
def _version() -> str:
    return version("atelier")
