"""The time of day, always timezone-aware and in UTC; durations are measured with `time.monotonic` instead."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def rfc3339(time: datetime | None) -> str | None:
    """Format `time` as RFC 3339 with milliseconds and a `Z`; None stays None."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
