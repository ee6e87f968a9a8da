"""What the tests of the watchdog share: one that watches a real process, with the time moved by hand."""

import subprocess
import sys
from contextlib import suppress
from typing import Self

from sqlalchemy import update

from shared.db import workers
from shared.db.base import Database
from shared.db.jobs import queries
from shared.db.models import Job
from shared.errors import DatabaseUnavailable
from shared.messaging.broker import QueueDepth
from tests.support.claims import claim_job
from tests.support.factories import add_job
from worker.process.watchdog import Watchdog


def refuse(*_: object) -> None:
    """Be a database that is away."""
    raise DatabaseUnavailable


class Tap:
    is_open = True

    def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


class Messages:
    count = 0

    def get_depth(self) -> QueueDepth:
        return QueueDepth(0, self.count, 0)

    def send_paint(self, job_ids, *, batched: bool = False) -> bool:
        return True


class Rig:
    """A watchdog, with the time moved by hand."""

    def __init__(self, settings, database: Database) -> None:
        self.database, self.tap, self.messages, self.now = database, Tap(), Messages(), 1000.0
        self.spawned: list[subprocess.Popen] = []
        self.replaced, self.refilled, self.painting = 0, 0, False
        self.watchdog = Watchdog(
            "w1", settings, database, self.messages, self.tap, self, replace=self.replace, clock=lambda: self.now
        )
        self.start_child(ready=False)
        self.watchdog.check()
        self.tell_ready()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.spawned:
            child.kill()
            child.wait(10)

    def children(self) -> list[int]:
        return [child.pid for child in self.spawned if child.poll() is None]

    def busy(self) -> bool:
        return self.painting

    def refill(self) -> None:
        self.refilled += 1

    def replace(self) -> None:
        self.replaced += 1

    def start_child(self, *, ready: bool = True) -> None:
        self.spawned.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"]))
        if ready:
            self.tell_ready()

    def tell_ready(self) -> None:
        """Have the newest child say what it paints with, as its registration does."""
        with self.database.writing() as session:
            workers.set_description(session, "w1", {"process": self.spawned[-1].pid})

    def job(self, job_id: str) -> Job:
        with self.database.reading() as session:
            return queries.get_job(session, job_id)

    def run_job(self, **values) -> str:
        job_id = add_job(self.database, **values)
        with self.database.writing() as session:
            assert claim_job(session, job_id, worker="w1", weights={}, lease_s=20)
        self.watchdog.check()
        return job_id

    def run_group(self, *limits_s: float | None) -> list[str]:
        """Have the child run a job with each of the time limits."""
        return [self.run_job(time_limit_s=limit_s, group_key="9:a") for limit_s in limits_s]

    def make_step(self, job_id: str, step: int) -> None:
        with self.database.writing() as session:
            session.execute(update(Job).where(Job.id == job_id).values(progress={"step": step}))

    def states(self, job_ids: list[str]) -> list[tuple]:
        """Tell of each job its state, how often it was lost in a row, and its error."""
        found = [self.job(job_id) for job_id in job_ids]
        return [(job.state, job.lost_attempts, job.error_code) for job in found]

    def let_the_child_die(self) -> None:
        self.spawned[-1].kill()
        self.spawned[-1].wait(10)

    def lives(self, number: int) -> bool:
        """Tell whether a child was left alive; one that was killed a moment ago is dead within milliseconds."""
        with suppress(subprocess.TimeoutExpired):
            self.spawned[number].wait(0.3)
            return False
        return True

    def killed(self) -> bool:
        return self.spawned[0].wait(10) == -9
