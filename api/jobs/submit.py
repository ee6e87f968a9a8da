"""Submitting a job: read → validate → prepare → queue. A dry run ends after validate, before anything is stored.

`queue` writes in its caller's transaction, so that a view can store its answer along with the job. The steps before it
decode pictures and store their bytes, which takes too long for a transaction.

Invariant: a queued job has all its pictures, and a refused one leaves none of those that came with it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from api.access import Caller
from api.http.bodies import JobForm
from api.http.problems import pointed_error, validated
from api.jobs import checks, estimates
from api.jobs.estimates import Sizes
from api.live.forecaster import Forecaster
from api.schemas.jobs import JobRequest
from api.schemas.retries import RetryRequest
from api.usecases.file_names import safe_name
from api.usecases.images import Upload, inspect_upload, record_uploads, stored
from shared import clock, ids, logs
from shared.db import images
from shared.db.access import quotas
from shared.db.admin import audit
from shared.db.base import Database, on_commit
from shared.db.jobs import queries, retries, transitions
from shared.db.models import Image, Job
from shared.errors import IdTaken, NotFound, UnknownImage
from shared.imaging.codec import ImageInfo
from shared.imaging.decoders.pool import Decoders
from shared.messaging.dispatch import Dispatcher
from shared.painting import sizes as sizes_of_scales
from shared.painting.costs import Estimate
from shared.painting.keys import group_key, recipe_key, result_key
from shared.painting.params import StyleParams
from shared.painting.sizes import Size
from shared.settings import Settings
from shared.states import State
from shared.storage.store import ImageStore

log = logs.get(__name__)

#: ETAs that lie further away are recorded as this far, in seconds: a year.
_MAX_ETA_S = 365 * 86_400.0


@dataclass(frozen=True)
class Submission:
    """A job as its client asks for it: its form is valid and its uploads undamaged; the rest is not checked yet."""

    caller: Caller
    request: JobRequest
    params: StyleParams
    #: The pictures that came with it, by the id that each gets when it is stored.
    uploads: Mapping[str, Upload] = field(default_factory=dict)
    #: The image to start from, once that is known.
    init_id: str | None = None
    #: The file name of the photograph, if that is known.
    name: str | None = None


class ValidJob(NamedTuple):
    """A submission that could be queued, and what it would take; None while no worker has reported its capacity."""

    submission: Submission
    sizes: Sizes
    estimate: Estimate | None


class PreparedJob(NamedTuple):
    """A job that only has to be queued, and its work in px·steps; the bytes of its `uploads` are stored."""

    caller: Caller
    job: Job
    work: int
    uploads: Mapping[str, Upload] = MappingProxyType({})


@dataclass(frozen=True)
class Submitter:
    """Takes a job from its request to the queue."""

    settings: Settings
    database: Database
    store: ImageStore
    decoders: Decoders
    forecaster: Forecaster
    dispatcher: Dispatcher

    def read(self, caller: Caller, form: JobForm) -> Submission:
        """Validate a job's form and inspect its files; raise `InvalidParams`, or what is wrong with a picture."""
        request = validated(JobRequest, form.body)
        checks.check_limits(self.settings, caller, request.time_limit_s, request.retention_s)
        checks.check_priority(caller, request.priority)
        params = checks.resolve_params(request.preset, request.params)
        uploads = {image_id: inspect_upload(self.decoders, data, caller) for image_id, data in form.files.items()}
        name = request.name or form.name
        return Submission(caller, request, params, uploads, init_id=request.init_image, name=name)

    def validate(self, submission: Submission) -> ValidJob:
        """Check the job as far as that is possible without storing anything, and predict what it takes.

        Raises `ForbiddenUrl`, `UnknownImage`, `InvalidMask`, `TooLarge`, or `InvalidParams` for sizes at which the
        pictures cannot be painted.
        """
        if submission.request.webhook is not None:
            checks.check_webhook(self.settings, submission.request.webhook)
        if submission.request.init_job is not None:
            submission = self._with_result_of(submission, submission.request.init_job)
        sizes = self._checked_pictures(submission)
        with self.database.reading() as session:
            return ValidJob(submission, sizes, estimates.estimate(session, submission.params, sizes))

    @contextmanager
    def prepared(
        self, submission: Submission, *, job_id: str | None = None, fingerprint: str | None = None
    ) -> Iterator[PreparedJob]:
        """Validate a submission and store the pictures that came with it, to be queued in the block.

        If the block raises, they are removed again. A `job_id` of the client's choosing comes with the `fingerprint` of
        its request. Raises as `validate`.
        """
        submission, sizes, estimate = self.validate(submission)
        job = self._job(submission, sizes)
        job.predicted_s = estimate.seconds if estimate else None
        if job_id is not None:
            job.id, job.sort_id, job.fingerprint = job_id, job.id, fingerprint
        work = sizes_of_scales.work(submission.params, sizes.content, sizes.styles)
        with stored(self.database, self.store, submission.uploads):
            yield PreparedJob(submission.caller, job, work, submission.uploads)

    def retry(self, caller: Caller, job_id: str, request: RetryRequest | None = None) -> PreparedJob:
        """Prepare another job like one that has ended, but for what `request` changes.

        Raises `NotFound`, `IllegalTransition` if it has not ended, `UnknownImage` if a picture of it is gone, and
        `InvalidParams` or `ForbiddenUrl` for a change that is not allowed.
        """
        changes = self._changes(caller, request or RetryRequest())
        with self.database.reading() as session:
            former = queries.get_job(session, job_id, owner=caller.sees)
            job = retries.copy_for_retry(former, changes, keeps_lead=caller.is_operator)
            work = retries.compute_work(job, queries.get_images(session, retries.image_ids(job)))
        return PreparedJob(caller, job, work)

    def _changes(self, caller: Caller, request: RetryRequest) -> dict[str, Any]:
        """Check what a retry changes; return it by the attributes of a job."""
        checks.check_limits(self.settings, caller, request.time_limit_s, request.retention_s)
        checks.check_priority(caller, request.priority)
        if request.webhook is not None:
            checks.check_webhook(self.settings, request.webhook)
        changes = request.model_dump(exclude_unset=True)
        if "retention_s" in changes:
            changes["retention_s"] = request.retention_s or checks.max_retention_s(self.settings, caller)
        if "metadata" in changes:
            changes["annotations"] = changes.pop("metadata")
        return changes

    def queue(self, session: Session, prepared: PreparedJob) -> Job:
        """Queue a job in the caller's transaction, and nudge the dispatcher once that is committed: nothing → queued.

        Raises `QuotaExceeded`, `IdTaken`, and `UnknownImage` if a picture has just gone.
        """
        caller, job, work, uploads = prepared
        record_uploads(session, self.store, uploads, caller)
        images.record_use(session, retries.image_ids(job))
        quotas.charge(session, caller.quota_for(session, job.owner), work=work)
        self._record_eta(session, job)
        transitions.create(session, job)
        if job.retry_of is not None:
            audit.record(session, caller, "job.retry", job.retry_of, details={"job_id": job.id})
        on_commit(session, log.info, "job_queued", job_id=job.id, preset=job.preset)
        on_commit(session, self.dispatcher.nudge)
        return job

    def submit(self, prepared: PreparedJob) -> Job:
        """Queue a job in a transaction of its own."""
        with self.database.writing("submit") as session:
            return self.queue(session, prepared)

    def was_submitted(self, caller: Caller, job_id: str, fingerprint: str) -> bool:
        """Say whether the caller has submitted this very job under its id.

        Raises `IdTaken` for another job of the caller's. A job of another owner counts as none, so that nothing is
        learnt of it before a request has been validated as for any unused id.
        """
        with self.database.reading() as session:
            found = session.get(Job, job_id)
        if found is None or found.owner != caller.owner:
            return False
        if found.fingerprint != fingerprint:
            raise IdTaken(f"The id {job_id} is already in use.")
        return True

    def charge(self, prepared: PreparedJob) -> None:
        """Charge a job that was refused because its id is another owner's, so that trying ids costs what jobs cost."""
        with self.database.writing("submit") as session:
            quotas.charge(session, prepared.caller.quota, work=prepared.work)

    def _with_result_of(self, submission: Submission, job_id: str) -> Submission:
        """Start from another job's picture, stored like an upload, so that it outlives that job."""
        data = self._result_of(job_id, submission.caller)
        image_id = ids.image_id(data)
        uploads = {**submission.uploads, image_id: inspect_upload(self.decoders, data, submission.caller)}
        return replace(submission, uploads=uploads, init_id=image_id)

    def _result_of(self, job_id: str, caller: Caller) -> bytes:
        try:
            with self.database.reading() as session:
                job = queries.get_job(session, job_id, owner=caller.sees)
        except NotFound as error:
            raise pointed_error("/init_job", error.detail) from None
        if job.state != State.SUCCEEDED or not job.result:
            raise pointed_error("/init_job", f"The job is {job.state}; start from one that has succeeded.")
        gone = pointed_error("/init_job", "The job's picture is gone.")
        if job.files_gone_at is not None:
            raise gone
        try:
            return self.store.get(job.result["key"])
        except NotFound:  # deleted since its row was read, or lost
            raise gone from None

    def _checked_pictures(self, submission: Submission) -> Sizes:
        """Check that every picture is known and fits; return the sizes of the originals."""
        styles = submission.request.style_choices()
        masks = {f"/styles/{number}/mask": style.mask for number, style in enumerate(styles) if style.mask}
        content, start = submission.request.content, [submission.init_id] if submission.init_id else []
        found = self._sizes(submission, [content, *(style.image for style in styles), *masks.values(), *start])
        sizes = Sizes(found[content], [found[style.image] for style in styles])
        checks.check_sizes(submission.params, *sizes)
        for pointer, mask in masks.items():
            checks.check_mask_shape(pointer, found[mask], sizes.content)
        for mask, pointer in {mask: pointer for pointer, mask in reversed(masks.items())}.items():
            upload = submission.uploads.get(mask)
            data, owner = upload and upload.data, submission.caller.owner
            checks.check_mask_paints(self.store, self.decoders, pointer, mask, data, owner=owner)
        return sizes

    def _sizes(self, submission: Submission, wanted: Iterable[str]) -> dict[str, Size]:
        """Return the size of each picture, uploaded with the request or before; raise `UnknownImage`."""
        found: dict[str, ImageInfo | Image] = {image_id: each.info for image_id, each in submission.uploads.items()}
        with self.database.reading() as session:
            found |= queries.get_images(session, set(wanted) - set(found), owner=submission.caller.sees)
        unknown = sorted(set(wanted) - set(found))
        if unknown:
            raise UnknownImage(f"No image {unknown[0]} has been uploaded.", images=unknown)
        return {image_id: (picture.height, picture.width) for image_id, picture in found.items()}

    def _job(self, submission: Submission, sizes: Sizes) -> Job:
        request, params = submission.request, submission.params
        styles = [style.model_dump(exclude_none=True) for style in request.style_choices()]
        weights, painted = request.weights_wanted(), params.model_dump(mode="json")
        output = request.model_dump(include={"depth", "keep_metadata"})
        recipe = recipe_key(painted, styles, submission.init_id, weights, **output)
        return Job(
            id=ids.new_id(),
            owner=submission.caller.owner,
            preset=request.preset.value,
            params=painted,
            weights_wanted=weights,
            content_id=request.content,
            styles=styles,
            init_id=submission.init_id,
            group_key=group_key(params, styles, sizes.content, weights, submission.init_id),
            work_key=result_key(recipe, request.content),
            content_name=safe_name(submission.name) if submission.name else None,
            retention_s=request.retention_s or checks.max_retention_s(self.settings, submission.caller),
            annotations=request.metadata,
            **request.model_dump(include={"reuse", "priority", "webhook", "start_by", "time_limit_s", "label"}),
            **output,
        )

    def _record_eta(self, session: Session, job: Job) -> None:
        """Record when the job is expected to end, to compare it with when it does."""
        ends = self.forecaster.forecast_queued(session, job).ends
        if ends is not None:
            now = clock.now()
            job.eta_p50_at = now + timedelta(seconds=min(ends.p50_s, _MAX_ETA_S))
            job.eta_p90_at = now + timedelta(seconds=min(ends.p90_s, _MAX_ETA_S))
