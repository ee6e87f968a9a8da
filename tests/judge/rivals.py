"""Other programs of style transfer, which paint the same pairs: pastiche and neural-style-pt.

Each runs in a process of its own, by a Python that has it, with its own defaults apart from the size, the optimizer and
the number of steps. Both get the pictures as RGB files, and the same VGG19 as the engine: pastiche carries it, and
neural-style-pt reads what `caffe_weights` writes.

Invariant: nothing here imports them. A program that is not at hand is left out by the caller.
"""

import json
import math
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from shared.painting.vgg19 import LAYERS, block
from tests.judge.distance import Judge
from tests.judge.painting import Painted
from tests.judge.pairs import Pair
from tests.support import trained_weights

RIVALS = ("pastiche", "neural-style-pt")
STEPS = 300
_LONGEST_S = 3600


def program(text: str) -> Path:
    """Read the path of a Python on a command line; it is run from other folders. Raises `ValueError` if there is none.

    A link stays one, since a virtual environment is known by the path that its Python is called by.
    """
    path = Path(text).absolute()
    if not path.is_file():
        raise ValueError(f"there is no {path}")
    return path


class Order(NamedTuple):
    """What a program is asked for: pictures to read, the file to write, the long side in pixels, how many steps."""

    content: Path
    style: Path
    output: Path
    size: int
    steps: int = STEPS


class Rival(NamedTuple):
    """A program by its name, and the command that paints an order; none where only its pictures are at hand."""

    name: str
    command: Callable[[Order], list[str]] | None = None

    def paint(self, order: Order) -> float:
        """Paint; return the seconds that the process took. Raises `RuntimeError` with its last words if it fails."""
        if self.command is None:
            raise RuntimeError(f"{self.name}: nothing says how to run it")
        started = time.perf_counter()
        done = subprocess.run(
            self.command(order),
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            cwd=order.output.parent,
            check=False,
        )
        if done.returncode or not order.output.is_file():
            raise RuntimeError(f"{self.name}: {done.stderr[-500:] or 'it wrote no picture'}")
        return time.perf_counter() - started


def pastiche(python: Path) -> Rival:
    """Give pastiche, as installed for `python`."""

    def command(order: Order) -> list[str]:
        files = ["--content", str(order.content), "--styles", str(order.style), "--output", str(order.output)]
        return [str(python), "-m", "pastiche", *files, *_said("--", size=order.size, num_steps=order.steps, seed=0)]

    return Rival("pastiche", command)


def neural_style_pt(checkout: Path, python: Path, weights: Path, *, device: str = "c") -> Rival:
    """Give neural-style-pt as in `checkout`, run by a `python` that has torch and torchvision, on the CPU or a GPU."""

    def command(order: Order) -> list[str]:
        files = ["-content_image", str(order.content), "-style_image", str(order.style)]
        files += ["-output_image", str(order.output), "-model_file", str(weights), "-disable_check"]
        numbers = _said("-", image_size=order.size, num_iterations=order.steps, save_iter=0, seed=0, gpu=device)
        return [str(python), "-u", str(checkout / "neural_style.py"), *files, *numbers]

    return Rival("neural-style-pt", command)


def _said(dashes: str, **options: object) -> list[str]:
    words = {"--": lambda name: name.replace("_", "-"), "-": str}[dashes]
    return [word for name, value in options.items() for word in (f"{dashes}{words(name)}", str(value))]


#: Run by the Python that has torch: a file of arrays in, a file of torch's out.
_AS_TORCH_SAVES = """
import sys
import numpy, torch
arrays = numpy.load(sys.argv[1])
torch.save({name: torch.from_numpy(arrays[name]) for name in arrays.files}, sys.argv[2])
"""


def caffe_weights(python: Path, folder: Path) -> Path:
    """Write VGG19 as torch keeps it, unless `folder` has it: Keras' weights are Caffe's, blue first and not scaled.

    The layers are numbered as in torchvision's `vgg19().features`: a convolution and its rectifier take two numbers, a
    pooling one. The file's name tells neural-style-pt which network it holds.
    """
    path = folder / "vgg19.pth"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as there:
            arrays = Path(there) / "vgg19.npz"
            np.savez(arrays, **_numbered())
            subprocess.run([str(python), "-c", _AS_TORCH_SAVES, str(arrays), str(path)], check=True)
    return path.resolve()


def _numbered() -> dict[str, np.ndarray]:
    kernels = trained_weights.network().kernels
    arrays = {}
    for place, layer in enumerate(LAYERS):
        number = 2 * place + block(layer) - 1
        arrays[f"features.{number}.weight"] = np.ascontiguousarray(kernels[layer].weights.transpose(3, 2, 0, 1))
        arrays[f"features.{number}.bias"] = kernels[layer].bias
    return arrays


def painted_by(rival: Rival, pair: Pair, size: int, folder: Path, *, steps: int = STEPS) -> Painted | None:
    """Paint `pair` by another program, and judge the picture at its own size; None if it cannot be had.

    Kept as `folder/PROGRAM/PAIR.png`, with the seconds in a JSON file beside it; a picture that is there is not painted
    again. The time of one without that file is not known, and NaN. Raises `RuntimeError` if it has another size.
    """
    content, style = pair.opened()
    path = folder.resolve() / rival.name / f"{pair.name}.png"
    if not path.is_file():
        if rival.command is None:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        took_s = _paint(rival, content, style, path, size, steps)
        path.with_suffix(".json").write_text(json.dumps({"seconds": took_s, "steps": steps, "size": size}))
    picture = Image.open(path).convert("RGB")
    if abs(max(picture.size) - size) > 1:  # one of them rounds down
        raise RuntimeError(f"{path} has {max(picture.size)} px, not {size}: remove it, or paint in another folder.")
    notes = path.with_suffix(".json")
    took_s = json.loads(notes.read_text())["seconds"] if notes.is_file() else math.nan
    return Painted(picture, took_s, Judge(content, style, picture.size).distances(picture))


def _paint(rival: Rival, content: Image.Image, style: Image.Image, path: Path, size: int, steps: int) -> float:
    with tempfile.TemporaryDirectory() as there:
        files = Path(there, "content.png"), Path(there, "style.png")
        for picture, file in zip((content, style), files, strict=True):
            picture.save(file)
        return rival.paint(Order(*files, path, size, steps))
