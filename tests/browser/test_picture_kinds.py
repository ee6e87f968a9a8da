"""Every kind of picture looks as Chromium shows it, however the camera was held and whatever is transparent."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page

from shared.imaging import codec
from tests.browser.rendering import shown
from tests.support.picture_kinds import (
    ALPHA,
    ALPHA_KINDS,
    PICTURE,
    TURNED_KINDS,
    UNSEEN_KINDS,
    UPRIGHT_KINDS,
    Held,
    held,
    made,
    media_type,
)
from tests.support.png_files import COLOURED
from tests.support.sample_images import STORED, saved

_MOST = 2.01 / 255
_GROUNDS = {"white": 1.0, "black": 0.0}


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    """An empty page."""
    page = chromium.new_page()
    yield page
    page.close()


def ours(data: bytes, ground: float) -> NDArray[np.float32]:
    """What we decode, on a grey ground."""
    rgb, alpha = codec.decode(data, max_px=10**6)
    return rgb if alpha is None else rgb * alpha[..., None] + ground * (1 - alpha[..., None])


def chromiums(page: Page, kind: str, of: Held, ground: str) -> NDArray[np.float64]:
    """What Chromium shows of a kind, or of a PNG of the same pixels if it does not show that.

    It does not turn WebP, though CSS Images 3, section 6.1, asks for it; so there it shows the picture as it was before
    the camera was turned.
    """
    if kind.startswith("webp"):
        stored = shown(page, made(kind, of), media_type(kind), ground=ground)
        return upright(stored, of.orientation)
    seen = "png" if kind in UNSEEN_KINDS else kind
    return shown(page, made(seen, of), media_type(seen), ground=ground)


def upright(stored: NDArray[np.float64], orientation: int) -> NDArray[np.float64]:
    """Turn what was stored in one of the eight ways; six and eight undo each other."""
    return STORED[{6: 8, 8: 6}.get(orientation, orientation)](stored)


def differences(page: Page, kind: str, of: Held) -> list[float]:
    return [
        float(np.abs(ours(made(kind, of), level) - chromiums(page, kind, of, ground)).max())
        for ground, level in _GROUNDS.items()
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", TURNED_KINDS)
def test_a_picture_looks_as_in_a_browser_however_it_was_held(page, kind, orientation) -> None:
    assert max(differences(page, kind, held(orientation))) <= _MOST


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [kind for kind in ALPHA_KINDS if kind not in UPRIGHT_KINDS])
def test_a_transparent_picture_looks_as_in_a_browser_however_it_was_held(page, kind, orientation) -> None:
    of = held(orientation, transparent=True)
    if kind == "avif":  # whose half opacity Chromium stretches; it is in full range (AVIF 1.1, section 4.1)
        of = of._replace(alpha=np.where(of.alpha > 127, 255, 0).astype(np.uint8))
    assert max(differences(page, kind, of)) <= _MOST


def test_the_half_opacity_of_an_avif_is_as_it_was_stored() -> None:
    alpha = codec.decode(made("avif", held(transparent=True)), max_px=10**6).alpha
    assert alpha is not None
    assert np.abs(alpha - ALPHA / 255).max() <= _MOST


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("kind", UPRIGHT_KINDS)
def test_a_picture_of_a_kind_that_is_never_turned_looks_as_in_a_browser(page, kind, transparent) -> None:
    assert max(differences(page, kind, held(transparent=transparent))) <= _MOST


@pytest.mark.parametrize("name", COLOURED)
def test_the_colours_that_a_png_describes_are_those_of_a_browser(page, name) -> None:
    data = COLOURED[name]
    for ground, level in _GROUNDS.items():
        assert np.abs(ours(data, level) - shown(page, data, "image/png", ground=ground)).max() <= _MOST


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_what_xmp_says_of_how_a_picture_is_turned_counts_for_nothing(page, kind) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = saved(Image.fromarray(PICTURE), kind, xmp=xmp)
    assert np.abs(ours(data, 1) - shown(page, data, f"image/{kind.lower()}", ground="white")).max() <= _MOST
