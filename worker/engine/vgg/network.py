"""VGG19's weights as arrays, without the classifier.

`features` computes with them, `weights` finds or makes them.

Invariant: a `Network` made by `of` holds every convolution in its right shape, and `sha256` is the hash of its numbers.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shared.errors import WeightsUnavailable
from shared.painting.vgg19 import kernel_shapes


class Kernel(NamedTuple):
    """One convolution: `weights` `[3, 3, channels in, channels out]`, `bias` `[channels out]`."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Network:
    """One set of weights, with its name and hash.

    `name` is one that `weights` knows, or `file`; `reason` says why `auto` found no better ones. Networks are compared
    by identity, which makes one a cheap key in a cache of compiled functions.
    """

    name: str
    sha256: str
    kernels: Mapping[str, Kernel]
    reason: str = ""

    @classmethod
    def of(cls, name: str, kernels: Mapping[str, Kernel]) -> Self:
        """Build a network of checked kernels; raise `WeightsUnavailable` if they are not VGG19's or not finite."""
        digest = hashlib.sha256()
        ordered: dict[str, Kernel] = {}
        for layer, shape in kernel_shapes().items():
            if layer not in kernels:
                raise WeightsUnavailable(f"The weights have no layer {layer}.")
            weights, bias = (np.ascontiguousarray(part, np.float32) for part in kernels[layer])
            if weights.shape != shape or bias.shape != shape[-1:]:
                raise WeightsUnavailable(f"The weights of {layer} have shape {weights.shape}; VGG19's is {shape}.")
            if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
                raise WeightsUnavailable(f"Some weights of {layer} are not finite.")
            digest.update(weights.tobytes())
            digest.update(bias.tobytes())
            ordered[layer] = Kernel(weights, bias)
        return cls(name, digest.hexdigest(), ordered)
