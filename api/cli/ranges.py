"""Numbers within bounds, which the help and the errors write as people do: `[1 and above]`, not `[x>=1]`."""

import click


class IntRange(click.IntRange):
    """A whole number within bounds."""

    def _describe_range(self) -> str:
        return _text(self)


class FloatRange(click.FloatRange):
    """A number within bounds."""

    def _describe_range(self) -> str:
        return _text(self)


def _text(bounds: click.IntRange | click.FloatRange) -> str:
    """Write bounds of which the upper one, if there is one, is never open."""
    least = f"above {bounds.min}" if bounds.min_open else str(bounds.min)
    if bounds.max is not None:
        return f"{least} to {bounds.max}"
    return least if bounds.min_open else f"{least} and above"
