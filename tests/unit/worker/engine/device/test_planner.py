import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import TooLarge
from tests.unit.worker.engine.small_runs import SMALL, changed, run
from worker.engine.device import memory
from worker.engine.device.planner import Plan, Planner
from worker.engine.types import Picture
from worker.engine.vgg.network import Network


def test_all_pictures_are_painted_at_once_where_the_memory_holds_them() -> None:
    assert Planner().plan(SMALL, (48, 64), 8) == Plan(8, 0)


def test_fewer_are_painted_at_once_where_it_does_not() -> None:
    planner = Planner(limit_bytes=memory.held_bytes() + 400 * 2**20)

    plan = planner.plan(SMALL, (256, 256), 8)

    assert 1 <= plan.batch < 8
    assert plan.tile == 0


def test_a_large_picture_is_tiled_and_one_beyond_all_memory_refused() -> None:
    planner = Planner(limit_bytes=memory.held_bytes() + 2**30)

    assert planner.plan(SMALL, (1500, 1500), 1).tile > 0
    with pytest.raises(TooLarge):
        planner.plan(SMALL, (15_000, 15_000), 1)


@pytest.mark.parametrize("changes", [{"early_stop": 0.1}, {"tile_size": 32}], ids=str)
def test_pictures_that_part_ways_are_painted_one_by_one(changes: dict[str, object]) -> None:
    assert Planner().plan(changed(**changes), (48, 64), 8).batch == 1


def test_less_memory_means_fewer_pictures_then_tiles_then_smaller_ones() -> None:
    plans, plan = [], Plan(4, 0)
    while plan is not None:
        plans.append(plan)
        plan = plan.smaller((300, 600))

    assert plans == [Plan(4, 0), Plan(2, 0), Plan(1, 0), Plan(1, 304), Plan(1, 160)]


def test_what_is_learned_is_kept_for_the_next_process(
    tmp_path: Path, content: Picture, style: Picture, network: Network
) -> None:
    notebook = tmp_path / "weights" / "profile.json"

    run(content, style, changed(steps=8), network, planner=Planner(notebook), steps_per_call=2)

    (learned,) = json.loads(notebook.read_text()).values()
    speed = learned["gflop_per_s"]["float32"]
    assert speed > 0
    assert Planner(notebook).capacity.gflop_per_s["float32"] == speed


@pytest.mark.parametrize(
    "text", ["", "{", '{"cpu": 3}', '{"cpu": {"bytes_factor": {"float32": -1}, "gflop_per_s": 1}}']
)
def test_a_spoilt_notebook_is_begun_anew(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    notebook = tmp_path / "profile.json"
    notebook.write_text(text)

    assert Planner(notebook).plan(SMALL, (48, 64), 1) == Plan(1, 0)


def test_a_peak_above_the_predicted_one_corrects_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Planner()
    size = (1000, 1000)
    predicted = planner.predicted_bytes(SMALL, size, Plan(1, 0))
    planner.plan(SMALL, size, 1)
    monkeypatch.setattr(memory, "peak_bytes", lambda: 2 * predicted)

    planner.observe(SMALL, size, Plan(1, 0), 1.0)

    assert planner.predicted_bytes(SMALL, size, Plan(1, 0)) == pytest.approx(2 * predicted, rel=0.01)


_ASKS_FOR_MORE_THAN_IT_MAY = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from worker.engine.device import device
device.prepare(2 * 10**9)
import tensorflow as tf
from tests.unit.worker.engine.synthetic import random_kernels, smooth_picture
from tests.unit.worker.engine.small_runs import Fixed, changed, run
from worker.engine.batch import Batch
from worker.engine.vgg.network import Network
from worker.engine.device.planner import Plan
aimed = Batch._aimed
Batch._aimed = lambda batch: (None if batch._plan.tile else tf.ones([2**29])) is None and aimed(batch)
params = changed(size=300, start_size=0, steps=1)
network = Network.of("random", random_kernels())
chunks = run(smooth_picture(300, 300, 1), smooth_picture(64, 64, 2), params, network, planner=Fixed(Plan(1, 0)))
print(chunks[-1].final, chunks[-1].facts["tile_size"])
"""


def test_memory_that_really_runs_out_leads_to_tiles() -> None:
    """In a process of its own that may take 2 GB, asks for one tensor of as much, and is told that it may not."""
    done = subprocess.run(
        [sys.executable, "-c", _ASKS_FOR_MORE_THAN_IT_MAY], capture_output=True, text=True, timeout=400, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["True", "160"]
