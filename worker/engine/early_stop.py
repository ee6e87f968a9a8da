"""When a scale has got as far as it will: its loss hardly falls any more.

Invariant: what is not a number never counts as progress.
"""

from __future__ import annotations

import math


def improved_enough(before: float, after: float, share: float) -> bool:
    """Tell whether the loss fell by at least `share` of what it was, over a window of `early_stop_window` steps.

    Relative, since losses differ by orders of magnitude with weights, scaling and size; over a window, since one
    step may well raise it. Losses after the same number of steps each are compared, so that the pace is judged and
    not the distance. A loss of 0 cannot fall, and one that rose or is not finite has not.

    `share` is above 0; nobody asks where early stopping is off.
    """
    return math.isfinite(before) and math.isfinite(after) and after < before and before - after >= share * before
