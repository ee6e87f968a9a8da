"""A folder is small enough to take in at a glance, and what belongs together has a folder instead of a prefix."""

import statistics
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [
    folder.parent
    for room in ("api", "worker", "shared", "migrations")
    for folder in sorted((ROOT / room).rglob("__init__.py"))
]
MOST_MODULES = 16
#: Of a file, and of the median file.
MOST_LINES, MEDIAN_LINES = 300, 120


def modules(package: Path) -> list[Path]:
    return [path for path in package.glob("*.py") if path.stem != "__init__"]


@pytest.fixture(params=PACKAGES, ids=lambda package: str(package.relative_to(ROOT)))
def package(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_a_folder_has_few_modules(package: Path) -> None:
    assert len(modules(package)) <= MOST_MODULES


def test_no_three_modules_of_a_folder_share_a_prefix(package: Path) -> None:
    prefixes = Counter(path.stem.partition("_")[0] for path in modules(package) if "_" in path.stem)
    assert [prefix for prefix, count in prefixes.items() if count >= 3] == []


def lines(package: Path) -> dict[str, int]:
    return {path.name: len(path.read_text().splitlines()) for path in package.glob("*.py")}


def test_no_file_is_very_long(package: Path) -> None:
    assert {name: count for name, count in lines(package).items() if count > MOST_LINES} == {}


def test_half_of_the_files_are_short() -> None:
    assert statistics.median(count for each in PACKAGES for count in lines(each).values()) <= MEDIAN_LINES
