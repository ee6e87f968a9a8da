"""How pages write moments, durations, sizes, numbers and curves.

Invariant: whatever comes from a client leaves a filter escaped, or as text that the template escapes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from api.dashboard.pages import blueprint
from api.schemas.jobs import JobView
from shared import clock

#: What a sparkline measures, in units of its own.
_WIDTH, _HEIGHT = 120, 28
_UNITS = ("B", "kB", "MB", "GB", "TB")


@blueprint.app_template_filter()
def when(moment: str | datetime | None) -> Markup | str:
    """Write a moment as the time since or until then; the moment itself shows when it is pointed at."""
    if moment is None:
        return "–"
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    seconds = (clock.now() - at).total_seconds()
    text = "now" if abs(seconds) < 1 else f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"
    return Markup('<time datetime="{}" title="{:%Y-%m-%d %H:%M:%S} UTC">{}</time>').format(at.isoformat(), at, text)


@blueprint.app_template_filter()
def duration(seconds: float | None) -> str:
    """Write seconds in the two largest units that matter."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 10:
        return f"{seconds * 1000:.0f} ms" if 0 < seconds < 0.0995 else f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


@blueprint.app_template_filter()
def size(count: float | None) -> str:
    """Write a number of bytes with three digits."""
    if count is None:
        return "–"
    power = 0 if count < 1 else min(len(_UNITS) - 1, int(math.log(count, 1000)))
    return f"{count / 1000**power:.3g} {_UNITS[power]}"


@blueprint.app_template_filter()
def number(count: float | None) -> str:
    """Write a whole number with thin spaces between its thousands."""
    return "–" if count is None else f"{count:,.0f}".replace(",", "\u202f")


@blueprint.app_template_filter()
def short(name: str) -> str:
    """Write the end of an id, which is what tells ids of one minute apart."""
    return name[-8:]


@blueprint.app_template_global()
def sparkline(values: Sequence[float | None], label: str, *, logarithmic: bool = False) -> Markup:
    """Draw a curve of values at equal distances; None leaves a gap. `label` says what it shows to who cannot see it."""
    shown = [None if value is None else _height_of(value, logarithmic=logarithmic) for value in values]
    known = [value for value in shown if value is not None]
    low, high = (min([0.0, *known]) if not logarithmic else min(known, default=0.0)), max(known, default=0.0)
    span = high - low or 1.0
    across = _WIDTH / max(len(shown) - 1, 1)
    path, pen = [], "M"
    for place, value in enumerate(shown):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{place * across:.1f} {_HEIGHT - 1 - (_HEIGHT - 2) * (value - low) / span:.1f}")
        pen = "L"
    drawn = Markup('<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">')
    curve = Markup('<path d="{}"/></svg>').format(" ".join(path))
    return drawn.format(_WIDTH, _HEIGHT, label) + curve


def _height_of(value: float, *, logarithmic: bool) -> float | None:
    if not logarithmic:
        return value if math.isfinite(value) else None
    return math.log10(value) if 0 < value < math.inf else None


@blueprint.app_template_filter()
def took(job: JobView) -> float | None:
    """Return how long a job has been running or did run, in seconds; None for one that never began."""
    if job.started_at is None:
        return None
    ended = datetime.fromisoformat(job.ended_at) if job.ended_at else clock.now()
    return (ended - datetime.fromisoformat(job.started_at)).total_seconds()
