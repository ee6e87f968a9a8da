"""A VGG19 of small random numbers, pictures to paint, and the patch weights, built once."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

from tests.unit.worker.engine.synthetic import random_kernels, smooth_picture
from worker.engine.types import Picture
from worker.engine.vgg.network import Network


@pytest.fixture(scope="session")
def network() -> Network:
    return Network.of("random", random_kernels())


@pytest.fixture
def content() -> Picture:
    return smooth_picture(60, 80, seed=1)


@pytest.fixture
def style() -> Picture:
    return smooth_picture(72, 64, seed=2)
