"""The engine as the runner sees it: an iterator of chunks, and a description of weights and device.

`open_painter` is called once per process and does all the slow work: it imports TensorFlow, loads or trains the
weights, and opens the device.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from shared.painting.costs import Capacity
from shared.painting.params import StyleParams
from shared.settings import Settings
from worker.engine.types import Chunk, Style, Subject
from worker.jobs.null_painter import NullPainter

#: Tells whether a subject, by its number, is still to be painted.
Wanted = Callable[[int], bool]


class Painter(Protocol):
    """Paints pictures, and describes what it paints with."""

    #: Name and sha256 of the VGG19 weights; where `auto` chose them, `reason` says why not better ones.
    weights: dict[str, str]
    #: The device and the versions of the libraries, as recorded in manifests.
    device: dict[str, Any]

    @property
    def capacity(self) -> Capacity:
        """What the device can hold and do, as measured so far."""

    @property
    def memory(self) -> dict[str, int]:
        """Device memory in use and its peak, in bytes, as `held` and `peak`; empty if unknown. Any thread may ask."""

    @property
    def kept_styles(self) -> Sequence[str]:
        """The keys of styles whose next job starts at once, the most recently used first. For the painting thread."""

    def rest(self) -> int:
        """Give back unused memory between two messages; return the main memory that is still held, in bytes.

        Caches of limited size are left out. Returns 0 before the first picture, and where memory is not measured.
        """

    def paint(
        self, subjects: Sequence[Subject], styles: Sequence[Style], params: StyleParams, *, wanted: Wanted
    ) -> Iterator[dict[int, Chunk]]:
        """Paint `subjects`, of one shape, in `styles`; yield a chunk for each of them, by number from 0, per call.

        Before each call it drops the subjects that are no longer `wanted`; it ends when none is left. A subject to be
        resumed is painted alone.
        """


class Vgg19Painter:
    """Paints with VGG19 on this machine's best device."""

    def __init__(self, settings: Settings) -> None:
        """Load TensorFlow and the weights; raise `WeightsUnavailable` if none can be had."""
        from worker.engine.compute.moment_cache import MomentFiles
        from worker.engine.compute.targets import moment_cache
        from worker.engine.device import hardware, planner
        from worker.engine.vgg import weights

        hardware.prepare(settings.memory_limit_bytes)
        network = weights.load(settings.weights, weights.WeightsLocation(settings.weights_dir, settings.weights_mirror))
        self._network = network
        self.weights = {"name": network.name, "sha256": network.sha256}
        if network.reason:
            self.weights["reason"] = network.reason
        self.device = hardware.describe()
        self._planner = planner.Planner(settings.weights_dir / "profile.json", limit_bytes=settings.memory_limit_bytes)
        self._moments = moment_cache
        self._moments.files = MomentFiles(settings.weights_dir / "styles", f"{network.sha256} {self.device}")
        self._painted = False

    @property
    def capacity(self) -> Capacity:
        """What the device can hold and do, as measured so far."""
        return self._planner.capacity

    @property
    def memory(self) -> dict[str, int]:
        """Device memory in use, and its peak since a picture was last planned, in bytes."""
        from worker.engine.device import memory

        return {"held": memory.held_bytes(), "peak": memory.peak_bytes()}

    @property
    def kept_styles(self) -> Sequence[str]:
        """The styles whose moments are in memory or in files."""
        return self._moments.styles

    def rest(self) -> int:
        """Give free memory back to the system, and have the planner count what is left."""
        from worker.engine.device import process_memory

        process_memory.trim()
        self._planner.rest()
        return process_memory.resident_bytes() - self._moments.held_bytes if self._painted else 0

    def paint(
        self, subjects: Sequence[Subject], styles: Sequence[Style], params: StyleParams, *, wanted: Wanted
    ) -> Iterator[dict[int, Chunk]]:
        """Paint `subjects` in `styles`, chunk by chunk."""
        from worker.engine.stylize import stylize

        self._painted = True
        return stylize(subjects, styles, params, self._network, wanted=wanted, planner=self._planner)


def open_painter(settings: Settings) -> Painter:
    """Open the painter that `ATELIER_ENGINE` names."""
    return NullPainter(settings) if settings.engine == "null" else Vgg19Painter(settings)
