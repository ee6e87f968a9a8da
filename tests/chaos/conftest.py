"""Proofs bound what they wait for themselves; the bound on a whole test is there for what hangs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scale import scaled


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(scaled(600, 3600)))
