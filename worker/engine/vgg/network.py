"""VGG19 as data: its layers in order, and one set of weights for them.

Plain numpy; `vgg` turns it into a computation and `weights` finds or makes it. The classifier's top is left out.

Invariant: a `Network` holds every convolution in the right shape, and `sha256` names exactly those numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shared.errors import WeightsUnavailable
from shared.painting.vgg19 import kernel_shapes


class Kernel(NamedTuple):
    """One convolution: `weights` is `[3, 3, channels in, channels out]`, `bias` is `[channels out]`."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Network:
    """Weights of VGG19: where they come from, their hash, their numbers.

    `name` is one of those that `weights` knows, or `file`; `reason` says why it is no better one, if `auto` chose it.
    Two are equal only if they are the same object, which makes one a cheap key of compiled computations.
    """

    name: str
    sha256: str
    kernels: Mapping[str, Kernel]
    reason: str = ""

    @classmethod
    def of(cls, name: str, kernels: Mapping[str, Kernel]) -> Self:
        """Check every shape and number, and hash them; raise `WeightsUnavailable` if they are not VGG19's."""
        digest = hashlib.sha256()
        ordered: dict[str, Kernel] = {}
        for layer, shape in kernel_shapes().items():
            if layer not in kernels:
                raise WeightsUnavailable(f"The weights hold no layer {layer}.")
            weights, bias = (np.ascontiguousarray(part, np.float32) for part in kernels[layer])
            if weights.shape != shape or bias.shape != shape[-1:]:
                raise WeightsUnavailable(f"The weights of {layer} have shape {weights.shape}; VGG19's is {shape}.")
            if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
                raise WeightsUnavailable(f"The weights of {layer} are not all finite.")
            digest.update(weights.tobytes())
            digest.update(bias.tobytes())
            ordered[layer] = Kernel(weights, bias)
        return cls(name, digest.hexdigest(), ordered)
