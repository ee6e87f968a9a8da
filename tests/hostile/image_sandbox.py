"""Judges pictures each in a process of its own, within two seconds of the processor.

Run as `python -m tests.hostile.image_sandbox`.

Reads pickled files from its standard input; writes, as JSON, what became of each and the most memory that it took.
"""

import json
import os
import pickle
import resource
import subprocess
import sys
import warnings
from typing import NamedTuple

from shared.errors import AtelierError
from shared.imaging import codec
from tests.hostile.images import MAX_PX, TAKEN, File

#: Longest time of the processor for one file, in seconds; the kernel ends what takes more.
LIMIT_S = 2
#: The largest picture that is decoded in full here, as a worker does and not the API.
_DECODED_PX = 10**6


class Judged(NamedTuple):
    """What became of a file: `taken`, a code, or how its process ended; and its most memory, the interpreter's too."""

    verdict: str
    peak_bytes: int


def judged(files: list[File]) -> dict[str, Judged]:
    """Judge files in another process."""
    command = [sys.executable, "-m", "tests.hostile.image_sandbox"]
    done = subprocess.run(command, input=pickle.dumps(list(map(tuple, files))), stdout=subprocess.PIPE, check=True)
    return {name: Judged(*found) for name, found in json.loads(done.stdout.splitlines()[-1]).items()}


def _judge(data: bytes) -> str:
    try:
        info = codec.inspect(data, max_bytes=64 * 2**20, max_px=MAX_PX)
        if info.width * info.height <= _DECODED_PX:
            codec.decode(data, max_px=MAX_PX)
    except AtelierError as error:
        return error.code
    except BaseException as error:
        return repr(error)
    return TAKEN


def _apart(data: bytes) -> Judged:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
        os.write(write, _judge(data).encode()[:1000])
        os._exit(0)
    os.close(write)
    _, status, usage = os.wait4(child, 0)
    with os.fdopen(read, "rb") as told:
        verdict = told.read().decode()
    return Judged(verdict or f"ended with {status}", usage.ru_maxrss * 1024)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps({name: _apart(data) for name, data, _ in pickle.load(sys.stdin.buffer)}))
