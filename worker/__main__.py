"""Start a worker process: `python -m worker paint`, `python -m worker maintenance` or `python -m worker weights`.

The first two run until SIGTERM, hand back the job they have, and exit 0. The last fetches the ImageNet weights
ahead of time and ends.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

from shared import logs
from shared.broker import PAINT_QUEUE
from shared.errors import WeightsUnavailable
from shared.settings import Settings

_CELERY = (
    *("--quiet", "worker", "-Q", PAINT_QUEUE, "-P", "prefork", "-c", "1", "--loglevel", "INFO"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)


def paint() -> int:
    """Take jobs and paint them."""
    if not Settings.load().worker_name:  # the child takes it from here
        os.environ["ATELIER_WORKER_NAME"] = f"{socket.gethostname()}-{os.getpid()}"
    from worker.app import app

    app.worker_main([*_CELERY, "-n", f"paint-{os.getpid()}@%h"])
    return 0


def maintenance() -> int:
    """Dispatch jobs and put right what crashes leave."""
    from worker import maintenance as chores

    settings = Settings.load()
    logs.configure(settings.log_format, settings.log_level)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    return chores.run(settings, ending)


def weights() -> int:
    """Fetch the ImageNet weights unless they are here; print where they lie, or, with 1, why they cannot be had."""
    from worker.engine.weights import IMAGENET_FILE, fetch_imagenet

    folder = Settings.load().weights_dir
    try:
        sys.stdout.write(f"{fetch_imagenet(folder)}\n")
    except WeightsUnavailable as error:
        mend = f"Come back with internet, or copy {IMAGENET_FILE} from another machine to {folder}."
        sys.stdout.write(f"{str(error).rstrip('.')}. {mend}\n")
        return 1
    return 0


_KINDS = {"paint": paint, "maintenance": maintenance, "weights": weights}


def main(arguments: list[str]) -> int:
    """Run the kind of worker that `arguments` names; 2 if it is none."""
    if len(arguments) != 1 or arguments[0] not in _KINDS:
        sys.stderr.write(f"usage: python -m worker {'|'.join(_KINDS)}\n")
        return 2
    return _KINDS[arguments[0]]()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
