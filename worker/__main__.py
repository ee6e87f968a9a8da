"""Start a worker process: `python -m worker paint` or `python -m worker maintenance`.

Each runs until SIGTERM, hands back the job it has, and exits 0.
"""

from __future__ import annotations

import os
import sys

from shared.broker import MAINTENANCE_QUEUE, PAINT_QUEUE

_COMMON = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO")
_ARGUMENTS = {
    "paint": ("-Q", PAINT_QUEUE, "-P", "prefork", "-c", "1"),
    "maintenance": ("-Q", MAINTENANCE_QUEUE, "-P", "threads", "-c", "1"),
}


def main(arguments: list[str]) -> int:
    """Run the kind of worker that `arguments` names; 2 if it is none."""
    if len(arguments) != 1 or arguments[0] not in _ARGUMENTS:
        sys.stderr.write(f"usage: python -m worker {'|'.join(_ARGUMENTS)}\n")
        return 2
    from worker.app import app, start_beat

    kind = arguments[0]
    if kind == "maintenance":
        start_beat()
    app.worker_main(["--quiet", "worker", "-n", f"{kind}-{os.getpid()}@%h", *_ARGUMENTS[kind], *_COMMON])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
