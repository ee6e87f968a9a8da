"""One attempt at one job, from its claim to its end: load → paint, chunk by chunk → store → finish.

What goes wrong is raised to `worker.jobs.runner`, which turns it into this attempt's outcome by `fail`.

Invariant: the picture lies in storage, whole, before the database says that it does. An attempt with an `outcome`
paints no more, one that is `over` writes no more.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from shared import logs
from shared.db.jobs import claims
from shared.db.jobs.claims import Claim, Finished
from shared.db.models import Job
from shared.errors import AtelierError, DatabaseUnavailable, TimedOut, WeightsUnavailable
from shared.painting.params import StyleParams
from shared.states import TERMINAL, State
from worker.engine.timelapse import Timelapse
from worker.engine.types import Chunk, Mask, Subject
from worker.jobs import checkpoints, outcome, retries, reuse
from worker.jobs.artifacts import Painted, left_by
from worker.jobs.checkpoints import Checkpoint, Checkpointer
from worker.jobs.context import Studio
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.outcome import Outcome
from worker.jobs.reporter import Reporter

#: Pause between two tries to write a job's end to a database that is away, in seconds.
_FINISH_EVERY_S = 1.0

log = logs.get(__name__)


class Attempt:
    """A claim on a job, held by its heartbeat while this is entered."""

    #: What is painted, known once it is loaded.
    params: StyleParams
    subject: Subject
    _group: int
    _alpha: Mask | None
    _timelapse: Timelapse
    _checkpointer: Checkpointer
    #: How it ends once its files are stored.
    _next: Outcome

    def __init__(self, claim: Claim, job: Job, studio: Studio, *, claimed_at: float) -> None:
        """Take over `claim` on `job`, asked for at the monotonic time `claimed_at`."""
        self.claim = claim
        self.job = job
        #: How it ended, once that is known, and the state it was left in, once that is written.
        self.outcome: Outcome | None = None
        self.state: State | None = None
        #: What has to be stored before `_next` is the outcome.
        self.files: dict[str, bytes] = {}
        self.over = False
        self._studio = studio
        settings = studio.settings
        self._heartbeat = Heartbeat(
            claim, studio.database, lease_s=settings.lease_s, claimed_at=claimed_at, leaving=studio.draining
        )
        self._heartbeat.ran_before_s = job.ran_s
        self._reporter = Reporter(claim, self._heartbeat, studio.progress, settings)

    def __enter__(self) -> Self:
        """Begin to renew the claim."""
        self._heartbeat.__enter__()
        return self

    def __exit__(self, *_: TracebackType | type[BaseException] | BaseException | None) -> None:
        """Let go of the claim; once is enough."""
        self.over = True
        self._heartbeat.__exit__(*_)

    @property
    def painting(self) -> bool:
        """Whether it is still to be painted."""
        return self.outcome is None and not self.over

    def load(self, group: int) -> None:
        """Load what is painted, `group` jobs together. Raises whatever keeps this one from being painted here.

        With others it begins anew, whatever checkpoint it has. Where an equal picture is there, that is its outcome.
        """
        self._group = group
        self._check_weights()
        taken = reuse.take_over(self.job, self._studio)
        if taken is not None:
            self._heartbeat.check()
            self.outcome = Outcome(State.SUCCEEDED, taken.result, reused_from=taken.job_id)
            return
        self.params = StyleParams.model_validate(self.job.params)
        pictures = self._studio.pictures
        store, settings = self._studio.store, self._studio.settings
        self._checkpointer = Checkpointer(self.job.id, self.claim.attempt, store, settings.checkpoint_s, group=group)
        content, self._alpha = pictures.load(self.job.content_id)
        init = pictures.load(self.job.init_id).rgb if self.job.init_id else None
        resumed = checkpoints.load(self.job, store) if group == 1 else None
        self.subject = Subject(content, init, resumed.snapshot if resumed else None)
        self._timelapse = Timelapse(self.params.timelapse, resumed.frames if resumed else ())
        self._reporter.start(resumed.columns if resumed else None)
        if resumed:
            log.info("job_resumed", step=checkpoints.last_step(resumed.columns))

    def take(self, chunk: Chunk) -> None:
        """Report a chunk, and see whether the attempt ends with it. Raises `LostRace` or what storage does."""
        wishes = self._reporter.chunk_done(chunk)
        limit_s = self.job.time_limit_s or self._studio.settings.time_limit_s
        if chunk.error is not None:
            self._end_with_picture(chunk, State.FAILED, chunk.error)
        elif chunk.final:
            self._end_with_picture(chunk, State.SUCCEEDED)
        elif wishes.cancel:
            self._end_with_picture(chunk, State.CANCELED)
        elif self._heartbeat.ran_s > limit_s:
            detail = f"The job has run for its {limit_s:g} s; it was at step {chunk.last} of {chunk.total}."
            self._end_with_picture(chunk, State.FAILED, TimedOut(detail))
        else:
            self._go_on(chunk, leaving=wishes.drain or self._studio.draining())

    def store(self) -> None:
        """Store what is left to be, by itself; raise `LostRace` or what storage does."""
        self._studio.store.put_all(self.files)
        self.stored()

    def stored(self) -> None:
        """Know that what was left to be stored is; that it ends is its outcome. Raises `LostRace`."""
        self.files = {}
        self._heartbeat.check()
        self.outcome = self._next

    def fail(self, error: AtelierError) -> None:
        """Let an error be the outcome, or what is done about it; one that prevents the end leaves it to the lease."""
        if self.outcome is not None:
            self.drop()
            return
        if retries.spoils_process(error):
            self._studio.spoil()
        retry = retries.decide(error, retries=self.job.retries)
        self.outcome = Outcome(State.QUEUED if retry else State.FAILED, error=error, retry=retry)

    def finish(self) -> None:
        """Write the outcome, however long the database is away: the work is done and lies in storage.

        Raises `LostRace`.
        """
        assert self.outcome is not None
        while self.state is None:
            self._heartbeat.check()
            try:
                state = self._written(self.outcome)
            except DatabaseUnavailable as error:
                log.warning("job_not_finished", code=error.code)
                time.sleep(_FINISH_EVERY_S)
            else:
                if state in TERMINAL:
                    self._studio.progress.ended([self.claim.job_id], state)
                self.left(state)

    @property
    def finished(self) -> Finished | None:
        """What is to be written if it simply succeeded and that is not written yet, so that several can be at once."""
        ended = self.outcome
        if self.over or ended is None or ended.state != State.SUCCEEDED or ended.error is not None:
            return None
        heartbeat = self._heartbeat
        return Finished(self.claim, ended.result or {}, ended.reused_from, heartbeat.ran_s, heartbeat.progress)

    def left(self, state: State) -> None:
        """Know that the outcome is written, as `state`."""
        assert self.outcome is not None
        self.state = state
        retry = self.outcome.retry
        log.info("job_left", state=state, retry_after_s=retry.after_s if retry else None)
        self.drop()

    def drop(self) -> None:
        """Hold the claim no longer."""
        self.__exit__()

    def _check_weights(self) -> None:
        wanted, weights = self.job.weights_wanted, self._studio.painter.weights
        if wanted not in (None, weights["name"]):
            raise WeightsUnavailable(
                f"The job wants {wanted} weights; this worker has {weights['name']}.",
                wanted=wanted,
                available=weights["name"],
            )

    def _end_with_picture(self, chunk: Chunk, state: State, error: AtelierError | None = None) -> None:
        """Leave the picture as it is now to be stored, and know what is the outcome then."""
        picture = chunk.image()
        painted = Painted(
            picture,
            partial=state != State.SUCCEEDED,
            alpha=self._alpha,
            timelapse=self._timelapse.encode(picture, chunk),
            facts=chunk.facts,
            group=self._group,
        )
        left = left_by(self.job, painted, painter=self._studio.painter, reporter=self._reporter)
        self.files, self._next = left.files, Outcome(state, left.result, error)

    def _go_on(self, chunk: Chunk, *, leaving: bool) -> None:
        """Keep what the chunk brought; with that, hand the job back if the worker is leaving."""
        self._timelapse.collect(chunk)
        if leaving or self._checkpointer.due:
            self._save(chunk)
        if leaving:
            self.outcome = Outcome(State.QUEUED)

    def _save(self, chunk: Chunk) -> None:
        """Save a checkpoint, then have the row name it."""
        checkpoint = Checkpoint(chunk.snapshot(), self._reporter.columns, self._timelapse.frames)
        named = self._checkpointer.save(checkpoint)
        if named is None:
            return
        try:
            with self._studio.database.writing("checkpoint") as session:
                claims.save_checkpoint(session, self.claim, named)
        except DatabaseUnavailable as error:
            log.warning("checkpoint_not_kept", code=error.code)

    def _written(self, ended: Outcome) -> State:
        """Renew for the last time, which takes the last step along and refuses a void claim, and write the end."""
        heartbeat = self._heartbeat
        with self._studio.database.writing("finish") as session:
            claims.renew(
                session, self.claim, lease_s=_FINISH_EVERY_S, ran_s=heartbeat.ran_s, progress=heartbeat.progress
            )
            return outcome.write(session, self.claim, ended)
