"""One attempt at one job, from its claim to its end. What it may do in which order is in `worker.jobs.phases`.

Methods raise errors to `worker.jobs.runner`, which passes them to `fail`; after `claims.LostRace` it calls `drop`.

Invariant: a result is complete in storage before the database names it.
"""

import time
from dataclasses import dataclass

from shared import logs
from shared.db.jobs import claims
from shared.db.jobs.claims import Claim, Finished
from shared.db.models import Job
from shared.errors import AtelierError, DatabaseUnavailable, TimedOut, WeightsUnavailable
from shared.imaging.metadata import Kept
from shared.painting.params import StyleParams
from shared.states import TERMINAL, State
from worker.engine.timelapse import Timelapse
from worker.engine.types import Chunk, Mask, Subject
from worker.jobs import checkpoints, retries
from worker.jobs.artifacts import PaintedImage, build_artifacts
from worker.jobs.checkpoints import Checkpoint, Checkpointer
from worker.jobs.context import WorkerContext
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.outcome import Outcome, write_outcome
from worker.jobs.phases import Phase
from worker.jobs.reporter import Reporter
from worker.jobs.reuse import copy_cached_result

#: Pause between two tries to write a job's end while the database is away, in seconds.
_FINISH_EVERY_S = 1.0

log = logs.get(__name__)


@dataclass(frozen=True)
class Loaded:
    """What an attempt paints, and what accumulates as it does; `group` is the number of jobs painted together."""

    params: StyleParams
    subject: Subject
    alpha: Mask | None
    kept: Kept | None
    group: int
    timelapse: Timelapse
    checkpointer: Checkpointer


