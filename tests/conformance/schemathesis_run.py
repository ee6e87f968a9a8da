"""Schemathesis against our own app, over HTTP on a loopback port: every phase and every check that it has.

What it finds is collected as findings, one line each, so that a failure says what to mend.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from flask import Flask
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from werkzeug.serving import WSGIRequestHandler, make_server

SEED = 1815


@dataclass
class Report:
    """What a run sent and found."""

    findings: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    #: Requests by phase.
    sent: Counter[str] = field(default_factory=Counter)
    #: Requests by operation and status of the answer.
    answered: Counter[tuple[str, int]] = field(default_factory=Counter)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's own name
        """Keep requests off the terminal."""


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve `app` for as long as the block lasts; give its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run(url: str, key: str, *, examples: int, operations: list[dict[str, Any]], phases: dict[str, Any]) -> Report:
    """Try the whole API with `key`; `operations` tell where a check's bounds are other than usual."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "headers": {"Authorization": f"Bearer {key}"},
            "generation": {"max-examples": examples, "deterministic": True, "database": "none", "no-shrink": True},
            "continue-on-failure": True,
            "operations": operations,
            "phases": phases,
        }
    )
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    report = Report()
    for event in from_schema(schema).execute():
        _note(report, event)
    return report


def _note(report: Report, event: events.EngineEvent) -> None:
    match event:
        case events.NonFatalError():
            report.findings.append(f"{event.label}: {event.value!r}")
        case events.FatalError():
            report.findings.append(f"fatal: {event.exception!r}")
        case events.ScenarioFinished():
            _note_scenario(report, event)


def _note_scenario(report: Report, event: events.ScenarioFinished) -> None:
    failed = [
        (case_id, check) for case_id, checks in event.recorder.checks.items() for check in checks if check.failure_info
    ]
    report.findings += [_finding(event, case_id, check) for case_id, check in failed]
    for case_id, interaction in event.recorder.interactions.items():
        report.sent[event.phase.value] += 1
        if interaction.response is not None:
            label = event.recorder.cases[case_id].value.operation.label
            report.statuses[interaction.response.status_code] += 1
            report.answered[label, interaction.response.status_code] += 1


def _finding(event: events.ScenarioFinished, case_id: str, check: Any) -> str:
    case = event.recorder.cases[case_id].value
    interaction = event.recorder.interactions.get(case_id)
    status = interaction.response.status_code if interaction and interaction.response else "-"
    failure = check.failure_info.failure
    words = " ".join(f"{failure.title}: {failure.message}".split())
    sent = f"query={case.query} headers={case.headers} path={case.path_parameters} body={str(case.body)[:200]}"
    return f"[{event.phase.value}] {case.operation.label} {check.name} {status}: {words[:600]} | {case.method} {sent}"
