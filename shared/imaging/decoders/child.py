"""A child: answers requests about pictures, one at a time, until its parent closes the socket.

It also ends after a minute without a request, and when it has used half of the processor time of its life. A picture
that takes too much time ends it by SIGPROF; one that takes too much memory is refused, or ends it too.

Run as `python -m shared.imaging.decoders.child FD MEMORY_BYTES LIFETIME_S NICENESS` where processes cannot be forked.
"""

import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import structlog

from shared.errors import AtelierError, CorruptImage, ImageTooLarge
from shared.imaging.decoders import tasks
from shared.imaging.decoders.limits import Budget, ChildLimits
from shared.imaging.decoders.wire import Channel

#: Time without a request after which a child ends, in seconds.
_IDLE_S = 60.0
#: What is told of the codec's log: so many events, and so many characters of each value.
_MOST_NOTES, _MOST_CHARACTERS = 8, 300

_notes: list[dict[str, Any]] = []


def note_logs() -> None:
    """Have the codec's log events sent with the next answer: a child has no log of its own."""
    structlog.configure(processors=[_note])


def serve(connection: socket.socket, limits: ChildLimits) -> None:
    """Answer requests within limits."""
    _limit(limits)
    channel = Channel(connection)
    while time.process_time() < limits.lifetime_s / 2:
        channel.deadline = time.monotonic() + _IDLE_S
        try:
            request = json.loads(channel.receive_head())
            blobs = [channel.receive(size) for size in request.pop("blobs")]
        except (EOFError, TimeoutError):
            return
        channel.deadline = None
        answer, results = _answer(request, blobs, limits)
        channel.send({**answer, "notes": list(_notes)}, results)
        _notes.clear()


def _limit(limits: ChildLimits) -> None:
    """Set the hard limits of this process, which it cannot raise again."""
    os.nice(limits.niceness)
    _set_memory(limits.memory_bytes, limits.memory_bytes)
    resource.setrlimit(resource.RLIMIT_CPU, (limits.lifetime_s, limits.lifetime_s))


def _answer(
    request: dict[str, Any], blobs: Sequence[bytes], limits: ChildLimits
) -> tuple[dict[str, Any], Sequence[bytes | memoryview]]:
    """Carry out a request; return the head and the blobs of its answer."""
    budget = Budget(**request["budget"])
    try:
        signal.setitimer(signal.ITIMER_PROF, budget.seconds(0))
        px = tasks.count_pixels(blobs)
        if budget.returns_larger and px > budget.max_px:
            return {"outcome": "returned"}, ()
        signal.setitimer(signal.ITIMER_PROF, budget.seconds(px))
        _set_memory(budget.memory_bytes(px, sum(map(len, blobs))), limits.memory_bytes)
        value, results = tasks.TASKS[request["task"]](blobs, **request["bounds"])
    except AtelierError as error:
        return _refusal(error), ()
    except MemoryError:
        return _refusal(ImageTooLarge("Decoding the image needs more memory than is allowed.")), ()
    except Exception as error:  # of numpy or our own, after Pillow
        _add_note({"event": "image_refused", "reason": repr(error)})
        return _refusal(CorruptImage()), ()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        _set_memory(limits.memory_bytes, limits.memory_bytes)
    return {"outcome": "done", "value": value}, results


def _refusal(error: AtelierError) -> dict[str, Any]:
    fields = {name: value for name, value in error.fields.items() if isinstance(value, int | float | str)}
    return {"outcome": "refused", "code": error.code, "detail": error.detail, "fields": fields}


def _set_memory(soft_bytes: int, hard_bytes: int) -> None:
    """Limit the memory that this process can write to; macOS takes the number and does not enforce it.

    RLIMIT_AS would also count libraries, and what allocators only reserve.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (soft_bytes, hard_bytes))


def _note(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> NoReturn:
    _add_note(event)
    raise structlog.DropEvent


def _add_note(event: Mapping[str, Any]) -> None:
    if len(_notes) < _MOST_NOTES:
        _notes.append({name: str(value)[:_MOST_CHARACTERS] for name, value in event.items()})


def main() -> None:
    """Serve on a socket, with limits, as the command line says."""
    fd, *limits = map(int, sys.argv[1:])
    note_logs()
    tasks.warm_up()
    serve(socket.socket(fileno=fd), ChildLimits(*limits))


if __name__ == "__main__":
    main()
