"""The storm: everything is killed and frozen at random, and every accepted job still ends exactly once.

Long: `make chaos ARGS="-k storm"`, 200 faults over at least 5,000 jobs. The seed is printed; `STORM_SEED` sets it.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from shared.imaging import codec
from shared.states import State
from tests.chaos.rig import PNG, Rig
from tests.chaos.scale import scaled
from tests.chaos.verdict import Verdict, judge, settle
from tests.support.factories import picture

pytestmark = pytest.mark.chaos

LEASE_S = 4.0
PARAMS = {"size": 32}
#: Of 0.05 s each under the long storm: jobs of 0.1 to 2 s.
STEPS = scaled((1, 2, 4, 8, 40), (2, 6, 10, 20, 42))
_PNG_TYPE = {"Content-Type": "image/png"}


class Producers:
    """Threads that submit jobs, and write down each id that was accepted before they go on."""

    def __init__(self, rig: Rig, jobs: int, seed: int, threads: int = 4) -> None:
        self._rig, self._left = rig, jobs
        self._file = (rig.home / "accepted").open("a", encoding="ascii")
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._produce, args=(seed + n,)) for n in range(threads)]
        self.ending = threading.Event()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self) -> list[str]:
        """Wait for the last submission; return every accepted id."""
        for thread in self._threads:
            thread.join(1800)
            assert not thread.is_alive()
        self._file.close()
        return Path(self._file.name).read_text(encoding="ascii").split()

    @property
    def left(self) -> int:
        return self._left

    def _produce(self, seed: int) -> None:
        luck = random.Random(seed)
        image = None
        with httpx.Client(timeout=10, headers={"Authorization": f"Bearer {self._rig.key}"}) as http:
            while self._left > 0 and not self.ending.is_set():
                url = luck.choice(self._rig.urls)
                try:
                    if image is None:
                        image = (
                            http.post(f"{url}/v1/images", content=PNG, headers=_PNG_TYPE)
                            .raise_for_status()
                            .json()["id"]
                        )
                    steps = luck.choice(STEPS)
                    body = {"content": image, "style": image, "preset": "classic", "params": {**PARAMS, "steps": steps}}
                    answer = http.post(f"{url}/v1/jobs", json={**body, "priority": luck.randint(-1, 1)})
                    answer.raise_for_status()
                except httpx.HTTPError as error:
                    if isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error:
                        raise
                    self.ending.wait(0.1)
                    continue
                with self._lock:
                    self._left -= 1
                    self._file.write(answer.json()["id"] + "\n")
                    self._file.flush()
                    os.fsync(self._file.fileno())
                self.ending.wait(luck.random() * 0.02)


class Storm:
    """Faults, one after another, drawn from a seed."""

    def __init__(self, rig: Rig, seed: int, only: tuple[str, ...] = ()) -> None:
        self._rig = rig
        self._luck = random.Random(seed)
        self.counts: dict[str, int] = {}
        self._kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "kill API": (2, lambda: self._any("api").kill()),
            "kill maintenance": (2, lambda: self._any("maintenance").kill()),
            "kill worker": (4, lambda: self._any("worker").kill()),
            "kill child": (3, self._kill_child),
            "freeze worker": (2, lambda: self._freeze("worker", LEASE_S + 2)),
            "freeze child": (1, self._freeze_child),
            "freeze API": (1, lambda: self._freeze("api", 2)),
            "freeze maintenance": (1, lambda: self._freeze("maintenance", LEASE_S + 2)),
            "wipe Redis": (2, rig.wipe_redis),
            "freeze Redis": (1, lambda: self._freeze("redis", 3)),
        }
        if rig.postgres:
            self._kinds["kill PostgreSQL"] = (2, self._kill_postgres)
        if only:
            self._kinds = {name: kind for name, kind in self._kinds.items() if name in only}

    def strike(self) -> None:
        weights = [weight for weight, _ in self._kinds.values()]
        (name,) = self._luck.choices(list(self._kinds), weights)
        self.counts[name] = self.counts.get(name, 0) + 1
        self._kinds[name][1]()

    def pause_s(self) -> float:
        return self._luck.uniform(*scaled((0.6, 1.6), (1.5, 3.0)))

    def _any(self, kind: str):
        return self._luck.choice([p for name, p in self._rig.processes.items() if name.startswith(kind)])

    def _kill_child(self) -> None:
        worker = self._any("worker")
        worker.signal(signal.SIGKILL, worker.painters())

    def _freeze(self, kind: str, seconds: float) -> None:
        process = self._any(kind)
        frozen = process.family()
        process.signal(signal.SIGSTOP, frozen)
        threading.Timer(seconds, process.signal, (signal.SIGCONT, frozen)).start()

    def _freeze_child(self) -> None:
        worker = self._any("worker")
        frozen = worker.painters()
        worker.signal(signal.SIGSTOP, frozen)
        threading.Timer(LEASE_S + 2, worker.signal, (signal.SIGCONT, frozen)).start()

    def _kill_postgres(self) -> None:
        assert self._rig.postgres
        self._rig.postgres.kill()
        time.sleep(0.5)
        self._rig.postgres.start()


def report(verdict: Verdict, storm: Storm, accepted: int, settled_s: float) -> None:
    print(f"\nfaults: {sum(storm.counts.values())} {storm.counts}")
    print(f"accepted {accepted}, rows {verdict.jobs}, states {verdict.states}, attempts {verdict.attempts}")
    print(f"all ended {settled_s:.0f} s after the last fault (bound 300)")
    print(f"steps {verdict.steps}, repeated at most {verdict.repeated_share:.2%} (bound 2 %)")
    for fault in verdict.faults[:20]:
        print("FAULT", fault)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_every_accepted_job_ends_exactly_once_whatever_dies(database: str) -> None:
    seed = int(os.environ.get("STORM_SEED", random.SystemRandom().randrange(10**6)))
    faults, jobs = scaled((10, 150), (200, 5000))
    print(f"\nseed {seed} on {database}")
    settings = {
        "lease_s": LEASE_S,
        "checkpoint_s": 1.0,
        "null_step_s": scaled(0.02, 0.05),
        "stall_s": 8.0,
        "starve_s": 10.0,
    }
    with Rig(database=database, apis=2, maintenances=2, painters=scaled(2, 12), **settings) as rig:
        storm, producers = Storm(rig, seed), Producers(rig, jobs, seed)
        producers.start()
        while sum(storm.counts.values()) < faults:
            time.sleep(storm.pause_s())
            storm.strike()
        last_at = time.monotonic()
        accepted = producers.wait()
        settle(rig, timeout_s=300 if producers.left <= 0 else 600)
        settled_s = time.monotonic() - last_at
        verdict = judge(rig, accepted)
        report(verdict, storm, len(accepted), settled_s)
        assert len(accepted) >= jobs
        assert verdict.faults == []
        assert settled_s <= 300
        assert verdict.repeated_share <= scaled(1.0, 0.02)
        assert set(verdict.states) <= {State.SUCCEEDED, State.FAILED}


def test_the_real_engine_paints_the_same_pictures_in_a_storm(tmp_path) -> None:
    """Jobs cut off and resumed again and again end in the very bytes of an undisturbed run."""
    from tests.unit.worker.engine.synthetic import random_kernels
    from tests.unit.worker.engine.vgg.legacy_file import write_legacy

    seed = int(os.environ.get("STORM_SEED", random.SystemRandom().randrange(10**6)))
    faults, jobs = scaled((2, 4), (30, 40))
    print(f"\nseed {seed}, real engine")
    weights = write_legacy(tmp_path / "vgg19.h5", random_kernels())
    settings = {"engine": "vgg19", "weights": str(weights), "lease_s": LEASE_S, "checkpoint_s": 0.5}
    params = {"size": 64, "steps": scaled(60, 150)}
    pictures = [codec.encode(picture(64, 48, seed=number), format="png") for number in range(4)]
    with Rig(painters=scaled(1, 2), **settings) as rig, rig.client() as client:

        def submit(number: int) -> str:
            chosen = pictures[number % 4], [pictures[(number + 1) % 4]]
            return client.submit(*chosen, preset="classic", params=params).id

        undisturbed = [submit(number) for number in range(4)]
        settle(rig, timeout_s=180)
        made = [submit(number) for number in range(jobs)]
        storm = Storm(rig, seed, only=("kill worker", "kill child", "freeze worker", "wipe Redis", "kill maintenance"))
        while sum(storm.counts.values()) < faults:
            time.sleep(storm.pause_s() * 8)
            storm.strike()
        last_at = time.monotonic()
        settle(rig, timeout_s=600)
        verdict = judge(rig, made)
        report(verdict, storm, len(made), time.monotonic() - last_at)
        assert verdict.faults == []
        equal = [client.result(job_id) == client.result(undisturbed[n % 4]) for n, job_id in enumerate(made)]
        resumed = sum(rig.job(job_id).attempt > 1 for job_id in made)
        print(f"pictures equal to the undisturbed ones: {sum(equal)} of {jobs}, of which resumed {resumed}")
        assert all(equal)
