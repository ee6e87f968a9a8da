"""Resizing: by an antialiasing filter, or bilinearly as in the published recipe."""

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine.pictures.resizing import resize


def test_with_antialias_an_image_shrinks_as_by_pillows_lanczos_filter() -> None:
    picture = np.round(smooth_picture(300, 400, seed=3) * 255) / 255

    ours = resize(picture.astype(np.float32), (75, 100), antialias=True)[0].numpy()

    theirs = Image.fromarray((picture * 255).round().astype(np.uint8)).resize((100, 75), Image.Resampling.LANCZOS)
    assert np.abs(ours - np.asarray(theirs, np.float32) / 255).max() < 1.5 / 255


def test_edges_stay_in_range() -> None:
    edge = np.zeros((64, 64, 3), np.float32)
    edge[:, 32:] = 1.0

    for size in ((20, 20), (150, 150)):
        found = resize(edge, size, antialias=True)[0].numpy()
        assert (found.min(), found.max()) == (0.0, 1.0)


def test_without_antialias_resizing_is_bilinear() -> None:
    picture = smooth_picture(60, 80, seed=3)

    expected = tf.image.resize(picture[np.newaxis], (30, 41))

    np.testing.assert_array_equal(resize(picture, (30, 41), antialias=False), expected)
