"""What is promised of the database holds on SQLite and on PostgreSQL: each test that opens one runs on both.

A test of one of them says so: `@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)`.
"""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    said = any(mark.args[0] == "database_url" for mark in metafunc.definition.iter_markers("parametrize"))
    if "database" in metafunc.fixturenames and not said:
        metafunc.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
