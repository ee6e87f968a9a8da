"""What tells that a job would become a picture that was painted before: everything that decides it, but the weights.

The weights are known only once a worker has the job; whoever takes a picture over compares them too.

Invariant: jobs with one key, painted with equal weights on one kind of device, become the same picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any


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
