"""Find, fetch or make the weights that `ATELIER_WEIGHTS` names: `auto`, `imagenet`, `patch` or a file.

`imagenet` is Keras' own file, known by its published hash, from our cache, Keras' or the internet. `patch` is
learned here once and cached. `auto` falls back from the first to the second and says so in the log.

Invariant: what is returned was checked, by hash where one is published, by shape and finiteness always.
"""

from __future__ import annotations

import logging
from pathlib import Path

from shared.errors import WeightsUnavailable
from worker.engine import weight_files
from worker.engine.fetch import fetch
from worker.engine.network import Network

_log = logging.getLogger(__name__)

IMAGENET_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{IMAGENET_FILE}"
#: As Keras publishes it. It finds damage; against forgery stands the encrypted connection.
IMAGENET_MD5 = "253f8cb515780f3b799900260a226db6"
#: Where Keras itself keeps the file.
_KERAS_CACHE = Path("~/.keras/models")


def load(name: str, cache_dir: Path) -> Network:
    """Give the weights called `name`; raise `WeightsUnavailable`, saying the mend, if they cannot be had.

    May download 80 MB once (`imagenet`, `auto`) or learn for half a minute once (`patch`, `auto`).
    """
    if name == "imagenet":
        return _imagenet(cache_dir)
    if name == "patch":
        return _patch(cache_dir)
    if name == "auto":
        return _auto(cache_dir)
    return weight_files.read_hdf5(Path(name).expanduser(), "file")


def cached_imagenet(cache_dir: Path) -> Path | None:
    """Find an undamaged file of the ImageNet weights on this machine."""
    for folder in (cache_dir, _KERAS_CACHE.expanduser()):
        path = folder / IMAGENET_FILE
        if path.is_file():
            if weight_files.md5(path) == IMAGENET_MD5:
                return path
            _log.warning("weights_damaged: %s has not the published hash and is not used", path)
    return None


def fetch_imagenet(cache_dir: Path) -> Path:
    """Download the ImageNet weights unless they are here; raise `WeightsUnavailable` if that fails."""
    return cached_imagenet(cache_dir) or fetch(IMAGENET_URL, cache_dir / IMAGENET_FILE, IMAGENET_MD5)


def _imagenet(cache_dir: Path) -> Network:
    return weight_files.read_hdf5(fetch_imagenet(cache_dir), "imagenet")


def _auto(cache_dir: Path) -> Network:
    try:
        return _imagenet(cache_dir)
    except WeightsUnavailable as error:
        _log.warning(
            "weights_fallback: painting with `patch` weights, learned on this machine, because the trained ones "
            "cannot be had; `atelier weights fetch` gets them. %s",
            error,
        )
        return _patch(cache_dir)


def _patch(cache_dir: Path) -> Network:
    from worker.engine import patch  # TensorFlow is needed only where the weights are not cached

    path = cache_dir / f"patch-{patch.VERSION}.npz"
    if path.is_file():
        try:
            return weight_files.read_npz(path, "patch")
        except WeightsUnavailable as error:
            _log.warning("weights_damaged: %s; learning them again", error)
    _log.info("weights_learning: patch weights are learned once, in about half a minute")
    network = patch.build()
    weight_files.write_npz(path, network)
    return network
