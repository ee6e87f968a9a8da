"""A job as it was asked for, before it is queued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from api.access import Caller
from api.schemas import jobs
from api.schemas.jobs import JobRequest
from api.usecases.images import File
from shared.painting.costs import Estimate
from shared.painting.params import StyleParams
from shared.painting.sizes import Size


@dataclass(frozen=True)
class Submission:
    """A job as it was asked for: its form is right, its pictures are not checked yet."""

    caller: Caller
    request: JobRequest
    params: StyleParams
    #: What came with it, by the id that each gets when it is kept.
    files: Mapping[str, File] = field(default_factory=dict)
    #: The picture that it starts from, once that is found.
    init_id: str | None = None


class Sizes(NamedTuple):
    """How large the originals are."""

    content: Size
    styles: list[Size]


def dry_run_view(submission: Submission, estimate: Estimate | None) -> jobs.DryRunView:
    """Show a job that is not queued."""
    request = submission.request
    return jobs.DryRunView(
        preset=request.preset.value,
        params=submission.params.model_dump(mode="json"),
        weights={"name": request.weights} if request.weights_wanted() else None,
        content=request.content,
        styles=request.style_choices(),
        init_image=submission.init_id,
        estimate=estimate
        and jobs.EstimateView(
            seconds=round(estimate.seconds, 3),
            peak_bytes=estimate.peak_bytes,
            tile_size=estimate.tile_size,
            scales=[jobs.SizeView(width=width, height=height) for height, width in estimate.scales],
        ),
    )
