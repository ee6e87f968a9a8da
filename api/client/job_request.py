"""Requests about jobs, as the client's caller writes them and as the server reads them: a new job, a filter of jobs.

Callers give pictures as ids, files or bytes; the server reads ids. Anything left out is the server's to decide.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypedDict

from .names import UNPRINTABLE
from .transport import timestamp

#: A picture: the id of an uploaded one, a file, or encoded bytes.
Source = str | Path | bytes
#: A style, optionally with its weight in the blend.
Style = Source | tuple[Source, float]


class JobOptions(TypedDict, total=False):
    """What a job may be asked for besides content and styles; None leaves it to the server.

    `masks` say where each style applies, in the order of the styles; None, or a missing one, means everywhere. The
    first scale starts from `init_image`, or from the result of the job `init_job`. A job that has not started by
    `start_by`, a time with a UTC offset, expires. `webhook` is called when the job ends, and its files are kept for
    `retention_s` after that. The result has a `depth` of 8 or 16 bits per channel and, with `keep_metadata`, date,
    camera, place and resolution of the content. Downloads are named after `name`, by default the content's file name.
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
    depth: int | None
    keep_metadata: bool | None
    name: str | None


class RetryOptions(TypedDict, total=False):
    """What a retry of a job may change; what is not given stays as it was. None removes a limit or the webhook."""

    priority: int
    metadata: Mapping[str, Any]
    start_by: datetime | None
    time_limit_s: float | None
    webhook: str | None
    retention_s: float | None


class FilterOptions(TypedDict, total=False):
    """Which jobs to list or to act on: those that match every given field; None matches any job.

    `states` are alternatives, `code` is the error that a job failed with, `batch` the id of the batch that a job is an
    item of. Times need a UTC offset.
    """

    states: Sequence[str]
    code: str | None
    owner: str | None
    label: str | None
    batch: str | None
    created_after: datetime | None
    created_before: datetime | None


def filter_request(filters: FilterOptions) -> dict[str, Any]:
    """Build the filter that the server reads, from the fields that are given."""
    fields = {
        **{name: value for name, value in filters.items() if name != "states"},
        "created_after": timestamp(filters.get("created_after")),
        "created_before": timestamp(filters.get("created_before")),
        "state": list(filters.get("states", ())) or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def retry_request(options: RetryOptions) -> dict[str, Any]:
    """Build the body of a retry from the options that are given."""
    start_by = {"start_by": timestamp(options["start_by"])} if "start_by" in options else {}
    return {**options, **start_by}


def job_request(
    content: Source, styles: Sequence[Style], options: JobOptions, image_id: Callable[[Source], str]
) -> dict[str, Any]:
    """Build the body of the request; `image_id` uploads a source that is not an id yet.

    Raises `ValueError` if there are more masks than styles.
    """
    masks = options.get("masks", ())
    if len(masks) > len(styles):
        raise ValueError(f"There are more masks ({len(masks)}) than styles ({len(styles)}).")
    init_image = options.get("init_image")
    request = {
        **{name: value for name, value in options.items() if name != "masks"},
        "content": image_id(content),
        "name": _name(options.get("name") or (content.name if isinstance(content, Path) else None)),
        "styles": [_style(style, mask, image_id) for style, mask in zip_longest(styles, masks)],
        "init_image": image_id(init_image) if init_image is not None else None,
        "start_by": timestamp(options.get("start_by")),
    }
    return {name: value for name, value in request.items() if value is not None and value != {}}


def _name(name: str | None) -> str | None:
    """Replace what a request cannot have: bytes that are not UTF-8, and control characters."""
    return None if name is None else UNPRINTABLE.sub("\ufffd", os.fsencode(name).decode(errors="replace"))


def _style(style: Style, mask: Source | None, image_id: Callable[[Source], str]) -> dict[str, Any]:
    source, weight = style if isinstance(style, tuple) else (style, 1.0)
    masked = {"mask": image_id(mask)} if mask is not None else {}
    return {"image": image_id(source), "weight": weight, **masked}
