"""Stand-ins that keep the same contract as the real thing, which `tests/contract` proves."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np

from shared.errors import Diverged, NotFound
from shared.messaging.broker import QueueDepth
from shared.painting.costs import Capacity
from shared.painting.params import StyleParams
from shared.states import Rank
from shared.storage.store import checked_key
from worker.engine.types import Chunk, Losses, Picture, Snapshot, Style, Subject


class MemoryImageStore:
    """An `ImageStore` in a dictionary."""

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}
        self._written_at: dict[str, float] = {}

    def put(self, key: str, data: bytes) -> None:
        self._bytes[checked_key(key)] = bytes(data)
        self._written_at[key] = time.monotonic()

    def put_all(self, files: Mapping[str, bytes]) -> None:
        for key, data in files.items():
            self.put(key, data)

    def get(self, key: str) -> bytes:
        try:
            return self._bytes[checked_key(key)]
        except KeyError:
            raise NotFound(key=key) from None

    def size(self, key: str) -> int:
        return len(self.get(key))

    def exists(self, key: str) -> bool:
        return checked_key(key) in self._bytes

    def delete(self, key: str) -> None:
        self._bytes.pop(checked_key(key), None)
        self._written_at.pop(key, None)

    def list(self, prefix: str) -> Iterator[str]:
        yield from sorted(key for key in self._bytes if key.startswith(prefix))

    def old(self, older_than_s: float) -> Iterator[str]:
        now = time.monotonic()
        yield from [key for key, at in self._written_at.items() if now - at >= older_than_s]

    def discard_unfinished(self, older_than_s: float) -> int:
        """Nothing is ever half-written."""
        return 0

    def check(self, size_bytes: int = 5) -> None:
        """Memory can always be written."""


@dataclass
class FakePainter:
    """Paints at once, two steps a call: the content, which grows out of the dark, one step lighter than the last.

    `between` is called between two calls with the number of the first. `diverging` names the step at which subjects,
    by their number, do so.
    """

    between: Callable[[int], None] = lambda number: None
    diverging: Mapping[int, int] = field(default_factory=dict)
    #: What each run was given.
    subjects: list[list[Subject]] = field(default_factory=list)
    styles: list[list[Style]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    #: The subjects in each call.
    calls: list[list[int]] = field(default_factory=list)
    weights: ClassVar = {"name": "patch", "sha256": "f00d"}
    device: ClassVar = {"kind": "fake"}
    capacity: ClassVar = Capacity(memory_bytes=2**40)
    memory: ClassVar = {"held": 10**9, "peak": 2 * 10**9}
    kept_styles: ClassVar[list[str]] = []

    def rest(self) -> int:
        return 0

    def paint(
        self,
        subjects: Sequence[Subject],
        styles: Sequence[Style],
        params: StyleParams,
        *,
        wanted: Callable[[int], bool],
    ) -> Iterator[dict[int, Chunk]]:
        self.subjects.append(list(subjects))
        self.styles.append(list(styles))
        self.sizes.append(params.size)
        present = list(range(len(subjects)))
        resume = subjects[0].resume
        for number, done in enumerate(range(resume.done if resume else 0, params.steps, 2), start=1):
            present = [subject for subject in present if wanted(subject) and not self._failed(subject, done - 2)]
            if not present:
                return
            if number > 1:
                self.between(number - 1)
            self.calls.append(present)
            yield {subject: self._chunk(subject, subjects[subject], done, params.steps) for subject in present}

    def _chunk(self, number: int, subject: Subject, done: int, total: int) -> Chunk:
        failed = self._failed(number, done)
        last = self.diverging[number] - 1 if failed else min(done + 2, total)
        picture = subject.content if subject.init is None else subject.init
        return Chunk(
            first=done + 1,
            total=total,
            scale=1,
            scales=1,
            size=(picture.shape[1], picture.shape[0]),
            losses=tuple(Losses(2.0 / step, 1.0 / step, 1.0 / step, 0.0) for step in range(done + 1, last + 1)),
            step_ms=1.0,
            eta_s=0.0,
            image=partial(_shown, picture, last / total),
            snapshot=partial(Snapshot, 1, last, {"picture": picture}),
            final=failed or last == total,
            error=Diverged(f"The loss is not finite at step {last + 1}.", step=last + 1) if failed else None,
            facts={"precision": "float32", "tile_size": 0, "batch": len(self.calls[-1]), "peak_memory_bytes": 7},
        )

    def _failed(self, number: int, done: int) -> bool:
        return self.diverging.get(number, done) - done in (1, 2)


class NegativePainter(FakePainter):
    """Paints the negative of each content, so that a photograph and its painting differ."""

    def paint(self, subjects: Sequence[Subject], *further: Any, **named: Any) -> Iterator[dict[int, Chunk]]:
        negatives = [subject._replace(content=1 - subject.content) for subject in subjects]
        yield from super().paint(negatives, *further, **named)


class RampPainter(FakePainter):
    """Paints a ramp of more levels than eight bits have, whatever the content."""

    def paint(self, subjects: Sequence[Subject], *further: Any, **named: Any) -> Iterator[dict[int, Chunk]]:
        ramps = [
            subject._replace(
                content=np.linspace(0, 1, subject.content.size, dtype=np.float32).reshape(subject.content.shape)
            )
            for subject in subjects
        ]
        yield from super().paint(ramps, *further, **named)


def _shown(picture: Picture, light: float) -> Picture:
    return picture * np.float32(light)


class Outbox:
    """Takes messages as the broker does; `away` refuses them, `take` is a worker's."""

    def __init__(self) -> None:
        self.away = False
        #: Every message sent, and those that no worker has taken yet, by their ranks.
        self.messages: list[list[str]] = []
        self.first: list[list[str]] = []
        self.unread: list[list[str]] = []
        self.batched: list[list[str]] = []

    @property
    def sent(self) -> list[str]:
        """Every job sent."""
        return [job_id for message in self.messages for job_id in message]

    def get_depth(self) -> QueueDepth:
        return QueueDepth(len(self.first), len(self.unread), len(self.batched))

    def send_paint(self, job_ids: Sequence[str], rank: Rank = Rank.SINGLE) -> bool:
        if not self.away:
            self.messages.append(list(job_ids))
            (self.first, self.unread, self.batched)[rank].append(list(job_ids))
        return not self.away

    def take(self) -> list[str]:
        return (self.first or self.unread or self.batched).pop(0)


class FakeSlots:
    """Slots for the calls of webhooks: `total` in all, of which an owner may have `per_owner` and a host `per_host`."""

    def __init__(
        self, total: int = 10, *, per_owner: int = 10, per_host: int = 10, full_hosts: Collection[str] = ()
    ) -> None:
        self._total, self._per_owner, self._per_host = total, per_owner, per_host
        self._full_hosts = full_hosts
        self._by_owner, self._by_host = Counter[str](), Counter[str]()

    def held_by(self, owner: str) -> int:
        return self._by_owner[owner]

    def has_room(self, owner: str) -> bool:
        return self._by_owner.total() < self._total and self._by_owner[owner] < self._per_owner

    def take(self, owner: str, host: str) -> bool:
        if host in self._full_hosts or self._by_host[host] >= self._per_host or not self.has_room(owner):
            return False
        self._by_owner[owner] += 1
        self._by_host[host] += 1
        return True
