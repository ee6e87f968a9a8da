"""Rooms stay small: median file at most 120 lines, none above 300."""

from __future__ import annotations

import statistics
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = {
    path.relative_to(ROOT): len(path.read_text().splitlines())
    for package in ("api", "worker", "shared", "migrations")
    for path in (ROOT / package).rglob("*.py")
}


def test_no_file_is_longer_than_300_lines() -> None:
    assert {path: lines for path, lines in LINES.items() if lines > 300} == {}


def test_the_median_file_is_at_most_120_lines() -> None:
    assert statistics.median(LINES.values()) <= 120
