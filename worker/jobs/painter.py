"""The engine as the runner sees it: a callable that yields chunks, and the weights it paints with.

`open_painter` is called once per process and does all the slow work: it imports TensorFlow, loads or builds
the weights, and touches the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from shared.painting.costs import Capacity
from shared.painting.params import StyleParams
from shared.settings import Settings
from worker.engine.types import Chunk, Style, Subject

#: Says of a subject, by its number, whether it is still to be painted.
Wanted = Callable[[int], bool]


class Painter(Protocol):
    """Something that paints."""

    @property
    def weights(self) -> dict[str, Any]:
        """Name and sha256 of the VGG19 weights in use; `reason` says why no better ones, where `auto` chose them."""

    @property
    def device(self) -> dict[str, Any]:
        """What it paints on, and with which versions; kept as provenance."""

    @property
    def capacity(self) -> Capacity:
        """What the device can hold and do, as measured so far."""

    @property
    def memory(self) -> dict[str, int]:
        """What it holds, and has held at most, in bytes, as `held` and `peak`; nothing where that is not known.

        May be asked by any thread.
        """

    def paint(
        self, subjects: Sequence[Subject], styles: Sequence[Style], params: StyleParams, *, wanted: Wanted
    ) -> Iterator[dict[int, Chunk]]:
        """Paint `subjects`, of one shape, like `styles`: at each call a chunk for each of them, by number from 0.

        Before each call it asks of every subject whether it is still wanted, and goes on without those that are
        not; it ends when none is left. A subject to be resumed is painted alone.
        """


class Vgg19Painter:
    """Paints with VGG19 on this machine's best device."""

    def __init__(self, settings: Settings) -> None:
        """Load TensorFlow and the weights; raise `WeightsUnavailable` if they cannot be had."""
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

    @property
    def capacity(self) -> Capacity:
        """What the device can hold and do, as measured so far."""
        return self._planner.capacity

    @property
    def memory(self) -> dict[str, int]:
        """What the device holds, and has held at most since a picture was planned last, in bytes."""
        from worker.engine.device import memory

        return {"held": memory.held_bytes(), "peak": memory.peak_bytes()}

    def paint(
        self, subjects: Sequence[Subject], styles: Sequence[Style], params: StyleParams, *, wanted: Wanted
    ) -> Iterator[dict[int, Chunk]]:
        """Paint `subjects` like `styles`, chunk by chunk."""
        from worker.engine.stylize import stylize

        return stylize(subjects, styles, params, self._network, wanted=wanted, planner=self._planner)


class NullPainter:
    """Paints nothing, at a set speed, without TensorFlow: for trials of everything around the engine."""

    def __init__(self, settings: Settings) -> None:
        """Take the time of a step from the settings."""
        self._step_s = settings.null_step_s
        self.weights = {"name": "null", "sha256": ""}
        self.device = {"kind": "null"}
        self.capacity = Capacity(memory_bytes=2**40)
        self.memory: dict[str, int] = {}

    def paint(
        self,
        subjects: Sequence[Subject],
        styles: Sequence[Style],  # noqa: ARG002 - the interface's
        params: StyleParams,
        *,
        wanted: Wanted,
    ) -> Iterator[dict[int, Chunk]]:
        """Hand out each content, shrunk, as every step's picture."""
        from worker.engine.null_engine import stylize

        return stylize(subjects, params, step_s=self._step_s, wanted=wanted)


def open_painter(settings: Settings) -> Painter:
    """Make the painter that `ATELIER_ENGINE` names."""
    return NullPainter(settings) if settings.engine == "null" else Vgg19Painter(settings)
