"""The running API does what its description says: Schemathesis tries it whole, as each role that may change things.

Short in `make test`, and at length with `CONFORMANCE=long`. All of its checks are on; where one of them may expect
what it does not by default, the reason stands beside it.
"""

import os
from collections import Counter
from typing import Any

import pytest

from tests.conformance.app_under_test import impatient_app, real_pictures, upload
from tests.conformance.schemathesis_run import Report, run, served
from tests.support.factories import add_key

LONG = os.environ.get("CONFORMANCE") == "long"
#: Examples of each operation in the phase of fuzzing, and chains of linked requests.
EXAMPLES = 300 if LONG else 4

#: The longest phase, bounds and types one by one, is the same for every role that gets so far.
ROLES = {"operator": {}, "client": {} if LONG else {"coverage": {"enabled": False}}}

_ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "429"]


def _may_refuse(pattern: str, *statuses: str, **checks: Any) -> dict[str, Any]:
    """Let operations answer a request of the right form with other statuses too, and bound other checks."""
    checks |= {"positive_data_acceptance": {"expected-statuses": [*_ACCEPTED, *statuses]}}
    return {"include-name-regex": pattern, "checks": checks}


OPERATIONS = [
    # which pictures and jobs there are, and how large a worker's memory is, no schema can say
    _may_refuse("^(POST|PUT) /v1/jobs", "400", "413", "415", "422"),
    _may_refuse("^POST /v1/batches(?!/.*/(items|promote)$)", "400", "413", "415", "422"),
    # a batch that was just opened has no item of the key that is made up for it
    _may_refuse(
        "^POST /v1/batches/.*/promote$", "400", "413", "415", "422", ensure_resource_availability={"enabled": False}
    ),
    # a bad item is told in an answer that takes the good ones
    _may_refuse("^POST /v1/batches/.*/items$", "400", "413", "415", "422", negative_data_rejection={"enabled": False}),
    # nor which values a matrix tries together
    _may_refuse("^PATCH /v1/batches", "400", "422"),
    # nor which cursors were given
    _may_refuse("^GET /v1/batches/.*/items$", "422"),
    _may_refuse("^GET /v1/(batches|jobs|keys|webhooks/deliveries)$", "422"),
    _may_refuse("^GET /v1/(operations|audit|failures)$", "422"),
    # nor which owners and batches there are, and that a filter names something
    _may_refuse("^POST /v1/operations$", "400", "422"),
    # nor which addresses are public
    _may_refuse("^POST /v1/webhooks/test$", "400", "422"),
    # nor which idempotency keys were used for something else
    _may_refuse("^POST /v1/(keys|webhooks/deliveries/.*/redeliver)$", "422"),
    # nor which bytes are a picture; and Schemathesis puts its registered picture where it means to have broken the part
    _may_refuse("^POST /v1/images$", "413", "415", "422", negative_data_rejection={"enabled": False}),
    # a revoked key stays to be seen, with the time when that was
    {"include-name-regex": "^GET /v1/keys/", "checks": {"use_after_free": {"enabled": False}}},
    # a job that was just made has no frame to show until it is painted
    {"include-name-regex": "/preview$", "checks": {"ensure_resource_availability": {"enabled": False}}},
]


@pytest.mark.slow
@pytest.mark.timeout(7200 if LONG else 600)
@pytest.mark.parametrize("role", ROLES)
def test_the_api_keeps_to_its_description(settings, database, redis, role, capsys) -> None:
    report = tried(settings, database, role)
    with capsys.disabled():
        if LONG:
            print(f"\n{role}: {sum(report.sent.values())} requests, {dict(report.sent)}, {dict(report.statuses)}")
    assert not report.findings, "\n".join(report.findings[:20])
    assert not [status for status in report.statuses if status >= 500]
    assert set(report.sent) >= {"examples", "fuzzing", "stateful"}
    assert_reached(report)


def tried(settings, database, role: str) -> Report:
    app = impatient_app(settings)
    key = add_key(database, role, "ann")
    with real_pictures(upload(app, key)), served(app) as url:
        return run(url, key, examples=EXAMPLES, operations=OPERATIONS, phases=ROLES[role])


def assert_reached(report: Report) -> None:
    """Prove that the run came beyond the door: jobs were queued, then shown, canceled and deleted."""
    good = Counter({label: count for (label, status), count in report.answered.items() if status < 300})
    for label in ("POST /v1/jobs", "GET /v1/jobs/{job_id}", "POST /v1/jobs/{job_id}/cancel"):
        assert good[label], label
