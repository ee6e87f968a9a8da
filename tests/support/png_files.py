"""PNGs whose chunks describe their colours, by name."""

from tests.support.picture_kinds import PICTURE
from tests.support.png_chunks import ADOBE_RGB, DISPLAY_P3, GREY, SRGB, chrm, cicp, gama, iccp, png, trns
from tests.support.sample_images import profile_with_red_and_green_swapped
from tests.unit.shared.imaging.test_pixels import linear_grey_profile

_GREY = PICTURE[..., 0]
_DEEP = PICTURE.astype("uint16") * 257
_PROFILE = profile_with_red_and_green_swapped()

#: Files that Chromium shows too.
COLOURED = {
    "nothing": png(PICTURE),
    "gamma of 1": png(PICTURE, gama(1)),
    "gamma of 1/2": png(PICTURE, gama(0.5)),
    "gamma of 1/1.8": png(PICTURE, gama(1 / 1.8)),
    "gamma of sRGB": png(PICTURE, gama(0.45455)),
    "gamma of 0": png(PICTURE, gama(0)),
    "gamma of 20": png(PICTURE, gama(20)),
    "primaries alone": png(PICTURE, chrm(DISPLAY_P3)),
    "gamma of sRGB, Display P3": png(PICTURE, gama(0.45455), chrm(DISPLAY_P3)),
    "gamma of 1, Adobe RGB": png(PICTURE, gama(1), chrm(ADOBE_RGB)),
    "gamma of 1, primaries of 0": png(PICTURE, gama(1), chrm([0] * 8)),
    "sRGB over gamma": png(PICTURE, gama(1), chrm(ADOBE_RGB), SRGB),
    "profile": png(PICTURE, iccp(_PROFILE)),
    "profile over sRGB": png(PICTURE, SRGB, iccp(_PROFILE)),
    "profile over gamma": png(PICTURE, gama(1), iccp(_PROFILE)),
    "cICP over profile": png(PICTURE, cicp(12, 13), iccp(_PROFILE)),
    "cICP over sRGB and gamma": png(PICTURE, gama(1), SRGB, cicp(12, 13)),
    "cICP of Display P3": png(PICTURE, cicp(12, 13)),
    "cICP of BT.709": png(PICTURE, cicp(1, 1)),
    "cICP of BT.2020": png(PICTURE, cicp(9, 14)),
    "cICP of BT.601": png(PICTURE, cicp(6, 6)),
    "cICP of SMPTE 240": png(PICTURE, cicp(7, 7)),
    "cICP of linear light": png(PICTURE, cicp(1, 8)),
    "cICP of gamma 2.2": png(PICTURE, cicp(1, 4)),
    "cICP of gamma 2.8": png(PICTURE, cicp(5, 5)),
    "cICP of DCI": png(PICTURE, cicp(11, 13)),
    "cICP that says nothing": png(PICTURE, cicp(2, 2)),
    "cICP in narrow range": png(PICTURE, cicp(12, 13, 0, 0)),
    "grey, gamma of 1": png(_GREY, gama(1), kind=GREY),
    "grey, gamma and primaries": png(_GREY, gama(0.5), chrm(DISPLAY_P3), kind=GREY),
    "grey, profile for grey": png(_GREY, iccp(linear_grey_profile()), kind=GREY),
    "grey, profile for RGB": png(_GREY, iccp(_PROFILE), kind=GREY),
    "RGB, profile for grey": png(PICTURE, iccp(linear_grey_profile())),
    "grey of 4 bits, gamma of 1": png(_GREY >> 4, gama(1), kind=GREY, depth=4),
    "grey of 16 bits, gamma of 1": png(_DEEP[..., 0], gama(1), kind=GREY, depth=16),
    "RGB of 16 bits, gamma of 1": png(_DEEP, gama(1), depth=16),
    "grey of 4 bits, one transparent": png(_GREY >> 4, trns(7), kind=GREY, depth=4),
    "grey of 2 bits, one transparent": png(_GREY >> 6, trns(1), kind=GREY, depth=2),
    "grey of 1 bit, one transparent": png(_GREY >> 7, trns(1), kind=GREY, depth=1),
    "grey of 16 bits, one transparent": png(_DEEP[..., 0] >> 12 << 12, trns(0x7000), kind=GREY, depth=16),
    "RGB of 8 bits, one transparent": png(PICTURE >> 6 << 6, trns(64, 64, 64)),
    "RGB of 16 bits, one transparent": png(_DEEP >> 14 << 14, trns(1 << 14, 1 << 14, 1 << 14), depth=16),
}
