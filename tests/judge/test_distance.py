"""The judge of pictures: what it calls near is near, and it agrees with another one where that is at hand."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.judge.distance import Judge
from tests.judge.pairs import FIRST, FOLDER, PAIRS

#: Another judge of the same distances, which some machines have beside the checkout.
_OTHER = FOLDER.parents[2] / "shared" / "judge" / "judge.py"


@pytest.fixture
def pair(trained_dir) -> tuple[Image.Image, Image.Image]:
    return FIRST.opened()


def test_the_photograph_is_its_own_content_and_the_painting_its_own_style(pair) -> None:
    content, style = pair
    judge = Judge(content, style, (96, 60))

    assert judge.distances(content).content == 0
    assert judge.distances(style).style < 1e-3
    assert judge.distances(content).style > 0.2
    assert judge.distances(style).content > 0.5


def test_a_picture_half_way_to_the_painting_is_half_way_for_the_judge(pair) -> None:
    content, style = (picture.resize((96, 72)) for picture in pair)
    judge = Judge(content, style, (96, 72))
    between = judge.distances(Image.blend(content, style, 0.5))

    assert judge.distances(style).style < between.style < judge.distances(content).style
    assert 0 < between.content < judge.distances(style).content


@pytest.mark.skipif(not _OTHER.is_file(), reason="There is no other judge beside the checkout.")
def test_it_agrees_with_the_other_judge(pair, tmp_path: Path) -> None:
    from tests.support import trained_weights

    picture, weights = tmp_path / "picture.png", tmp_path / "vgg19.npz"
    content, style = pair
    Image.blend(content.resize((128, 96)), style.resize((128, 96)), 0.3).save(picture)
    kernels = trained_weights.network().kernels
    np.savez(
        weights, **{f"{k}/{n}": v for k, pair in kernels.items() for n, v in zip(("kernel", "bias"), pair, strict=True)}
    )
    command = [sys.executable, str(_OTHER), str(weights), str(FOLDER / FIRST.content), str(FOLDER / FIRST.style)]
    said = subprocess.run([*command, str(picture)], capture_output=True, text=True, check=True, env=os.environ).stdout

    words = said.splitlines()[-1].split()
    theirs = float(words[words.index("style") + 1]), float(words[words.index("content") + 1])
    assert Judge(content, style, (128, 96)).distances(Image.open(picture))[:2] == pytest.approx(theirs, abs=1e-3)


def test_every_pair_is_there_and_is_of_another_kind() -> None:
    assert len({pair.kind for pair in PAIRS}) == len(PAIRS) >= 6
    for pair in PAIRS:
        assert all(min(picture.size) >= 300 for picture in pair.opened())
