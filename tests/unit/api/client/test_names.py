"""The names that the client declares for itself, and those that the server defines."""

import tomllib
from pathlib import Path
from typing import Any, get_args

from api.client import names
from shared import texts
from shared.painting.params import PRESETS, WEIGHTS_NAMES
from shared.states import TERMINAL, DesiredState

ROOT = Path(__file__).parents[4]


def project(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / path).read_text(encoding="utf-8"))["project"]


def test_the_client_knows_the_states_that_a_job_never_leaves() -> None:
    assert {state.value for state in TERMINAL} == names.TERMINAL_STATES


def test_the_client_knows_what_a_worker_may_be_told() -> None:
    assert set(get_args(names.DesiredState)) == {wish.value for wish in DesiredState}


def test_the_client_knows_the_presets_and_the_weights() -> None:
    assert set(names.PRESETS) == set(PRESETS)
    assert set(names.WEIGHTS) == set(WEIGHTS_NAMES)


def test_the_distribution_has_the_servers_version_and_needs_no_newer_library() -> None:
    server, client = project("pyproject.toml"), project("api/client/pyproject.toml")
    assert client["version"] == server["version"]
    assert set(client["dependencies"]) <= set(server["dependencies"])


def test_what_no_text_may_have_is_known() -> None:
    assert names.UNPRINTABLE.pattern == texts.UNPRINTABLE.pattern
