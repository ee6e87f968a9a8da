"""Paint all pairs by the presets, print their distances, keep the pictures; exit code 1 if a bound is missed."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from tests.judge.painting import Painted, classic_off_the_published_loop, keep, painted, photograph
from tests.judge.pairs import FIRST, PAIRS, Pair

_PICTURES = Path("build/judge")
_SIZE = 384
_SIZES = (256, 512, 1024, 2048)


def main() -> int:
    """Judge what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.judge", description=__doc__)
    parser.add_argument("--sizes", action="store_true", help="the first pair from 256 to 2048 px: half an hour")
    options = parser.parse_args()
    verdicts = list(_sizes() if options.sizes else [*_presets(), *_classic()])
    for name, value, bound in verdicts:
        print(f"{name:<48} {value:>8.2g} {bound:>8.2g} {'ok' if value <= bound else 'MISS'}")
    return 0 if all(value <= bound for _, value, bound in verdicts) else 1


def _presets() -> Iterator[tuple[str, float, float]]:
    """Paint every pair by `balanced`, and the first one by `fast`."""
    found = {}
    for pair in PAIRS:
        style, content, _ = photograph(pair, _SIZE)
        print(f"{pair.name:<36} photograph style {style:.3f} content {content:.2f}  ({pair.kind})")
        found[pair] = _told(pair, "balanced", _SIZE)
    fast, balanced = _told(FIRST, "fast", _SIZE), found[FIRST]
    yield "balanced, first pair: style", balanced.distances.style, 0.06
    yield "balanced, first pair: content", balanced.distances.content, 0.60
    yield "balanced, mean of all pairs: style", fmean(each.distances.style for each in found.values()), 0.08
    yield "balanced, mean of all pairs: content", fmean(each.distances.content for each in found.values()), 0.65
    yield "fast to balanced: style", fast.distances.style / balanced.distances.style, 1.6
    yield "fast to balanced: time", fast.took_s / balanced.took_s, 0.4


def _classic() -> Iterator[tuple[str, float, float]]:
    """Paint the first pair by `classic` and by the published loop, written down with Keras' own parts."""
    ours, itself = classic_off_the_published_loop(FIRST)
    for name, off in (("classic off the published loop", ours), ("that loop off itself, not compiled", itself)):
        print(f"{name:<36} losses {off.losses:.1e}  pixels {off.pixels:.4f}  within 1/255 {off.within:.2%}")
    yield "classic off the published loop, 512 px: losses", ours.losses, 1e-4
    yield "classic off the published loop, 512 px: pixels", ours.pixels, 1 / 255


def _sizes() -> Iterator[tuple[str, float, float]]:
    """Paint the first pair at several sizes, and judge them all at one."""
    styles = [_told(FIRST, "balanced", size, judged_px=512).distances.style for size in _SIZES]
    yield "balanced, 256 to 2048 px judged at 512: style", max(styles) / min(styles), 1.3


def _told(pair: Pair, preset: str, size: int, *, judged_px: int = 0) -> Painted:
    """Paint and judge one picture, print a line, and keep the picture."""
    found = painted(pair, preset, judged_px=judged_px, size=size)
    style, content, by_layer = found.distances
    layers = " ".join(f"{distance:.3f}" for distance in by_layer)
    name = f"{pair.name}-{preset}-{size}"
    print(f"{name:<36} {found.took_s:6.1f} s  style {style:.4f} content {content:.3f}  by layer {layers}", flush=True)
    keep(found.picture, _PICTURES / f"{name}.png")
    return found


if __name__ == "__main__":
    sys.exit(main())
