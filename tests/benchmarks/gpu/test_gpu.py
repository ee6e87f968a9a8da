"""The benchmark for GPUs, on a machine that has none: it says so, keeps to its budget, and measures a tiny form."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.gpu import neighbour
from tests.benchmarks.gpu.budget import Budget
from tests.benchmarks.gpu.cases import MODES, Case, Mode, cases


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks.gpu", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)


@pytest.mark.process
@pytest.mark.slow
def test_its_tiny_form_measures_and_profiles_on_a_cpu(tmp_path: Path) -> None:
    done = run("--cpu", "--minutes", "60", "-o", str(tmp_path / "found.json"))

    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    alone, profile, together = found["results"]
    for result in (alone, together):
        assert result["slowest_ms"] >= result["step_ms"] >= result["fastest_ms"] > 0, result
        assert result["peak_bytes"] > 0
        assert result["first_call_s"] > 0
    assert "Conv2D" in " ".join(op["op"] for op in profile["top_ops"])
    assert 0.5 < sum(op["share"] for op in profile["top_ops"]) <= 1.001
    assert found["machine"]["versions"]["tensorflow"]


@pytest.mark.process
@pytest.mark.slow
def test_without_a_gpu_it_says_so_and_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    done = run("-o", str(tmp_path / "found.json"))

    assert (done.returncode, done.stdout) == (3, "")
    assert "no NVIDIA GPU" in done.stderr
    assert not (tmp_path / "found.json").exists()


def test_a_budget_skips_what_takes_longer_than_is_left() -> None:
    now = [0.0]
    budget = Budget(100, clock=lambda: now[0])

    def taking(seconds: float):
        def run(_: float) -> dict[str, float]:
            now[0] += seconds
            return {"took": seconds}

        return run

    assert budget.spend(taking(40), 75) == {"took": 40}
    assert budget.spend(taking(30), 75) == {"took": 30}
    assert budget.spend(taking(1), 75) == {"skipped": "30 s of the budget are left"}


def test_a_case_that_fails_or_hangs_costs_its_own_result_alone() -> None:
    now = [0.0]
    budget = Budget(100, clock=lambda: now[0])

    def hangs(limit_s: float) -> dict[str, float]:
        now[0] += limit_s
        raise subprocess.TimeoutExpired("measure", limit_s)

    def fails(_: float) -> dict[str, float]:
        raise RuntimeError("out of memory")

    assert budget.spend(hangs, 60) == {"failed": "it took more than 60 s"}
    assert budget.spend(fails, 60) == {"failed": "out of memory"}
    assert budget.spend(lambda limit_s: {"limit": limit_s}, 60) == {"limit": 40}


def test_every_mode_is_measured_at_the_usual_size_first() -> None:
    listed = list(cases(tiny=False))

    assert [case.mode for case in listed[: len(MODES)]] == list(MODES)
    assert {(case.size, case.pictures, case.optimizer) for case in listed[: len(MODES)]} == {(512, 1, "lbfgs")}
    wanted = {(size, count, by) for size in (128, 512, 1024) for count in (1, 8) for by in ("adam", "lbfgs")}
    assert {case[:1] + case[2:] for case in listed} == wanted


@pytest.mark.slow
def test_xla_compiles_the_steps_once_and_not_for_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.benchmarks.gpu import measure

    shallow = {"content_layers": {"block2_conv1": 1.0}, "style_layers": {"block1_conv1": 1.0}}
    params = measure.single_scale(24, steps=3, optimizer="lbfgs", precision="float32", **shallow)
    monkeypatch.setattr(measure, "_params", lambda *_, **__: params)
    monkeypatch.setattr(measure.WholeImageEvaluator, "run_steps", measure._run_steps_by_xla)

    first, *later = measure._calls(Case(24, "", 1, "lbfgs"), Mode("float32", xla=True), 1)

    assert max(chunk.step_ms for chunk in later) < first.step_ms / 5
    assert later[-1].losses[-1].total < first.losses[-1].total


def test_figures_of_a_neighbour_are_read_from_what_it_prints() -> None:
    said = [(float(number), f"Iteration {10 * number} / 100") for number in range(1, 5)]

    assert neighbour.figures([*said, (9.0, "peak_bytes 123")]) == {"step_ms": 100.0, "peak_bytes": 123}
    with pytest.raises(RuntimeError, match="no CUDA"):
        neighbour.figures([(0.0, "no CUDA")])
