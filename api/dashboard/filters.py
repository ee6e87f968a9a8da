"""Template filters for times, durations, sizes, numbers and sparklines.

Invariant: text from a client leaves a filter escaped, or as plain text that the template escapes.
"""

import math
from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from api.dashboard.pages import blueprint
from api.schemas.jobs import JobView
from shared import clock

#: Size of a sparkline, in units of its view box.
_WIDTH, _HEIGHT = 120, 28
_UNITS = ("B", "kB", "MB", "GB", "TB")


@blueprint.app_template_filter()
def when(time: str | datetime | None) -> Markup | str:
    """Format a time relative to now; its tooltip is the exact time."""
    if time is None:
        return "–"
    at = datetime.fromisoformat(time) if isinstance(time, str) else time
    seconds = (clock.now() - at).total_seconds()
    text = "now" if abs(seconds) < 1 else f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"
    return Markup('<time datetime="{}" title="{:%Y-%m-%d %H:%M:%S} UTC">{}</time>').format(at.isoformat(), at, text)


@blueprint.app_template_filter()
def duration(seconds: float | None) -> str:
    """Format seconds in at most two units."""
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
    """Format a number of bytes with three significant digits."""
    if count is None:
        return "–"
    power = 0 if count < 1 else min(len(_UNITS) - 1, int(math.log(count, 1000)))
    return f"{count / 1000**power:.3g} {_UNITS[power]}"


@blueprint.app_template_filter()
def number(count: float | None) -> str:
    """Format a whole number with thin spaces between thousands."""
    return "–" if count is None else f"{count:,.0f}".replace(",", "\u202f")


@blueprint.app_template_filter()
def short(name: str) -> str:
    """Return the end of an id; ids made at the same time share their beginning."""
    return name[-8:]


@blueprint.app_template_global()
def sparkline(values: Sequence[float | None], label: str, *, logarithmic: bool = False) -> Markup:
    """Draw equally spaced values; None leaves a gap. `label` describes it to screen readers."""
    shown = [None if value is None else _height_of(value, logarithmic=logarithmic) for value in values]
    known = [value for value in shown if value is not None]
    low, high = (min([0.0, *known]) if not logarithmic else min(known, default=0.0)), max(known, default=0.0)
    span = high - low or 1.0
    across = _WIDTH / max(len(shown) - 1, 1)
    path, pen = [], "M"
    for index, value in enumerate(shown):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{index * across:.1f} {_HEIGHT - 1 - (_HEIGHT - 2) * (value - low) / span:.1f}")
        pen = "L"
    svg = Markup('<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">')
    curve = Markup('<path d="{}"/></svg>').format(" ".join(path))
    return svg.format(_WIDTH, _HEIGHT, label) + curve


def _height_of(value: float, *, logarithmic: bool) -> float | None:
    if not logarithmic:
        return value if math.isfinite(value) else None
    return math.log10(value) if 0 < value < math.inf else None


@blueprint.app_template_filter()
def took(job: JobView) -> float | None:
    """Return how long a job ran, or has been running, in seconds; None if it has not started."""
    if job.started_at is None:
        return None
    ended = datetime.fromisoformat(job.ended_at) if job.ended_at else clock.now()
    return (ended - datetime.fromisoformat(job.started_at)).total_seconds()
