"""How many images are painted together, and in tiles of what size, so that the predicted peak fits in memory.

The prediction is a formula times a factor that every run corrects. The factors and the measured speed are kept per
device in a profile file, so that the next worker on it starts with them.

Invariant: a plan decides memory and time, never what is computed, beyond rounding.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from shared import logs
from shared.errors import TooLarge
from shared.painting.costs import (
    FIXED_BYTES,
    MIN_TILE_PX,
    Capacity,
    choose_tile,
    fit_history,
    formula_bytes,
    min_peak_bytes,
    peak_bytes,
    step_gflop,
)
from shared.painting.params import StyleParams
from shared.painting.vgg19 import aligned
from shared.storage.atomic_files import replacing
from worker.engine.device import hardware, memory
from worker.engine.device.hardware import resolve_precision

#: A peak is informative only above this size, since below it most is the fixed part, and only where it grew by this
#: factor, since memory kept from an earlier run hides smaller peaks.
_MIN_INFORMATIVE_BYTES = 2**28
_MIN_GROWTH = 1.1
#: A peak above the prediction corrects it at once, one below it by this fraction: the prediction errs on the safe side.
_DECREASE_RATE = 0.1
#: Weight of a new speed in the running average.
_SPEED_RATE = 0.3
#: A smaller relative correction is not worth a write.
_MIN_CORRECTION = 0.02

log = logs.get(__name__)


class Plan(NamedTuple):
    """Images painted together, side of the tiles in pixels (0 for whole images), and length of L-BFGS's history."""

    batch: int
    tile: int
    history: int = 0

    def smaller(self, size: tuple[int, int]) -> Plan | None:
        """Return a plan that takes less memory: half the batch, then tiles, then smaller tiles; None at the end."""
        if self.batch > 1:
            return self._replace(batch=self.batch // 2)
        side = aligned((self.tile or max(size)) // 2)
        return self._replace(tile=side) if MIN_TILE_PX <= side < (self.tile or max(size)) else None


class Planner:
    """Plans the runs of one process, and learns from them."""

    def __init__(self, profile_file: Path | None = None, *, limit_bytes: int = 0) -> None:
        """Load the device's profile; use at most `limit_bytes`, by default what is free."""
        self._profile_file = profile_file
        self._device = str(hardware.describe()["name"])
        self._limit_bytes = limit_bytes
        self._base_bytes = self._first_base_bytes = memory.held_bytes()
        self._profile = Capacity(memory_bytes=1, **_load(profile_file).get(self._device, {}))
        self._saved = self._profile
        self._before_bytes = self.peak_bytes = self._base_bytes

    @property
    def capacity(self) -> Capacity:
        """The memory that may be used now, and what was measured of the device."""
        free = memory.limit_bytes()
        return self._profile.model_copy(
            update={
                "memory_bytes": min(self._limit_bytes, free) if self._limit_bytes else free,
                "base_bytes": self._base_bytes,
                "precision": resolve_precision("auto"),
            }
        )

    def rest(self) -> None:
        """Count what is held now, between two runs, as held before the next one.

        The formula's fixed part is left out, which the process keeps from its first run on.
        """
        self._base_bytes = max(self._first_base_bytes, memory.held_bytes() - FIXED_BYTES)

    def plan(self, params: StyleParams, size: tuple[int, int], count: int) -> Plan:
        """Plan for `count` images of `size` (height, width); raise `TooLarge` if not even tiles of one fit.

        Images in tiles are painted one by one, and so are those that may stop early at different steps. A process that
        has grown refuses none that a fresh one would hold: if memory runs out, the job is tried again in a fresh one.
        """
        capacity = self.capacity
        params = fit_history(params, size, capacity)
        memory.reset_peak()
        self._before_bytes = memory.held_bytes()
        batch = 1 if params.early_stop or params.tile_size else count
        while batch > 1 and peak_bytes(params, size, capacity, batch=batch) > capacity.memory_bytes:
            batch = -(-batch // 2)
        tile = choose_tile(params, size, capacity) if batch == 1 else 0
        fresh = capacity.model_copy(update={"base_bytes": self._first_base_bytes})
        if tile and min_peak_bytes(params, size, fresh) > capacity.memory_bytes:
            raise TooLarge(
                f"An image of {max(size)} px does not fit in this worker's memory, even in tiles.", size=max(size)
            )
        return Plan(batch, tile, params.lbfgs_history if params.optimizer == "lbfgs" else 0)

    def observe(self, params: StyleParams, size: tuple[int, int], plan: Plan, step_s: float | None) -> None:
        """Learn from a call that has just ended: its peak, and the time of a step unless it includes compiling."""
        precision = resolve_precision(params.precision)
        self.peak_bytes = memory.peak_bytes()
        speeds = dict(self._profile.gflop_per_s)
        if step_s is not None:
            speed = step_gflop(params, size, tile=plan.tile) * plan.batch / step_s
            known = speeds.get(precision, speed)
            speeds[precision] = known + _SPEED_RATE * (speed - known)
        factors = dict(self._profile.bytes_factor)
        used = self.peak_bytes - self._base_bytes
        if used > _MIN_INFORMATIVE_BYTES and self.peak_bytes > _MIN_GROWTH * self._before_bytes:
            ratio = used / formula_bytes(params, size, precision, batch=plan.batch, tile=plan.tile)
            factor = factors.get(precision, ratio)
            factors[precision] = max(ratio, factor + _DECREASE_RATE * (ratio - factor))
        self._profile = self._profile.model_copy(update={"gflop_per_s": speeds, "bytes_factor": factors})
        self._save()

    def _save(self) -> None:
        """Save the profile if it changed enough; of several processes on one device the last one wins."""
        if self._profile_file is None or not _differ(self._profile, self._saved):
            return
        own = self._profile.model_dump(include={"bytes_factor", "gflop_per_s"})
        profiles = {**_load(self._profile_file), self._device: own}
        try:
            with replacing(self._profile_file) as file:
                file.write(json.dumps(profiles, indent=2).encode())
        except OSError as error:
            log.warning("profile_not_saved", path=str(self._profile_file), reason=str(error))
        self._saved = self._profile


def _differ(profile: Capacity, saved: Capacity) -> bool:
    """Return whether a profile differs from the saved one by more than `_MIN_CORRECTION`."""
    pairs = (profile.bytes_factor, saved.bytes_factor), (profile.gflop_per_s, saved.gflop_per_s)
    return any(abs(new[key] - old.get(key, 0.0)) > _MIN_CORRECTION * new[key] for new, old in pairs for key in new)


def _load(profile_file: Path | None) -> dict[str, Any]:
    """Read the profile of each device; empty where the file is missing or damaged."""
    if profile_file is None or not profile_file.exists():
        return {}
    try:
        profiles: dict[str, Any] = json.loads(profile_file.read_text())
        for profile in profiles.values():
            Capacity(memory_bytes=1, **profile)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("profile_unreadable", path=str(profile_file), reason=str(error))
        return {}
    return profiles
