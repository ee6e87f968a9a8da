"""Start a worker process: `python -m worker paint` or `python -m worker maintenance`.

Both run until SIGTERM and exit 0, a painting worker after it has handed its jobs back; an error ends them with another
code. `python -m worker weights …` manages the files of VGG19's weights and ends.
"""

import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress

from shared import logs
from shared.errors import Misconfigured
from shared.messaging.broker import PAINT_QUEUE
from shared.settings import Settings
from worker.process import REPLACED

#: One child paints one message at a time. Workers need no word of each other: the database has their heartbeats.
_CELERY = (
    *("--quiet", "worker", "-Q", PAINT_QUEUE, "-P", "custom", "-c", "1", "--loglevel", "INFO"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)
#: How long the children of a worker that replaced itself may take to end, in seconds; they are killed before it does.
_REAPED_WITHIN_S = 10.0


def paint() -> int:
    """Take jobs and paint them; return the exit code: 0 after a drain, another after an error."""
    settings = Settings.load()
    settings.ensure_weights()
    if os.environ.pop(REPLACED, None):
        _reap()
    if not settings.worker_name:  # the child reads it from here
        os.environ["ATELIER_WORKER_NAME"] = f"{socket.gethostname()}-{os.getpid()}"
    os.environ["CELERY_CUSTOM_WORKER_POOL"] = "worker.pool:TaskPool"  # Celery reads it when it is imported
    from worker.app import app, exit_code

    app.worker_main([*_CELERY, "-n", f"paint-{os.getpid()}@%h"])
    return exit_code()


def _reap() -> None:
    """Wait for the children of the program that this process was before, since nothing else would."""
    deadline = time.monotonic() + _REAPED_WITHIN_S
    with suppress(ChildProcessError):  # there are none, or none any more
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)


def maintenance() -> int:
    """Dispatch jobs, and run the other maintenance tasks."""
    from worker.maintenance import scheduler

    settings = Settings.load()
    logs.configure(settings.log_format, settings.log_level)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    return scheduler.run(settings, ending)


_KINDS = {"paint": paint, "maintenance": maintenance}


def main(arguments: list[str]) -> int:
    """Run the kind of worker that `arguments` names; return 2 if there is no such kind."""
    if arguments[:1] == ["weights"]:
        from worker import weights

        return weights.main(arguments[1:])
    if len(arguments) != 1 or arguments[0] not in _KINDS:
        sys.stderr.write(f"usage: python -m worker {'|'.join(_KINDS)}, or python -m worker weights …\n")
        return 2
    try:
        return _KINDS[arguments[0]]()
    except Misconfigured as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
