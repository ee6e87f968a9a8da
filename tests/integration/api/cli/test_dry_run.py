"""`atelier submit --dry-run` against the real API: the figures of a worker that is there, and nothing queued."""

import json

from shared.db import workers
from shared.painting.costs import Capacity


def test_a_dry_run_tells_what_it_would_take_and_queues_nothing(atelier, photo, database) -> None:
    with database.writing() as session:
        workers.record_heartbeat(session, "w1", {"capacity": Capacity(memory_bytes=2**34).model_dump(mode="json")})
    asked = ("submit", photo, photo, "--mask", photo, "--init-image", photo, "--size", 48, "--start-size", 24)
    told = atelier(*asked, "--dry-run").stdout
    assert [line.split()[0] for line in told.splitlines()] == ["time", "memory", "scales"]
    assert "24×16, 48×32 px" in told
    assert json.loads(atelier(*asked, "--dry-run", "--json").stdout)["params"]["size"] == 48
    assert atelier("list").stderr == "No jobs.\n"


def test_a_dry_run_refuses_what_a_job_would_be_refused_for(atelier, photo, database) -> None:
    with database.writing() as session:
        workers.record_heartbeat(session, "w1", {"capacity": Capacity(memory_bytes=2**28).model_dump(mode="json")})
    result = atelier("submit", photo, photo, "--size", 16000, "--dry-run")
    assert result.exit_code == 1
    assert "the largest size that fits is" in result.stderr
