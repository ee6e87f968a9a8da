"""Logs are structured and keep secrets."""

import json
import logging

import pytest
import structlog

from shared import logs


@pytest.fixture(autouse=True)
def _restore_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_bound_ids_stand_in_every_line_of_json(capsys) -> None:
    logs.configure("json")
    with structlog.contextvars.bound_contextvars(job_id="j1", attempt=2):
        logs.get("test").info("step_done", step=3)
        logging.getLogger("library").warning("plain %s", "record")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["job_id"], first["attempt"], first["step"]) == ("step_done", "j1", 2, 3)
    assert (second["event"], second["job_id"], second["level"]) == ("plain record", "j1", "warning")


def test_secrets_never_reach_the_output(capsys) -> None:
    logs.configure("json")
    logs.get("test").info("key_made", api_key="hunter2", authorization="Bearer hunter2")
    assert "hunter2" not in capsys.readouterr().err
