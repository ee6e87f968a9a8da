"""Children that decode pictures of one size, and those who wait for one.

Invariant: a picture is decoded or refused, whatever becomes of the children: one that dies by no fault of the picture's
is replaced, and the picture given to the next.
"""

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, TypeVar

from shared import logs
from shared.errors import AtelierError, CorruptImage, DecoderUnavailable, ImageTooLarge
from shared.imaging.decoders import answers
from shared.imaging.decoders.answers import Answer
from shared.imaging.decoders.fork_client import Child, ForkClient
from shared.imaging.decoders.limits import Budget, ChildLimits
from shared.imaging.decoders.turns import FairTurns
from shared.imaging.decoders.wire import Channel, ProtocolError

log = logs.get(__name__)

T = TypeVar("T")

#: Longest wait for a turn, in seconds, and how many of one owner may wait at once: each holds one of the API's threads.
_WAIT_S, _MAX_WAITING = 30.0, 16
#: How long a picture may take by the clock, in seconds for each of the processor: machines are busy, and processes
#: stopped. The kernel's limit on processor time is the one that bounds a picture.
_CLOCK_PER_CPU, _CLOCK_S = 10, 60
#: Children that may be killed under one picture, by somebody else or for lack of memory, and those that may crash.
_MOST_KILLED, _MOST_CRASHED = 6, 2
#: The exit codes of a child that took too much time, and of one that ended by itself or was killed; None is unknown.
_OUT_OF_TIME = {-signal.SIGPROF, -signal.SIGXCPU}
_KILLED = {None, 0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}


class Task(NamedTuple):
    """What to do with pictures, `blobs`: a name of `tasks.TASKS`, and its bounds.

    Only the owner's own uploads may `reuse` a child: a picture that takes it over sees what comes after it.
    """

    name: str
    bounds: Mapping[str, Any]
    blobs: Sequence[bytes]
    reuse: bool = False


class Lane:
    """Any number of threads may give it tasks."""

    def __init__(self, client: ForkClient, size: int, budget: Budget, limits: ChildLimits) -> None:
        """Decode on `size` children at once, started as they are needed; one owner may use all but one of several."""
        self._client, self._size, self._budget, self._limits = client, size, budget, limits
        self._turns = FairTurns(size, per_owner=max(1, size - 1), max_waiting=_MAX_WAITING)
        self._lock = threading.Lock()
        self._busy = 0
        #: Children that wait for work, the one used last at the end.
        self._idle: list[Child] = []

    def run(self, owner: str, task: Task, read: Callable[[Answer, Channel], T]) -> T | None:
        """Return what `read` makes of the answer; None for pictures that are too large for this lane.

        A task whose `reuse` is set may be given a child that has done others of this owner's; any other has a new one.
        Raises `ImageTooLarge`, `UnsupportedImage` or `CorruptImage`, or `DecoderUnavailable` if no child was free in
        time, or child after child was killed.
        """
        with self._turns.turn(owner, wait_s=_WAIT_S):
            crashed = 0
            for _ in range(_MOST_KILLED + self._size):  # idle children may have been killed, too
                child = self._take(owner if task.reuse else None)
                try:
                    result = self._ask(child, task, read)
                except (OSError, EOFError, ProtocolError) as failure:
                    crashed += self._bury(child, task, failure)
                    if crashed == _MOST_CRASHED:
                        raise CorruptImage("The image cannot be decoded: it crashes the decoder.") from None
                    continue
                except BaseException:
                    self._drop(child)
                    raise
                if task.reuse:
                    self._put_back(child)
                else:
                    self._drop(child)
                if isinstance(result, AtelierError):
                    raise result
                return result
        raise DecoderUnavailable

    def close(self) -> None:
        """End the children that wait for work."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            self._client.end(child)

    def children(self) -> list[int]:
        """Return the process ids of the children that wait for work."""
        with self._lock:
            return [child.pid for child in self._idle]

    def _ask(self, child: Child, task: Task, read: Callable[[Answer, Channel], T]) -> T | AtelierError | None:
        cpu_s = self._budget.seconds(self._budget.max_px)
        child.channel.deadline = time.monotonic() + _CLOCK_S + _CLOCK_PER_CPU * cpu_s
        head = {"task": task.name, "bounds": task.bounds, "budget": asdict(self._budget)}
        child.channel.send(head, task.blobs)
        return answers.receive(child.channel, read)

    def _take(self, owner: str | None) -> Child:
        """Return a child, new or one of that owner's; it counts as busy."""
        with self._lock:
            self._busy += 1
            found = next((child for child in reversed(self._idle) if child.owner == owner), None)
            if found is not None:
                self._idle.remove(found)
                return found
            surplus = [self._idle.pop(0) for _ in range(len(self._idle) + self._busy - self._size)]
        try:
            for child in surplus:
                self._client.end(child)
            return self._client.new_child(owner, self._limits)
        except BaseException:
            self._release()
            raise

    def _put_back(self, child: Child) -> None:
        with self._lock:
            self._busy -= 1
            self._idle.append(child)

    def _release(self) -> None:
        with self._lock:
            self._busy -= 1

    def _drop(self, child: Child) -> int | None:
        """End a child and forget it; return its exit code."""
        self._release()
        return self._client.end(child)

    def _bury(self, child: Child, task: Task, failure: Exception) -> bool:
        """Put away a child that failed over a task, and return whether it crashed.

        Raises `ImageTooLarge` if its processor time ran out, and `DecoderUnavailable` if the clock's did.
        """
        code = self._drop(child)
        if code != 0:  # 0: it had ended, as an old or idle one does, before the task came
            log.warning("decoder_died", task=task.name, exit_code=code, reason=repr(failure))
        if code in _OUT_OF_TIME:
            raise ImageTooLarge("Decoding the image takes more time than one of its size may take.")
        if isinstance(failure, TimeoutError):
            raise DecoderUnavailable("Decoding the image stood still; try again.")
        return code not in _KILLED or isinstance(failure, ProtocolError)
