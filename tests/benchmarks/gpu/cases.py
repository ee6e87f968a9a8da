"""What is measured: sizes, ways to compute, numbers of pictures, optimizers; and in which order."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple


class Mode(NamedTuple):
    """How a process computes: the params' precision, and TensorFlow's settings.

    `tf32` lets products of float32 be rounded to 10 bits of mantissa, which is TensorFlow's default on a GPU. `layout`
    is Grappler's change of convolutions to the layout that cuDNN prefers. `xla` compiles the steps by XLA.
    """

    precision: str
    tf32: bool = True
    layout: bool = True
    xla: bool = False


MODES = {
    "float32": Mode("float32", tf32=False),
    "float32-tf32": Mode("float32"),
    "float32-tf32-no-layout": Mode("float32", layout=False),
    "bfloat16": Mode("bfloat16"),
    "bfloat16-xla": Mode("bfloat16", xla=True),
    # what it costs that Gram matrices of bfloat16 features are multiplied in float32
    "bfloat16-no-tf32": Mode("bfloat16", tf32=False),
}


class Case(NamedTuple):
    """One measurement: the long side in pixels, the name of a mode, pictures painted together, and the optimizer."""

    size: int
    mode: str
    pictures: int
    optimizer: str

    def line(self) -> str:
        """Name it in one line."""
        return f"{self.size:>5} px  {self.mode:<24} {self.pictures} × {self.optimizer:<6}"


#: The most telling first: the size that jobs have, alone, then together; then larger, then smaller.
_ORDER = ((512, 1), (1024, 1), (512, 8), (128, 8), (128, 1), (1024, 8))


def cases(*, tiny: bool) -> Iterator[Case]:
    """List what is measured on a GPU; if `tiny`, what a CPU measures in half a minute, so that the program is tried."""
    if tiny:
        yield from (Case(48, "float32", 1, "lbfgs"), Case(48, "bfloat16", 2, "adam"))
        return
    # Adam's own work is a few passes over the picture: the modes differ as they do with L-BFGS
    for optimizer, (size, pictures) in product(("lbfgs", "adam"), _ORDER):
        yield from (Case(size, mode, pictures, optimizer) for mode in MODES)
