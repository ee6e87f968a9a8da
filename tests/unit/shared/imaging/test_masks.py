"""Whether a mask paints anywhere is said by bands, as the whole picture would say it."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageFile

from shared.errors import CorruptImage, ImageTooLarge
from shared.imaging import codec, opening
from tests.support.concurrency import race
from tests.support.sample_images import MAX_PX, NOISE, decode, profile_with_red_and_green_swapped, saved

_MODES = {"1": 1, "L": 2, "P": 3, "RGB": 2, "RGBA": 2, "CMYK": 2, "I;16": 600, "I": 600, "F": 0.01, "LA": 2}
_KINDS = {"CMYK": "TIFF", "I;16": "TIFF", "I": "TIFF", "F": "TIFF"}


def paints(data: bytes, max_px: int = MAX_PX) -> bool:
    return not codec.is_blank_mask(data, max_px=max_px)


def black(mode: str) -> Image.Image:
    return Image.new("CMYK", (40, 30), (0, 0, 0, 255)) if mode == "CMYK" else Image.new(mode, (40, 30))


@pytest.fixture(autouse=True)
def narrow_bands(monkeypatch) -> None:
    """Have a band be a few rows of our small pictures."""
    monkeypatch.setattr(codec, "_BAND_PX", 160)


@pytest.mark.parametrize("place", [(0, 0), (39, 3), (0, 4), (20, 29), (39, 29)])
def test_one_light_pixel_paints_wherever_it_is(place) -> None:
    image = Image.new("L", (40, 30))
    assert not paints(saved(image))
    image.putpixel(place, 2)
    assert paints(saved(image))
    image.putpixel(place, 1)
    assert not paints(saved(image))


@pytest.mark.parametrize("mode", _MODES)
def test_every_kind_of_pixel_is_judged_as_if_it_were_decoded_whole(mode) -> None:
    light = {"RGB": (9, 9, 9), "RGBA": (9, 9, 9, 200), "CMYK": (0, 0, 0, 200), "LA": (9, 200)}.get(mode, _MODES[mode])
    for drawn in (False, True):
        image = black(mode)
        if drawn:
            image.putpixel((7, 21), light)
        data = saved(image, _KINDS.get(mode, "PNG"))
        assert paints(data) == (drawn and bool((decode(data).mask > 1 / 255).any()))


def test_a_palette_a_profile_and_a_transparent_colour_hold_in_every_band() -> None:
    palette = Image.new("P", (40, 30))
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.putpixel((3, 25), 1)
    assert paints(saved(palette))
    assert not paints(saved(palette, transparency=1))
    image = Image.new("RGB", (40, 30))
    image.putpixel((3, 25), (0, 90, 0))
    assert paints(saved(image, icc_profile=profile_with_red_and_green_swapped()))


def test_a_large_mask_takes_little_beside_its_decoding(monkeypatch) -> None:
    monkeypatch.undo()
    data = saved(Image.fromarray(np.zeros((2000, 2000), np.uint8)))
    tracemalloc.start()
    try:
        assert not paints(data, max_px=10**7)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000  # whole, it takes 64 MB
    finally:
        tracemalloc.stop()


def test_no_two_large_masks_are_held_at_once(monkeypatch) -> None:
    held, most = set(), [0]
    load, crop = ImageFile.ImageFile.load, Image.Image.crop

    def loaded(self):
        held.add(id(self))
        most[0] = max(most[0], len(held))
        return load(self)

    def cropped(self, box):
        band = crop(self, box)  # loads once more
        if box[3] == self.height:
            held.discard(id(self))
        return band

    monkeypatch.setattr(opening, "_LARGE_PX", 0)
    monkeypatch.setattr(ImageFile.ImageFile, "load", loaded)
    monkeypatch.setattr(Image.Image, "crop", cropped)
    data = saved(Image.new("L", (40, 400)))
    race(lambda: paints(data), 6)
    assert most[0] == 1


def test_a_mask_that_is_none_is_refused_as_any_picture() -> None:
    data = saved(Image.fromarray(NOISE))
    with pytest.raises(ImageTooLarge):
        paints(data, max_px=100)
    with pytest.raises(CorruptImage):
        paints(data[: len(data) // 2])
