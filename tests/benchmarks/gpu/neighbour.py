"""neural-style-pt on the same card: the milliseconds that one of its steps takes, and the memory that it holds.

It is no part of this project: the command line says where it is, and which Python has torch. Nothing here imports
TensorFlow, which would take the card's memory.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import Timer
from typing import Any

import numpy as np
from PIL import Image

from api.cli.demo import samples

_EVERY = 10
_STEPS = 100
#: Runs it in a process that tells the peak of torch's memory at the end, and begins from random kernels.
_WRAPPED = """
import runpy, sys
import torch
checkout, weights = sys.argv[1:3]
sys.path.insert(0, checkout)
from CaffeLoader import buildSequential, channel_list
torch.manual_seed(0)
layers = buildSequential(channel_list["VGG-19"], "max")
torch.save({f"features.{name}": value for name, value in layers.state_dict().items()}, weights)
sys.argv = [checkout + "/neural_style.py", *sys.argv[3:], "-model_file", weights]
runpy.run_path(sys.argv[0], run_name="__main__")
print("peak_bytes", torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)
"""


def measured(checkout: Path, python: Path, size: int, device: str, limit_s: float) -> dict[str, Any]:
    """Time its steps of L-BFGS at a size, on a GPU by its number or on the CPU, `c`.

    Raises `RuntimeError` if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), "-u", "-c", _WRAPPED, str(checkout.resolve()), f"{folder}/vgg19.pth"]
        said = list(_said([*command, *_words(folder, size, device)], folder, limit_s))
    return figures(said)


def _said(command: list[str], folder: str, limit_s: float) -> Iterator[tuple[float, str]]:
    """Run a command, for `limit_s` at most; yield each line that it prints, and when."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder) as process:
        timer = Timer(limit_s, process.kill)
        timer.start()
        try:
            for line in process.stdout or ():
                yield time.perf_counter(), line.strip()
        finally:
            timer.cancel()
            process.kill()


def figures(said: Sequence[tuple[float, str]]) -> dict[str, Any]:
    """Read the figures out of lines and their times; raise `RuntimeError` where a run ended early."""
    at = [moment for moment, line in said if line.startswith("Iteration ")]
    peaks = [int(line.split()[1]) for _, line in said if line.startswith("peak_bytes ")]
    if len(at) < 3 or not peaks:
        raise RuntimeError(said[-1][1] if said else "it said nothing")
    return {
        "step_ms": median(1000 * (after - before) / _EVERY for before, after in pairwise(at)),
        "peak_bytes": peaks[0],
    }


def _words(folder: str, size: int, device: str) -> list[str]:
    """Write two pictures; give the options that name them."""
    words = []
    for name, picture in (("content", samples.scene()), ("style", samples.painting())):
        drawn = Image.fromarray(np.uint8(picture * 255)).resize((size, size * 3 // 4))
        drawn.save(f"{folder}/{name}.png")
        words += [f"-{name}_image", f"{folder}/{name}.png"]
    numbers = {"image_size": size, "num_iterations": _STEPS, "print_iter": _EVERY, "save_iter": 0, "gpu": device}
    words += [word for name, value in numbers.items() for word in (f"-{name}", str(value))]
    return [*words, "-backend", "cudnn", "-disable_check", "-seed", "0", "-output_image", f"{folder}/out.png"]