class Attempt:
    """A claim on a job, and the work on it. The runner enters `heartbeat`, a context that renews the claim's lease."""

    def __init__(self, claim: Claim, job: Job, context: WorkerContext, *, claimed_at: float) -> None:
        """Hold `claim` on `job`, requested at the monotonic time `claimed_at`."""
        self.claim = claim
        self.job = job
        self.phase = Phase.CLAIMED
        #: How the attempt ends, set from `STORING` or `FINISHING` on, and the files to store before that is written.
        self.outcome: Outcome | None = None
        self.files: dict[str, bytes] = {}
        #: The state in which the job was left; set once `FINISHED`.
        self.state: State | None = None
        self._loaded: Loaded | None = None
        self._context = context
        settings = context.settings
        self.heartbeat = Heartbeat(
            claim, context.database, lease_s=settings.lease_s, claimed_at=claimed_at, leaving=context.draining
        )
        self.heartbeat.ran_before_s = job.ran_s
        self._reporter = Reporter(claim, self.heartbeat, context.progress, settings)

    @property
    def loaded(self) -> Loaded:
        """What the attempt paints; known from `PAINTING` on."""
        assert self._loaded is not None
        return self._loaded

    def load(self, group: int) -> None:
        """Load what `group` jobs paint together, or reuse an identical result; raise what prevents both.

        Only a job that is painted alone resumes from its checkpoint.
        """
        job, context = self.job, self._context
        self._check_weights()
        weights_sha256 = context.painter.weights["sha256"]
        reused = copy_cached_result(job, context.database, context.store, weights_sha256=weights_sha256)
        if reused is not None:
            self.heartbeat.check()
            self.end(reused)
            return
        params = StyleParams.model_validate(job.params)
        every_s = context.settings.checkpoint_s
        checkpointer = Checkpointer(job.id, self.claim.attempt, context.store, every_s, group=group)
        content, alpha = context.images.load(job.content_id)
        kept = context.images.metadata(job.content_id) if job.keep_metadata else None
        init = context.images.load(job.init_id).rgb if job.init_id else None
        resumed = checkpoints.load(job, context.store) if group == 1 else None
        subject = Subject(content, init, resumed.snapshot if resumed else None)
        timelapse = Timelapse(params.timelapse, resumed.frames if resumed else ())
        self._loaded = Loaded(params, subject, alpha, kept, group, timelapse, checkpointer)
        self._reporter.start(resumed.columns if resumed else None)
        if resumed:
            log.info("job_resumed", step=checkpoints.last_step(resumed.columns))
        self._move(Phase.PAINTING)

    def take(self, chunk: Chunk) -> None:
        """Report a chunk, then go on painting or end. Raises `LostRace` or what storage does."""
        requests = self._reporter.report(chunk)
        limit_s = self.job.time_limit_s or self._context.settings.time_limit_s
        if chunk.error is not None:
            self._end_with_picture(chunk, State.FAILED, chunk.error)
        elif chunk.final:
            self._end_with_picture(chunk, State.SUCCEEDED)
        elif requests.cancel:
            self._end_with_picture(chunk, State.CANCELED)
        elif self.heartbeat.ran_s > limit_s:
            detail = f"The job exceeded its {limit_s:g} s at step {chunk.last} of {chunk.total}."
            self._end_with_picture(chunk, State.FAILED, TimedOut(detail))
        else:
            self._go_on(chunk, leaving=requests.drain or self._context.draining())

    def store(self) -> None:
        """Store the files; raise `LostRace` or what storage does."""
        self._context.store.put_all(self.files)
        self.stored()

    def stored(self) -> None:
        """Note that the files are stored, so that the outcome holds. Raises `LostRace`."""
        self.files = {}
        self.heartbeat.check()
        self._move(Phase.FINISHING)

    def end(self, outcome: Outcome) -> None:
        """Paint no more, with this outcome."""
        self.outcome = outcome
        self._move(Phase.FINISHING)

    def fail(self, error: AtelierError) -> None:
        """Make an error the outcome, with a retry if it allows one.

        If it came up while finishing, drop the claim, whose lease then expires.
        """
        if self.phase is Phase.FINISHING or self.phase.is_over:
            self.drop()
            return
        if retries.spoils_process(error):
            self._context.spoil()  # this process is replaced after the message
        after_s = retries.decide(error, retries=self.job.retries)
        self.end(Outcome(State.FAILED if after_s is None else State.QUEUED, error=error, retry_after_s=after_s))

    def finish(self) -> None:
        """Write the outcome, however long the database is away: the work is done. Raises `LostRace`."""
        while self.phase is Phase.FINISHING:
            self.heartbeat.check()
            try:
                state = self._write_outcome()
            except DatabaseUnavailable as error:
                log.warning("job_not_finished", code=error.code)
                time.sleep(_FINISH_EVERY_S)
            else:
                if state in TERMINAL:
                    self._context.progress.ended([self.claim.job_id], state)
                self.finished(state)

    @property
    def success(self) -> Finished | None:
        """What to write if the outcome is a plain success, so that several can be written at once."""
        ended = self.outcome
        if self.phase is not Phase.FINISHING or ended is None or ended.state != State.SUCCEEDED or not ended.result:
            return None
        return Finished(self.claim, ended.result, ended.reused_from, self.heartbeat.ran_s, self.heartbeat.progress)

    def finished(self, state: State) -> None:
        """Note that the outcome is written, leaving the job in `state`."""
        self.state = state
        log.info("attempt_finished", state=state, retry_after_s=self.outcome.retry_after_s if self.outcome else None)
        self._release(Phase.FINISHED)

    def drop(self) -> None:
        """Let go of the claim; nothing happens to an attempt that is over."""
        if not self.phase.is_over:
            self._release(Phase.DROPPED)

    def _release(self, phase: Phase) -> None:
        self._move(phase)
        self.heartbeat.stop()

    def _move(self, phase: Phase) -> None:
        self.phase = self.phase.moved_to(phase)

    def _check_weights(self) -> None:
        wanted, weights = self.job.weights_wanted, self._context.painter.weights
        if wanted not in (None, weights["name"]):
            raise WeightsUnavailable(
                f"The job wants {wanted} weights; this worker has {weights['name']}.",
                wanted=wanted,
                available=weights["name"],
            )

    def _end_with_picture(self, chunk: Chunk, state: State, error: AtelierError | None = None) -> None:
        """Make the picture after `chunk` the result, with its files to be stored."""
        picture, loaded = chunk.image(), self.loaded
        painted = PaintedImage(
            picture,
            partial=state != State.SUCCEEDED,
            alpha=loaded.alpha,
            kept=loaded.kept,
            timelapse=loaded.timelapse.encode(picture, chunk),
            facts=chunk.facts,
            group=loaded.group,
        )
        result, self.files = build_artifacts(self.job, painted, painter=self._context.painter, reporter=self._reporter)
        self.outcome = Outcome(state, result, error)
        self._move(Phase.STORING)

    def _go_on(self, chunk: Chunk, *, leaving: bool) -> None:
        """Save a checkpoint if one is due; if the worker is leaving, save one and hand the job back."""
        self.loaded.timelapse.collect(chunk)
        if leaving or self.loaded.checkpointer.due:
            self._save_checkpoint(chunk)
        if leaving:
            self.end(Outcome(State.QUEUED))

    def _save_checkpoint(self, chunk: Chunk) -> None:
        """Store a checkpoint, then name it in the row."""
        checkpoint = Checkpoint(chunk.snapshot(), self._reporter.columns, self.loaded.timelapse.frames)
        saved = self.loaded.checkpointer.save(checkpoint)
        if saved is None:
            return
        try:
            with self._context.database.writing("checkpoint") as session:
                claims.save_checkpoint(session, self.claim, saved)
        except DatabaseUnavailable as error:
            log.warning("checkpoint_not_kept", code=error.code)

    def _write_outcome(self) -> State:
        """Write the last step and the end in one transaction; the renewal refuses a void claim."""
        assert self.outcome is not None
        heartbeat = self.heartbeat
        with self._context.database.writing("finish") as session:
            # any length will do: the end clears the lease in this transaction
            claims.renew(
                session, self.claim, lease_s=_FINISH_EVERY_S, ran_s=heartbeat.ran_s, progress=heartbeat.progress
            )
            return write_outcome(session, self.claim, self.outcome)
