import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import TooLarge
from shared.painting.costs import FIXED_BYTES, MIN_TILE_PX, peak_bytes
from tests.unit.worker.engine.small_runs import SMALL, changed, run
from worker.engine.device import memory
from worker.engine.device.planner import Plan, Planner
from worker.engine.types import Picture
from worker.engine.vgg.network import Network


def test_all_images_are_painted_together_if_memory_holds_them() -> None:
    assert Planner().plan(SMALL, (48, 64), 8) == Plan(8, 0)


def test_fewer_are_painted_together_if_it_does_not() -> None:
    planner = Planner(limit_bytes=memory.held_bytes() + 400 * 2**20)

    plan = planner.plan(SMALL, (256, 256), 8)

    assert 1 <= plan.batch < 8
    assert plan.tile == 0


def test_a_large_image_is_tiled_and_one_too_large_for_tiles_is_refused() -> None:
    planner = Planner(limit_bytes=memory.held_bytes() + 2**30)

    assert planner.plan(SMALL, (1500, 1500), 1).tile > 0
    with pytest.raises(TooLarge):
        planner.plan(SMALL, (15_000, 15_000), 1)


@pytest.mark.parametrize("changes", [{"early_stop": 0.1}, {"tile_size": 32}], ids=str)
def test_images_in_tiles_or_with_early_stopping_are_painted_one_by_one(changes: dict[str, object]) -> None:
    assert Planner().plan(changed(**changes), (48, 64), 8).batch == 1


def test_a_smaller_plan_halves_the_batch_then_uses_tiles_then_smaller_tiles() -> None:
    plans, plan = [], Plan(4, 0)
    while plan is not None:
        plans.append(plan)
        plan = plan.smaller((300, 600))

    assert plans == [Plan(4, 0), Plan(2, 0), Plan(1, 0), Plan(1, 304), Plan(1, 160)]


def test_the_profile_is_saved_for_the_next_process(
    tmp_path: Path, content: Picture, style: Picture, network: Network
) -> None:
    profile_file = tmp_path / "weights" / "profile.json"

    run(content, style, changed(steps=8), network, planner=Planner(profile_file), steps_per_call=2)

    (learned,) = json.loads(profile_file.read_text()).values()
    speed = learned["gflop_per_s"]["float32"]
    assert speed > 0
    assert Planner(profile_file).capacity.gflop_per_s["float32"] == speed


@pytest.mark.parametrize(
    "text", ["", "{", '{"cpu": 3}', '{"cpu": {"bytes_factor": {"float32": -1}, "gflop_per_s": 1}}']
)
def test_a_damaged_profile_is_ignored(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    profile_file = tmp_path / "profile.json"
    profile_file.write_text(text)

    assert Planner(profile_file).plan(SMALL, (48, 64), 1) == Plan(1, 0)


def test_a_peak_above_the_prediction_corrects_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Planner()
    size = (1000, 1000)
    predicted = peak_bytes(SMALL, size, planner.capacity)
    planner.plan(SMALL, size, 1)
    monkeypatch.setattr(memory, "peak_bytes", lambda: 2 * predicted)

    planner.observe(SMALL, size, Plan(1, 0), 1.0)

    assert peak_bytes(SMALL, size, planner.capacity) == pytest.approx(2 * predicted, rel=0.01)


def test_a_process_that_has_grown_paints_fewer_together_rather_than_more_than_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size, first = (256, 256), memory.held_bytes()
    limit = first + 2**30
    planner = Planner(limit_bytes=limit)
    fresh = planner.plan(SMALL, size, 64).batch
    monkeypatch.setattr(memory, "held_bytes", lambda: first + 600 * 2**20)

    planner.rest()

    assert peak_bytes(SMALL, size, planner.capacity) > first + 600 * 2**20
    grown = planner.plan(SMALL, size, 64)
    assert 1 <= grown.batch <= fresh / 2
    assert peak_bytes(SMALL, size, planner.capacity, batch=grown.batch) <= limit
    monkeypatch.undo()
    planner.rest()
    assert planner.plan(SMALL, size, 64).batch == fresh


def test_what_the_formula_counts_itself_is_no_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Planner()
    predicted = peak_bytes(SMALL, (256, 256), planner.capacity)
    warm = planner.capacity.base_bytes + FIXED_BYTES
    monkeypatch.setattr(memory, "held_bytes", lambda: warm)

    planner.rest()

    assert peak_bytes(SMALL, (256, 256), planner.capacity) == predicted


def test_a_process_that_has_grown_refuses_nothing_that_a_fresh_one_would_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    first, size = memory.held_bytes(), (1500, 1500)
    planner = Planner(limit_bytes=first + 2**30)
    monkeypatch.setattr(memory, "held_bytes", lambda: first + 2**30)
    planner.rest()

    assert planner.plan(SMALL, size, 1) == Plan(1, MIN_TILE_PX)


_ASKS_FOR_MORE_THAN_IT_MAY = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from worker.engine.device import hardware
hardware.prepare(2 * 10**9)
import tensorflow as tf
from tests.unit.worker.engine.synthetic import random_kernels, smooth_picture
from tests.unit.worker.engine.small_runs import Fixed, changed, run
from worker.engine.image_group import ImageGroup
from worker.engine.vgg.network import Network
from worker.engine.device.planner import Plan
original = ImageGroup._build_targets
ImageGroup._build_targets = lambda group: (None if group._plan.tile else tf.ones([2**29])) is None and original(group)
params = changed(size=300, start_size=0, steps=1)
network = Network.of("random", random_kernels())
chunks = run(smooth_picture(300, 300, 1), smooth_picture(64, 64, 2), params, network, planner=Fixed(Plan(1, 0)))
print(chunks[-1].final, chunks[-1].facts["tile_size"])
"""


def test_an_allocation_that_really_fails_leads_to_tiles() -> None:
    """A process limited to 2 GB asks for one tensor of that size, and TensorFlow refuses it."""
    done = subprocess.run(
        [sys.executable, "-c", _ASKS_FOR_MORE_THAN_IT_MAY], capture_output=True, text=True, timeout=400, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["True", "160"]
