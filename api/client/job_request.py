"""What a job is asked for with, as the client's caller writes it and as the server reads it.

Pictures come as ids, files or bytes here and as ids there; what is not wished for is left to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypedDict

#: An image: the id of an uploaded one, a file, or encoded bytes.
Source = str | Path | bytes
#: A style, which may come with its share in the blend.
Style = Source | tuple[Source, float]


class Wishes(TypedDict, total=False):
    """What may be wished beside content and styles; None wishes nothing.

    `masks` say where each style counts, in the order of the styles; None, or none, is everywhere. The first scale
    starts from `init_image`, or from what the job `init_job` painted. A job that has not begun by `start_by`, a moment
    with its zone, expires. Its end is told to `webhook`, and its files stay for `retention_s` after it.
    """

    masks: Sequence[Source | None]
    init_image: Source | None
    init_job: str | None
    preset: str | None
    params: Mapping[str, Any] | None
    weights: str | None
    label: str | None
    priority: int | None
    metadata: Mapping[str, Any] | None
    start_by: datetime | None
    time_limit_s: float | None
    webhook: str | None
    retention_s: float | None


def job_request(
    content: Source, styles: Sequence[Style], wishes: Wishes, image_id: Callable[[Source], str]
) -> dict[str, Any]:
    """Write the request; `image_id` uploads what is no id yet. More masks than styles raise `ValueError`."""
    masks = wishes.get("masks", ())
    if len(masks) > len(styles):
        raise ValueError(f"There are more masks ({len(masks)}) than styles ({len(styles)}).")
    start_by, init_image = wishes.get("start_by"), wishes.get("init_image")
    plain = {name: value for name, value in wishes.items() if name not in ("masks", "init_image", "start_by")}
    request = {
        "content": image_id(content),
        "styles": [_style(style, mask, image_id) for style, mask in zip_longest(styles, masks)],
        "init_image": image_id(init_image) if init_image is not None else None,
        "start_by": start_by.isoformat(timespec="milliseconds") if start_by else None,
        **plain,
    }
    return {name: value for name, value in request.items() if value is not None and value != {}}


def _style(style: Style, mask: Source | None, image_id: Callable[[Source], str]) -> dict[str, Any]:
    source, share = style if isinstance(style, tuple) else (style, 1.0)
    masked = {"mask": image_id(mask)} if mask is not None else {}
    return {"image": image_id(source), "weight": share, **masked}
