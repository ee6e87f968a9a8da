"""Scripts of other sites: those of the listed origins call the API with a key, and nobody gets more."""

import pytest

from api.app import create_app
from api.http.cors import ALLOWED_HEADERS, EXPOSED_HEADERS
from api.openapi.document import build
from shared.errors import Misconfigured
from shared.settings import Settings
from tests.support.flask_clients import client_with

APP, EVIL = "https://app.example.org", "https://app.example.org.evil.example"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}


@pytest.fixture
def settings(settings) -> Settings:
    return settings.model_copy(update={"cors_origins": f"{APP},http://localhost:3000"})


def test_a_listed_origin_may_ask_for_anything_that_the_api_takes(app) -> None:
    answer = app.test_client().options("/v1/jobs", headers={"Origin": APP, **ASKED})
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", [EVIL, "null", "http://app.example.org", "https://app.example.org:8443", ""])
def test_any_other_origin_is_told_nothing(app, key, origin) -> None:
    for answer in (
        app.test_client().options("/v1/jobs", headers={"Origin": origin, **ASKED}),
        client_with(app, key).get("/v1/jobs", headers={"Origin": origin}),
    ):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
        assert "Origin" in answer.headers["Vary"]


def test_answers_and_refusals_may_be_read(app, client, key) -> None:
    for answer in (
        client.get("/v1/jobs", headers={"Origin": APP}),
        app.test_client().get("/v1/x", headers={"Origin": APP}),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert {"ETag", "Location", "Retry-After"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))


def test_the_dashboard_answers_no_other_origin(app) -> None:
    for path in ("/login", "/dashboard", "/static/dashboard/dashboard.css"):
        with app.test_client().get(path, headers={"Origin": APP}) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers
    assert app.test_client().options("/login", headers={"Origin": APP, **ASKED}).status_code != 204


def test_without_a_list_nothing_is_said(settings) -> None:
    answer = (
        create_app(settings.model_copy(update={"cors_origins": ""})).test_client().options("/v1/jobs", headers=ASKED)
    )
    assert answer.status_code == 401
    assert "Vary" not in answer.headers


def test_every_header_of_the_description_may_be_sent_and_read(app) -> None:
    calls = [call for path in build(app, "/")["paths"].values() for call in path.values()]
    taken = {each["name"] for call in calls for each in call["parameters"] if each["in"] == "header"}
    given = {name for call in calls for response in call["responses"].values() for name in response["headers"]}
    assert taken <= set(ALLOWED_HEADERS)
    assert given <= set(EXPOSED_HEADERS)


@pytest.mark.parametrize("origins", ["*", "app.example.org", "https://app.example.org/x", "https://*.example.org"])
def test_a_list_holds_origins_only(origins) -> None:
    with pytest.raises(Misconfigured, match="ATELIER_CORS_ORIGINS"):
        Settings.load(cors_origins=origins)
