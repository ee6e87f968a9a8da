"""The picture of a job: whether it has one, how strongly the painting shows, and its bytes.

At strength 1 a picture is as it was painted. Below, it is mixed with its photograph when it is sent, so that no further
file is kept, and nothing of the painted one is lost. A strength that was saved is used where none is named. What was
encoded last is kept in memory.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from api.access import Caller
from api.usecases.picture_cache import PictureCache
from shared import errors, logs
from shared.clock import rfc3339
from shared.db import images
from shared.db.admin import audit
from shared.db.base import Database
from shared.db.jobs import queries
from shared.db.jobs.queries import ShownJob
from shared.imaging import saving
from shared.imaging.decoders.pool import Decoders
from shared.imaging.mixing import Mix
from shared.painting.results import Result, strength_of
from shared.states import TERMINAL, State
from shared.storage.store import ImageStore, image_key

log = logs.get(__name__)

AnyJob = TypeVar("AnyJob", bound=ShownJob)

AS_PAINTED = 1.0


class Encoding(NamedTuple):
    """How a picture is encoded: format, quality from 1 to 100, and the longest side in pixels, 0 for any."""

    format: str = "png"
    quality: int = 92
    max_side: int = 0


#: As results are stored.
PNG = Encoding()


class ShownPicture(NamedTuple):
    """An encoded picture, and the strength at which it shows the painting."""

    data: bytes
    strength: float


@dataclass(frozen=True)
class Pictures:
    """The pictures of jobs; a photograph that they are mixed with has at most `max_px` pixels."""

    store: ImageStore
    decoders: Decoders
    max_px: int
    cache: PictureCache

    def at(self, job: ShownJob, strength: float, encoding: Encoding = PNG) -> bytes:
        """Return the picture of a job that has one; the whole PNG as painted is the stored file itself.

        PNG and TIFF have the depth of the stored file.

        Raises `NotFound` if that file is missing, `ResultExpired` if the photograph is gone or damaged, `ImageTooLarge`
        for a photograph that was accepted under a higher bound, and what else `Decoders` raises.
        """
        result = require_result(job)
        if strength == AS_PAINTED and encoding == PNG:
            return self.store.get(result["key"])
        key = (result["key"], strength, encoding, None if strength == AS_PAINTED else job.content_id)
        known = self.cache.get(key)
        if known is not None and self._has_files(job, result, strength):
            return known
        encoded = self._encoded(job, result, strength, encoding)
        self.cache.keep(key, encoded)
        return encoded

    def shown_strength(self, job: ShownJob) -> float:
        """Return the strength at which `saved` shows a picture, unless its photograph turns out to be damaged."""
        strength = strength_of(require_result(job))
        return strength if strength == AS_PAINTED or self.store.exists(image_key(job.content_id)) else AS_PAINTED

    def _has_files(self, job: ShownJob, result: Result, strength: float) -> bool:
        """Say whether the files that a picture is made of are still there."""
        has_photograph = strength == AS_PAINTED or self.store.exists(image_key(job.content_id))
        return has_photograph and self.store.exists(result["key"])

    def _encoded(self, job: ShownJob, result: Result, strength: float, encoding: Encoding) -> bytes:
        painted = self.store.get(result["key"])
        format_name, quality, max_side = encoding
        if strength == AS_PAINTED:  # our own file, so it is decoded here
            return saving.recode(painted, format=format_name, quality=quality, max_side=max_side)
        mix, px = Mix(self._photograph(job), strength, self.max_px), result["width"] * result["height"]
        try:
            return self.decoders.mix(
                painted, mix, px=px, owner=job.owner, format=format_name, quality=quality, max_side=max_side
            )
        except (errors.CorruptImage, errors.UnsupportedImage) as error:
            log.warning("photograph_damaged", image=job.content_id)
            raise _photograph_gone(job, "is damaged") from error

    def saved(self, job: ShownJob, encoding: Encoding = PNG) -> ShownPicture:
        """Return the picture at its saved strength; raise `NotFound`.

        It is as painted if its photograph is gone, or refused by the decoder.
        """
        strength = strength_of(require_result(job))
        try:
            return ShownPicture(self.at(job, strength, encoding), strength)
        except (errors.ResultExpired, errors.ImageTooLarge):
            return ShownPicture(self.at(job, AS_PAINTED, encoding), AS_PAINTED)

    def stored_size(self, job: ShownJob) -> int | None:
        """Return the size in bytes of the picture as painted; None if it has expired or is missing."""
        try:
            return self.store.size(require_result(job)["key"])
        except (errors.ResultExpired, errors.NotFound):
            return None

    def _photograph(self, job: ShownJob) -> bytes:
        try:
            return self.store.get(image_key(job.content_id))
        except errors.NotFound:
            raise _photograph_gone(job) from None


def set_strength(database: Database, job_id: str, strength: float, caller: Caller) -> None:
    """Save how strongly a job's painting shows, from 0 to 1; below 1, this counts as a use of its photograph.

    Raises `NotFound`, what `require_result` raises, and `ResultExpired` if the photograph is gone.
    """
    with database.writing("strength") as session:
        job = queries.get_job(session, job_id, owner=caller.sees, locked=True)
        result = require_result(job)
        if strength != AS_PAINTED:
            try:
                images.record_use(session, [job.content_id])
            except errors.UnknownImage:
                raise _photograph_gone(job) from None
        if strength != strength_of(result):
            job.result = {**result, "strength": strength}
            audit.record(session, caller, "job.strength", job_id, details={"strength": strength})


def require_result(job: ShownJob) -> Result:
    """Return the result of a job; raise `NotFinished`, `NoResult` if it ended without one, or `ResultExpired`."""
    if job.state not in TERMINAL:
        raise errors.NotFinished(f"The job is {job.state}; it has no result before it ends.", state=job.state)
    result: Result | None = job.result
    if not result:
        reason = f": {job.error_code}" if job.state == State.FAILED else ""
        ended = "was canceled" if job.state == State.CANCELED else f"has {job.state}"
        raise errors.NoResult(f"The job {ended} without a picture{reason}.", state=job.state)
    require_files(job)
    return result


def require_files(job: AnyJob) -> AnyJob:
    """Return a job whose files are still there; raise `ResultExpired`."""
    if job.files_gone_at is not None:
        raise errors.ResultExpired(f"The job's files were kept until {rfc3339(job.expires_at)}.")
    return job


def _photograph_gone(job: ShownJob, why: str = "was deleted after its retention time") -> errors.ResultExpired:
    detail = f"The job's photograph {why}; strength 1 gives the picture as painted."
    return errors.ResultExpired(detail, image=job.content_id)
