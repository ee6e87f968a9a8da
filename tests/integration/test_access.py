"""Who may do what, by the table of routes: a view that is added without a declaration is closed, and fails here."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog
from sqlalchemy import text

from api.access import Access
from api.app import create_app
from api.auth import access_of
from shared import ids, logs
from shared.db import jobs, keys
from shared.db.base import Table
from shared.states import Role
from tests.factories import add_key
from tests.integration.calling import client_with
from tests.integration.test_api_jobs import claim

#: All that answers without a key.
PUBLIC = {"system.alive", "system.ready", "system.specification", "system.docs", "system.home", "static"}
#: What a client can do with things of its own, by the argument that names them.
IMAGE, JOB = "image_id", "job_id"


@pytest.fixture
def paths(app, job_id, image_id) -> dict[tuple[str, str], tuple[str, Access]]:
    """Each route and method that needs a key, as a path to something that is there, and what it needs."""
    filled = {JOB: job_id, IMAGE: image_id, "name": "w1", "key_id": "0", "delivery_id": ids.new_id()}
    found = {}
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            path = rule.rule
            for argument in rule.arguments:
                path = path.replace(f"<{argument}>", filled.get(argument, "x"))
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                if rule.endpoint not in PUBLIC:
                    found[rule.endpoint, method] = (path, access_of(app.view_functions[rule.endpoint]))
    return found


def test_only_the_probes_and_the_description_are_public(app) -> None:
    public = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.endpoint == "static" or access_of(app.view_functions[rule.endpoint]) is Access.PUBLIC
    }
    assert public == PUBLIC


def test_every_view_of_the_api_says_what_it_needs(app) -> None:
    undeclared = [name for name, view in app.view_functions.items() if name != "static" and not hasattr(view, "access")]
    assert undeclared == []


def test_a_view_without_a_declaration_is_the_operators_only(settings, database) -> None:
    app = create_app(settings)
    app.add_url_rule("/v1/forgotten", view_func=lambda: "open")
    assert app.test_client().get("/v1/forgotten").status_code == 401
    assert client_with(app, add_key(database, Role.VIEWER)).get("/v1/forgotten").status_code == 403


@pytest.mark.parametrize("given", [None, "Bearer", "Bearer ", "Bearer nonsense", "Bearer atl_1_2", "Basic abc"])
def test_nothing_opens_without_a_key(app, paths, given) -> None:
    headers = {"Authorization": given} if given is not None else {}
    for path, _ in paths.values():
        answer = app.test_client().open(path, method=_method(paths, path), headers=headers)
        assert (answer.status_code, answer.json["code"]) == (401, "unauthorized"), path
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_key_opens_nothing(app, client, database, paths) -> None:
    made = client.post("/v1/keys", json={"name": "x", "role": "operator"}).json
    revoked = client_with(app, made["key"])
    assert revoked.get("/v1/keys").status_code == 200
    assert client.delete(f"/v1/keys/{made['id']}").status_code == 204
    for (_, method), (path, _) in paths.items():
        assert revoked.open(path, method=method).status_code == 401, path


def test_a_key_with_a_wrong_secret_opens_nothing(app, database) -> None:
    prefix, key_id, secret = add_key(database).split("_", 2)
    assert client_with(app, f"{prefix}_{key_id}_{secret[::-1]}").get("/v1/jobs").status_code == 401


@pytest.mark.parametrize("role", list(Role))
def test_a_role_does_what_is_its_own_and_no_more(app, database, paths, role) -> None:
    caller = client_with(app, add_key(database, role))
    for (endpoint, method), (path, access) in paths.items():
        if role not in access.value:
            answer = caller.open(path, method=method)
            assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), (endpoint, method)


def test_a_strangers_things_are_as_if_they_were_not(app, client, database, paths) -> None:
    stranger = client_with(app, add_key(database, Role.CLIENT, "stranger"))
    tried = 0
    for (endpoint, method), (path, access) in paths.items():
        rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint == endpoint and rule.arguments]
        if not rules or Role.CLIENT not in access.value or method == "PUT":
            continue
        answer = stranger.open(path, method=method)
        assert (answer.status_code, answer.json["code"]) == (404, "not_found"), (endpoint, method)
        tried += 1
    assert tried >= 12


def test_a_stranger_neither_lists_nor_uses_what_is_anothers(app, client, database, job_id, image_id, png) -> None:
    stranger = client_with(app, add_key(database, Role.CLIENT, "stranger"))
    assert stranger.get("/v1/jobs").json["jobs"] == stranger.get("/v1/jobs?owner=local").json["jobs"] == []
    refused = stranger.post("/v1/jobs", json={"content": image_id, "style": image_id})
    assert refused.json["code"] == "unknown_image"
    uploaded = stranger.post("/v1/images", data=png, content_type="image/png")
    assert (uploaded.status_code, uploaded.json["id"]) == (201, image_id)
    assert stranger.post("/v1/jobs", json={"content": image_id, "style": image_id}).status_code == 202


def test_a_viewer_sees_every_owners_jobs(app, database, job_id) -> None:
    viewer = client_with(app, add_key(database, Role.VIEWER, "boss"))
    assert viewer.get(f"/v1/jobs/{job_id}").status_code == 200
    assert [job["id"] for job in viewer.get("/v1/jobs").json["jobs"]] == [job_id]


@pytest.fixture
def written() -> Iterator[StringIO]:
    """What this process logs, whole."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure("json", "DEBUG")
    stream = StringIO()
    root.handlers[0].setStream(stream)
    yield stream
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_no_key_is_in_the_database_the_log_or_an_answer(settings, database, png, written) -> None:
    app = create_app(settings)
    token = add_key(database)
    operator = client_with(app, token)
    made = operator.post("/v1/keys", json={"name": "ann", "role": "client"})
    ann = client_with(app, made.json["key"])
    answers = [ann.post("/v1/images", data=png, content_type="image/png")]
    image_id = answers[0].json["id"]
    answers.append(
        ann.post("/v1/jobs", json={"content": image_id, "style": image_id}, headers={"Idempotency-Key": "k"})
    )
    held = claim(database, answers[-1].json["id"])
    with database.writing() as session:
        jobs.stop(session, held, result=None)
    paths = ("/v1/keys", "/v1/jobs", f"/v1/keys/{made.json['id']}", "/v1/queue", "/v1/nothing", "/openapi.json")
    answers += [operator.get(path) for path in paths]
    secrets = [key.split("_", 2)[2] for key in (token, made.json["key"])]
    told = written.getvalue() + "".join(answer.text + str(answer.headers) for answer in answers)
    with database.reading() as session:
        kept = json.dumps(
            [
                [str(value) for value in row]
                for table in Table.metadata.sorted_tables
                for row in session.execute(text(f"SELECT * FROM {table.name}"))
            ]
        )
        assert keys.find(session, token)
    assert "job_queued" in written.getvalue()
    for secret in secrets:
        assert secret not in told
        assert secret not in kept


def _method(paths, wanted: str) -> str:
    return next(method for (_, method), (path, _) in paths.items() if path == wanted)
