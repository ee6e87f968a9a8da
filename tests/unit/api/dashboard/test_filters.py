"""How pages write durations, sizes, numbers and curves."""

import math
from datetime import timedelta

import pytest

from api.dashboard.filters import duration, number, size, sparkline, when
from shared import clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (math.inf, "–"),
        (0, "0.0 s"),
        (0.02, "20 ms"),
        (0.0996, "0.1 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (60, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (86_400 * 7, "7 d 0 h"),
    ],
)
def test_durations(seconds, text) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(None, "–"), (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (12.3e9, "12.3 GB")]
)
def test_sizes(count, text) -> None:
    assert size(count) == text


def test_numbers_have_thin_spaces() -> None:
    assert number(1234567) == "1\u202f234\u202f567"
    assert number(None) == "–"


def test_a_moment_is_told_by_its_distance(monkeypatch) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    assert "3.0 s ago</time>" in when(now - timedelta(seconds=3))
    assert ">in 1 min" in when(now + timedelta(seconds=90))
    assert when(None) == "–"


def test_a_curve_leaves_gaps_where_nothing_is_known() -> None:
    drawn = sparkline([0, 10, None, 5], "What <it> shows")
    assert 'aria-label="What &lt;it&gt; shows"' in drawn
    assert drawn.count("M") == 2
    assert 'd="M0.0 27.0 L40.0 1.0 M120.0 14.0"' in drawn


def test_a_curve_of_losses_is_logarithmic_and_leaves_out_what_has_no_logarithm() -> None:
    drawn = sparkline([100, 10, 0, 1], "Loss", logarithmic=True)
    assert 'd="M0.0 1.0 L40.0 14.0 M120.0 27.0"' in drawn


def test_nothing_is_drawn_of_nothing() -> None:
    assert 'd=""' in sparkline([], "Nothing")
    assert 'd=""' in sparkline([None, None], "Nothing")
