"""Health, errors of the framework, and the description of it all."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from api.app import create_app
from api.http import problems
from shared import errors
from shared.messaging.chores import BrokenTasks
from tests.support.flask_clients import client_with


def test_the_process_says_that_it_lives_and_is_ready(client, redis) -> None:
    assert client.get("/healthz").json == {"state": "alive"}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["state"]) == (200, "ready")
    assert set(answer.json["parts"]) == {"database", "storage", "redis", "maintenance"}


def test_a_broken_task_of_maintenance_degrades_and_is_named_and_counted(client, redis) -> None:
    for _ in range(2):
        BrokenTasks(redis).mark("dispatch", "KeyError")
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json["state"]) == (200, "degraded")
    assert ready.json["parts"]["maintenance"]["reason"] == "dispatch: KeyError"
    assert 'atelier_maintenance_errors_total{task="dispatch"} 2.0' in client.get("/metrics").text


def test_a_made_up_method_is_no_label_of_its_own(client, redis) -> None:
    for method in ("BREW", "WHEN"):
        assert client.open("/healthz", method=method).status_code == 405
    shown = client.get("/metrics").text
    assert 'atelier_request_seconds_count{method="other",route="none",status="4xx"} 2.0' in shown
    assert "BREW" not in shown


def test_a_database_away_is_503_with_a_time_to_come_back(settings) -> None:
    app = create_app(settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"}))
    client = client_with(app, "atl_x_y")
    assert client.get("/readyz").status_code == 503
    with capture_logs():  # pytest's own would draw the traceback, for seconds
        answer = client.get("/v1/jobs")
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "127.0.0.1" not in answer.text


IMAGE = f"sha256:{'0' * 64}"
JOB = "01a20750-e506-729a-9bdf-2a44836107f2"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/jobs", {"content": IMAGE, "style": IMAGE}),
        ("GET", f"/v1/jobs/{JOB}", None),
        ("POST", f"/v1/jobs/{JOB}/cancel", None),
        ("GET", f"/v1/jobs/{JOB}/result", None),
        ("GET", f"/v1/images/{IMAGE}", None),
        ("GET", "/v1/workers", None),
        ("POST", "/v1/workers/w1/drain", None),
        ("GET", "/v1/queue", None),
        ("POST", "/v1/queue/pause", None),
    ],
)
def test_without_a_database_every_call_says_so(settings, method, path, body) -> None:
    app = create_app(settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"}))
    with capture_logs():  # pytest's own would draw each traceback, for seconds
        answer = client_with(app, "atl_x_y").open(path, method=method, json=body)
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "127.0.0.1" not in answer.text


def test_errors_of_the_framework_are_problems_too(client) -> None:
    for answer, status, code in (
        (client.get("/v1/nothing"), 404, "not_found"),
        (client.put("/v1/images"), 405, "method_not_allowed"),
        (client.patch("/v1/jobs/x"), 405, "method_not_allowed"),
    ):
        assert (answer.status_code, answer.json["code"]) == (status, code)
        assert answer.content_type == "application/problem+json"
    assert "POST" in client.put("/v1/images").headers["Allow"]


def test_an_unforeseen_error_says_nothing_of_the_inside(app, client) -> None:
    @app.get("/broken")
    def broken() -> str:
        raise ZeroDivisionError("secret")

    answer = client.get("/broken")
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "secret" not in answer.text


def test_every_answer_carries_a_request_id_and_a_given_one_is_kept(client) -> None:
    assert client.get("/healthz").headers["X-Request-ID"]
    assert client.get("/healthz", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    assert client.get("/healthz", headers={"X-Request-ID": "<x>"}).headers["X-Request-ID"] != "<x>"


def test_prometheus_own_parser_takes_the_metrics(client, job_id, redis) -> None:
    client.get("/v1/jobs/nobody")
    families = list(text_string_to_metric_families(client.get("/metrics").text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)) > 5
    for family in families:
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram", "summary"), family.name
        points = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(points) == len(set(points)), family.name


def test_every_error_that_a_request_can_meet_has_a_status() -> None:
    assert {kind.code for kind in errors.subclasses()} == {kind.code for kind in set(errors.subclasses())}
    for kind, status in problems.STATUS.items():
        assert 400 <= status < 600, kind
    codes = [kind.code for kind in errors.subclasses()]
    assert len(codes) == len(set(codes))


def test_every_route_is_described(app, client) -> None:
    described = client.get("/openapi.json").json["paths"]
    undescribed = {"/openapi.json", "/docs", "/", "/static/dashboard/<path:filename>"}
    routes = {rule.rule for rule in app.url_map.iter_rules() if not rule.endpoint.startswith("dashboard.")}
    routes -= undescribed
    assert {route.replace("<", "{").replace(">", "}") for route in routes} == set(described)


def test_every_reference_in_the_description_leads_somewhere(client) -> None:
    document = client.get("/openapi.json").json
    models = document["components"]["schemas"]

    def walk(node: object) -> None:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                assert reference.removeprefix("#/components/schemas/") in models
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    assert document["openapi"].startswith("3.1")
    assert models["JobRequest"]["properties"]["params"] == {"$ref": "#/components/schemas/StyleParams"}


def test_answers_have_the_form_that_is_described(client, job_id) -> None:
    import jsonschema

    document = client.get("/openapi.json").json
    described = {
        "/v1/jobs": "JobPage",
        f"/v1/jobs/{job_id}": "JobView",
        "/v1/workers": "WorkersView",
        "/v1/queue": "BacklogView",
        "/readyz": "ReadinessView",
    }
    for path, model in described.items():
        schema = {"$ref": f"#/components/schemas/{model}", "components": document["components"]}
        jsonschema.validate(client.get(path).json, schema)


@pytest.mark.parametrize("code", [kind.code for kind in errors.subclasses()])
def test_the_docs_list_every_code(client, code) -> None:
    assert f'id="{code}"' in client.get("/docs").text


def test_the_docs_list_every_parameter_and_call(client) -> None:
    from shared.painting.params import StyleParams

    page = client.get("/docs").text
    for name in (*StyleParams.model_fields, "/v1/jobs/{job_id}/events", "balanced"):
        assert name in page
    assert "<script" not in page
