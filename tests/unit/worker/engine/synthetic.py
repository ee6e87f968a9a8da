"""Kernels and pictures made of numbers, the same in every run."""

import numpy as np

from shared.painting.vgg19 import kernel_shapes
from worker.engine.types import Picture
from worker.engine.vgg.network import Kernel

#: Gain of a layer. At 1 the optimization is chaotic: ten Adam steps amplify float32 rounding to 1 %, even between
#: compiled and uncompiled Keras. At 0.65 deep activations are as small as the trained ones and both agree to 2e-5.
_GAIN = 0.65


def random_kernels(seed: int = 0) -> dict[str, Kernel]:
    """Return He-initialized kernels, times a gain."""
    rng = np.random.default_rng(seed)
    return {
        layer: Kernel(
            rng.normal(0, _GAIN * np.sqrt(2 / (9 * shape[2])), shape).astype(np.float32),
            rng.normal(0, 0.1, shape[-1]).astype(np.float32),
        )
        for layer, shape in kernel_shapes().items()
    }


def smooth_picture(height: int, width: int, seed: int) -> Picture:
    """Return an image with gradients and edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(rng.uniform(3, 20) * x + rng.uniform(3, 20) * y + rng.uniform(0, 6)) for _ in range(3)]
    noise = rng.normal(0, 0.05, (height, width, 3))
    return np.clip(np.stack(waves, -1) * 0.4 + 0.5 + noise, 0, 1).astype(np.float32)
