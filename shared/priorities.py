"""The priorities of jobs and batches: their bounds, and what they count for.

Up to `OWN_PRIORITY`, a priority counts among the jobs of one owner alone, and owners take turns whatever theirs are. A
higher one goes before the jobs of all owners, so only operators may give it, and only to what they ask for themselves
or change: a job that somebody else copies from such a job is capped.
"""

MIN_PRIORITY = -100
#: The highest priority that counts among the jobs of one owner alone.
OWN_PRIORITY = 100
MAX_PRIORITY = 200


def capped(priority: int) -> int:
    """Return a priority as those may have it who are no operators."""
    return min(priority, OWN_PRIORITY)
