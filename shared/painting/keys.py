"""Keys of jobs: which jobs can be painted together, and which have the same result.

A group key is the largest number of jobs that may be painted together, since dispatch needs that, and a hash of all
that they must have in common: `8:3f…`. That includes the size at every scale, since two images of one final size may
differ by a pixel on the way there.

A change of what is hashed does no harm: jobs queued before and after it are not painted together, and earlier results
are not reused.

Invariant: jobs with the same group key, painted together, give the results that each would give alone.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from shared.errors import InvalidParams
from shared.painting.params import StyleParams
from shared.painting.sizes import scale_sizes

_VERSION = version("atelier")
#: A larger image keeps the device busy by itself: painting several together would gain nothing.
_MAX_PAINTED_PX = 512 * 512
#: Bounds on a group: painted pixels, jobs, and pixels of the contents as uploaded, which are in memory together
#: (0.8 GB).
_MAX_GROUP_PX = 2**19
_MAX_JOBS = 16
_MAX_ORIGINAL_PX = 2**26
#: Digits of the hash in a group key: with the count before it they fit a column of 64 characters.
_DIGITS = 48


def group_key(
    params: StyleParams,
    styles: Sequence[Mapping[str, Any]],
    content_size: tuple[int, int],
    weights: str | None,
    init_id: str | None,
) -> str | None:
    """Return the group key of a job whose content is `content_size` (height, width) as uploaded.

    None for a job that must be painted alone: one with an init image, masks, early stopping or tiles, or one that is
    too large or too narrow.
    """
    individual = init_id is not None or any(style.get("mask") for style in styles)
    if individual or params.early_stop or params.tile_size:
        return None
    try:
        sizes = scale_sizes(params, content_size)
    except InvalidParams:
        return None
    limit = _limit_by_size(sizes[-1], content_size)
    if limit < 2:
        return None
    common = {"params": params.model_dump(mode="json"), "styles": list(styles), "sizes": sizes, "weights": weights}
    return f"{limit}:{_hash(common)[:_DIGITS]}"


def group_limit(key: str) -> int:
    """Return how many jobs with this group key may be painted together."""
    return int(key.partition(":")[0])


def _limit_by_size(painted: tuple[int, int], original: tuple[int, int]) -> int:
    painted_px, original_px = math.prod(painted), math.prod(original)
    if painted_px > _MAX_PAINTED_PX:
        return 1
    return min(_MAX_GROUP_PX // painted_px, _MAX_ORIGINAL_PX // original_px, _MAX_JOBS)


def recipe_key(
    params: Mapping[str, Any],
    styles: Sequence[Mapping[str, Any]],
    init_id: str | None = None,
    weights: str | None = None,
    *,
    depth: int = 8,
    keep_metadata: bool = False,
) -> str:
    """Hash all that decides a result but the content.

    That is the params in full, styles, init, weights demanded, what the file holds beside the picture, our version.
    """
    recipe: list[Any] = [_VERSION, init_id, weights, dict(params), [dict(style) for style in styles]]
    if (depth, keep_metadata) != (8, False):
        recipe += [depth, keep_metadata]
    return _hash(recipe)


def result_key(recipe: str, content_id: str) -> str:
    """Hash all that decides a result: a `recipe_key` and the content."""
    return hashlib.sha256(f"{recipe} {content_id}".encode()).hexdigest()


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
