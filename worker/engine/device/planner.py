"""How many pictures are painted at once, and in tiles of what side: what the memory allows, by predicted peaks.

The prediction is a formula times a factor that each run corrects, kept per device in a file, so that a worker that
starts tomorrow knows what today's has learned.

Invariant: a plan decides how much memory is held and how long it takes, never what is computed, beyond rounding.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from shared import logs
from shared.errors import TooLarge
from shared.painting.costs import (
    LEAST_TILE_PX,
    Capacity,
    formula_bytes,
    least_bytes,
    peak_bytes,
    remembering,
    step_gflop,
    tile_for,
)
from shared.painting.params import StyleParams
from shared.painting.vgg19 import aligned
from shared.storage.atomic_files import replacing
from worker.engine.device import device, memory
from worker.engine.device.device import resolved

#: Runs that take less say little about the next, the fixed part being most of it; nor do those that did not grow.
_TELLING_BYTES = 2**28
_TELLING_GROWTH = 1.1
#: A peak above the predicted one counts at once, one below it by this share: the prediction stays on the safe side.
_FORGET = 0.1
#: How much of a new speed is believed.
_FASTER = 0.3
#: A correction smaller than this is not worth a write.
_WORTH_KEEPING = 0.02


log = logs.get(__name__)


class Plan(NamedTuple):
    """How many pictures at once, the side of the tiles in pixels, 0 for whole pictures, and L-BFGS's history."""

    batch: int
    tile: int
    history: int = 0

    def smaller(self, size: tuple[int, int]) -> Plan | None:
        """Plan for less memory: half as many pictures, then tiles, then smaller tiles; None at the end."""
        if self.batch > 1:
            return self._replace(batch=self.batch // 2)
        side = aligned((self.tile or max(size)) // 2)
        return self._replace(tile=side) if LEAST_TILE_PX <= side < (self.tile or max(size)) else None


class Planner:
    """Plans the runs of one process, and learns from them."""

    def __init__(self, notebook: Path | None = None, *, limit_bytes: int = 0) -> None:
        """Remember what was learned in the file `notebook`; take at most `limit_bytes`, by default what is free."""
        self._notebook = notebook
        self._device = str(device.describe()["name"])
        self._limit_bytes = limit_bytes
        self._base_bytes = memory.held_bytes()
        self._learned = Capacity(memory_bytes=1, **_read(notebook).get(self._device, {}))
        self._kept = self._learned
        self._before_bytes = self.peak_bytes = self._base_bytes

    @property
    def capacity(self) -> Capacity:
        """What this device holds and does, as far as it is known."""
        free = memory.limit_bytes()
        return self._learned.model_copy(
            update={
                "memory_bytes": min(self._limit_bytes, free) if self._limit_bytes else free,
                "base_bytes": self._base_bytes,
                "precision": resolved("auto"),
            }
        )

    def plan(self, params: StyleParams, size: tuple[int, int], count: int) -> Plan:
        """Plan for `count` pictures of `size` (height, width); raise `TooLarge` if not even one fits, in tiles.

        Pictures that may end at different steps are painted one by one, and so are those in tiles.
        """
        capacity = self.capacity
        params = remembering(params, size, capacity)
        memory.reset_peak()
        self._before_bytes = memory.held_bytes()
        batch = 1 if params.early_stop or params.tile_size else count
        while batch > 1 and peak_bytes(params, size, capacity, batch=batch) > capacity.memory_bytes:
            batch = -(-batch // 2)
        tile = tile_for(params, size, capacity) if batch == 1 else 0
        if tile and least_bytes(params, size, capacity) > capacity.memory_bytes:
            raise TooLarge(f"No memory here holds a picture of {max(size)} px, even in tiles.", size=max(size))
        return Plan(batch, tile, params.lbfgs_history if params.optimizer == "lbfgs" else 0)

    def predicted_bytes(self, params: StyleParams, size: tuple[int, int], plan: Plan) -> int:
        """Predict the peak of this process while it paints by `plan`."""
        return peak_bytes(params, size, self.capacity, batch=plan.batch, tile=plan.tile)

    def observe(self, params: StyleParams, size: tuple[int, int], plan: Plan, step_s: float | None) -> None:
        """Learn from a call that has just ended: its peak, and the time of its steps, if it is telling."""
        precision = resolved(params.precision)
        self.peak_bytes = memory.peak_bytes()
        rates = dict(self._learned.gflop_per_s)
        if step_s is not None:
            rate = step_gflop(params, size, tile=plan.tile) * plan.batch / step_s
            known = rates.get(precision, rate)
            rates[precision] = known + _FASTER * (rate - known)
        factors = dict(self._learned.bytes_factor)
        held = self.peak_bytes - self._base_bytes
        # memory that is kept for the next run hides the peaks of smaller ones
        if held > _TELLING_BYTES and self.peak_bytes > _TELLING_GROWTH * self._before_bytes:
            ratio = held / formula_bytes(params, size, precision, batch=plan.batch, tile=plan.tile)
            factor = factors.get(precision, ratio)
            factors[precision] = max(ratio, factor + _FORGET * (ratio - factor))
        self._learned = self._learned.model_copy(update={"gflop_per_s": rates, "bytes_factor": factors})
        self._write_down()

    def _write_down(self) -> None:
        """Keep what was learned, if it is much; another process of this device may do the same, the last one counts."""
        if self._notebook is None or not _differ(self._learned, self._kept):
            return
        notes = {
            **_read(self._notebook),
            self._device: self._learned.model_dump(include={"bytes_factor", "gflop_per_s"}),
        }
        try:
            with replacing(self._notebook) as file:
                file.write(json.dumps(notes, indent=2).encode())
        except OSError as error:
            log.warning("profile_not_kept", path=str(self._notebook), reason=str(error))
        self._kept = self._learned


def _differ(one: Capacity, other: Capacity) -> bool:
    """Say whether two capacities differ by more than is worth a write."""
    for name in ("bytes_factor", "gflop_per_s"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if any(abs(value - theirs.get(key, 0.0)) > _WORTH_KEEPING * value for key, value in mine.items()):
            return True
    return False


def _read(notebook: Path | None) -> dict[str, Any]:
    """Read what was learned on each device; nothing where the file is missing or spoilt."""
    if notebook is None or not notebook.exists():
        return {}
    try:
        notes: dict[str, Any] = json.loads(notebook.read_text())
        for learned in notes.values():
            Capacity(memory_bytes=1, **learned)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("profile_unreadable", path=str(notebook), reason=str(error))
        return {}
    return notes
