"""How other programs are called, with a script in place of each: none of them is needed for it."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.judge import rivals
from tests.judge.pairs import FIRST
from tests.judge.rivals import Order, Rival, neural_style_pt, painted_by, pastiche

_COPIES = "import sys; from PIL import Image; Image.open(sys.argv[1]).resize((64, 48)).save(sys.argv[2])"


def copying(order: Order) -> list[str]:
    """Stand in for a program: the content, made small."""
    return [sys.executable, "-c", _COPIES, str(order.content), str(order.output)]


def test_a_picture_is_painted_once_and_its_time_kept(trained_dir, tmp_path: Path) -> None:
    first = painted_by(Rival("copy", copying), FIRST, 64, tmp_path)
    again = painted_by(Rival("copy"), FIRST, 64, tmp_path)

    assert first is not None
    assert again is not None
    assert first.took_s == again.took_s > 0
    assert again.distances == first.distances
    assert first.distances.content < 0.2 < first.distances.style


def test_a_program_that_is_not_at_hand_is_left_out(tmp_path: Path) -> None:
    assert painted_by(Rival("copy"), FIRST, 64, tmp_path) is None


def test_a_picture_from_elsewhere_has_no_time_and_must_have_the_size(trained_dir, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    FIRST.opened()[0].resize((64, 48)).save(tmp_path / "copy" / f"{FIRST.name}.png")

    found = painted_by(Rival("copy"), FIRST, 64, tmp_path)
    assert found is not None
    assert math.isnan(found.took_s)
    with pytest.raises(RuntimeError, match="has 64 px, not 128"):
        painted_by(Rival("copy"), FIRST, 128, tmp_path)


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    failing = Rival("broken", lambda _: [sys.executable, "-c", "raise SystemExit('no such network')"])
    with pytest.raises(RuntimeError, match="broken: no such network"):
        painted_by(failing, FIRST, 64, tmp_path)


def test_both_are_asked_for_the_same_size_and_steps() -> None:
    order = Order(Path("c.png"), Path("s.png"), Path("o.png"), 384)
    said = [" ".join(program.command(order)) for program in (pastiche(Path("py")), neural_style_pt(*map(Path, "fpw")))]

    assert "--size 384 --num-steps 300" in said[0]
    assert "-image_size 384 -num_iterations 300" in said[1]
    assert "-gpu c" in said[1]


def test_the_layers_of_vgg19_are_numbered_as_torch_numbers_them(trained_dir) -> None:
    arrays = rivals._numbered()

    numbers = sorted({int(name.split(".")[1]) for name in arrays})
    assert numbers == [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    assert arrays["features.5.weight"].shape == (128, 64, 3, 3)
    assert np.isclose(arrays["features.0.weight"][0, 0, 0, 0], 0.3406, atol=1e-4)
