"""The page of the gallery: rows of pictures, and the figures of each, in Markdown for a reader who knows neither."""

import math
import os
import textwrap
import time
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from tests.judge.pairs import FIRST, Pair
from tests.judge.rivals import RIVALS, STEPS
from tests.support import trained_weights
from worker.engine.device import hardware

_OURS = "balanced"
_ABOUT = {
    "fast": "Atelier, `fast`",
    "balanced": "Atelier, `balanced`",
    "quality": "Atelier, `quality`",
    "pastiche": "[pastiche](https://github.com/dstein64/pastiche) 1.6.0",
    "neural-style-pt": "[neural-style-pt](https://github.com/ProGamerGov/neural-style-pt)",
}


class Figures(NamedTuple):
    """How long a picture took, NaN where that is not known, and its distances."""

    took_s: float
    style: float
    content: float


class Shown(NamedTuple):
    """A pair, the style distance of the photograph itself, and the figures of each picture by who painted it."""

    pair: Pair
    photograph: float
    figures: dict[str, Figures]


def page(shown: Sequence[Shown], size: int, *, timed: bool) -> str:
    """Write the whole page."""
    others = [name for name in _ABOUT if any(name in each.figures for each in shown) and name in RIVALS]
    parts = [_INTRODUCTION.format(size=size, others=_others(others)), *(_row(each, others) for each in shown)]
    parts += [_DISTANCES.format(machine=_machine(), weights=trained_weights.NAME, date=time.strftime("%-d %B %Y"))]
    parts += [_pairs_table(shown, others)]
    first = next((each for each in shown if each.pair is FIRST), None)
    if first:
        parts += [_FIRST.format(title=first.pair.title, size=size, times=_TIMES if timed else "")]
        parts += [_first_table(first, timed=timed)]
    return "\n\n".join(_wrapped(part) for text in parts for part in text.strip("\n").split("\n\n")) + "\n"


def _wrapped(paragraph: str) -> str:
    """Break the lines of a sentence where the documents do; tables, headings and pictures keep theirs."""
    if paragraph[0] in "|#!":
        return paragraph
    return textwrap.fill(paragraph, 120, break_long_words=False, break_on_hyphens=False)


_INTRODUCTION = """
# Gallery

`make gallery` painted these pictures, and wrote this page. Each row shows a photograph, a painting, and the photograph
in the style of the painting, with a long side of {size} px: by Atelier with the preset `balanced`{others}.
[Sources of the pictures](pictures/README.md) says where the originals come from, and [Pictures](pictures.md) how the
presets were tuned on them.
"""

_DISTANCES = """
## The figures

Two distances say how close a picture is: *style* to the painting, *content* to the photograph. Lower is closer; the
painting itself has a style distance of 0, the photograph a content distance of 0. [The
distances](pictures.md#the-distances) gives their formulas. The second column is the style distance of the photograph
itself, from which every program starts or could start. A mean is given for who painted all pairs.

Painted on {date} on {machine}, with `{weights}` weights.
"""

_FIRST = """
## The first pair, by each

{title} at {size} px; the pictures are by `fast`, `balanced` and `quality`.{times}

![{title} by fast, balanced, quality](pictures/gallery/presets.jpg)
"""

_TIMES = """ A time is that of one run. Atelier's
begins when TensorFlow and the weights are loaded, as in a worker that waits for jobs; that of another program includes
its start, which takes some seconds."""


def _others(names: Sequence[str]) -> str:
    """Continue the introduction's sentence about who painted."""
    if not names:
        return ""
    told = " and ".join(_ABOUT[name] for name in names)
    return f", then by {told}, with {STEPS} steps of L-BFGS, else their own defaults, and the same weights of VGG19"


def _row(each: Shown, others: Sequence[str]) -> str:
    title, here = each.pair.title, [name for name in others if name in each.figures]
    caption = ", ".join(["the photograph", "the painting", "Atelier", *here])
    kind = each.pair.kind[0].upper() + each.pair.kind[1:]
    return f"**{kind}** · {title}: {caption}\n\n![{title}: {caption}](pictures/gallery/{each.pair.name}.jpg)"


def _pairs_table(shown: Sequence[Shown], others: Sequence[str]) -> str:
    painters = [_OURS, *others]
    head = ["pair", "photograph's style", *("Atelier" if name == _OURS else name for name in painters)]
    rows = [
        [each.pair.title, f"{each.photograph:.3f}", *(_distances(each.figures.get(name)) for name in painters)]
        for each in shown
    ]
    rows.append(["mean", f"{fmean(each.photograph for each in shown):.3f}", *(_mean(shown, name) for name in painters)])
    return _table([*head[:2], *(f"{name}: style, content" for name in head[2:])], rows)


def _first_table(first: Shown, *, timed: bool) -> str:
    head = ["painted by", *(["time"] if timed else []), "style", "content"]
    rows = []
    for name in (name for name in _ABOUT if name in first.figures):
        took_s, style, content = first.figures[name]
        time_s = "not measured" if math.isnan(took_s) else f"{took_s:.0f} s"
        rows.append([_ABOUT[name], *([time_s] if timed else []), f"{style:.3f}", f"{content:.2f}"])
    return _table(head, rows)


def _distances(figures: Figures | None) -> str:
    return f"{figures.style:.3f}, {figures.content:.2f}" if figures else ""


def _mean(shown: Sequence[Shown], name: str) -> str:
    """Average over all pairs; over some of them it would compare what is not comparable."""
    found = [each.figures[name] for each in shown if name in each.figures]
    if len(found) < len(shown):
        return ""
    return _distances(Figures(math.nan, fmean(each.style for each in found), fmean(each.content for each in found)))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _machine() -> str:
    device = hardware.describe()
    return f"a GPU, {device['name']}" if device["kind"] == "gpu" else f"{os.cpu_count()} cores of {device['name']}"
