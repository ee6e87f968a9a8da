"""Behind a proxy: every address is the public one, and only trusted proxies say where a request came from."""

import re
from html import unescape

import pytest
from flask import Flask, request

from api.app import create_app
from api.auth import public
from shared.errors import Misconfigured
from shared.settings import Settings
from tests.support.factories import add_batch, add_key, add_operation
from tests.support.flask_clients import client_with

ROOT = "/atelier"
PUBLIC = "https://example.org" + ROOT
OURS = {"Origin": "https://example.org"}
#: Attributes of pages that hold an address.
_ADDRESSES = re.compile(r'\b(?:href|src|action|formaction|hx-[a-z]+|sse-connect|data-path|data-preview)="(/[^"]*)"')


@pytest.fixture
def settings(settings) -> Settings:
    return settings.model_copy(update={"public_url": PUBLIC, "trusted_proxies": "127.0.0.0/8,2001:db8::/32"})


@pytest.fixture
def browser(app, key):
    """One that has signed in through a proxy which passes the prefix on."""
    browser = app.test_client()
    answer = browser.post(f"{ROOT}/login", data={"key": key}, headers=OURS)
    assert (answer.status_code, answer.location) == (303, f"{ROOT}/dashboard")
    return browser


def test_links_and_locations_have_the_prefix_whether_the_proxy_strips_it_or_not(client, image_id) -> None:
    body = {"content": image_id, "style": image_id, "params": {"size": 32, "steps": 8}}
    for root in ("", ROOT):
        made = client.post(f"{root}/v1/jobs", json=body)
        assert made.location == made.json["links"]["self"] == f"{ROOT}/v1/jobs/{made.json['id']}"
        assert all(link.startswith(f"{ROOT}/v1/") for link in made.json["links"].values())
        listed = client.get(f"{root}/v1/jobs?limit=1")
        assert listed.json["jobs"][0]["links"]["self"].startswith(f"{ROOT}/v1/jobs/")
    assert client.get("/v1/jobs?limit=1").headers["Link"].startswith(f"<{ROOT}/v1/jobs?")
    assert client.get(f"{ROOT}/v1/nothing").json["type"] == f"{ROOT}/docs#not_found"
    assert client.get(f"/v1/images/{image_id}").json["links"]["content"] == f"{ROOT}/v1/images/{image_id}/content"


def test_probes_answer_with_the_prefix_and_without(client) -> None:
    assert [client.get(f"{root}/healthz").status_code for root in ("", ROOT)] == [200, 200]
    assert client.get(f"{ROOT}x/healthz").status_code == 404
    assert client.get(ROOT).location == f"{ROOT}/dashboard"


def test_every_address_on_every_page_has_the_prefix(browser, database, image_id, job_id) -> None:
    batch, operation = add_batch(database), add_operation(database, owner="local")
    pages = ["", "/jobs", "/batches", "/submit", "/failures", "/operations", "/audit", f"/submit?again={job_id}"]
    pages += [f"/jobs/{job_id}", f"/batches/{batch}", f"/operations/{operation}", "/jobs?q=state:queued"]
    found = set()
    for path in ("/login", "/docs", *(f"/dashboard{page}" for page in pages)):
        page = browser.get(ROOT + path)
        assert page.status_code == 200, path
        addresses = [unescape(address) for address in _ADDRESSES.findall(page.text)]
        assert [address for address in addresses if not address.startswith(f"{ROOT}/")] == [], path
        found |= {address for address in addresses if "/static/" in address}
    assert len(found) > 8
    for each in found:
        with browser.get(each) as file:
            assert file.status_code == 200, each


def test_the_session_is_bound_to_host_path_and_tls(app, browser, key) -> None:
    cookie = app.test_client().post(f"{ROOT}/login", data={"key": key}, headers=OURS).headers["Set-Cookie"]
    parts = set(cookie.split("; "))
    assert cookie.startswith("__Secure-atelier_session=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", f"Path={ROOT}"} <= parts
    page = browser.get(f"{ROOT}/dashboard/jobs")
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    csrf = re.search('name="csrf" value="([^"]+)"', page.text)[1]
    answer = browser.post(f"{ROOT}/logout", data={"csrf": csrf}, headers=OURS)
    assert (answer.status_code, answer.location) == (303, f"{ROOT}/login")
    assert browser.get(f"{ROOT}/dashboard/jobs").location == f"{ROOT}/login?next=%2Fdashboard%2Fjobs"
    fragment = browser.get(f"{ROOT}/dashboard/now", headers={"HX-Request": "true"})
    assert fragment.headers["HX-Redirect"] == f"{ROOT}/login?next=%2Fdashboard"


@pytest.mark.parametrize("origin", ["http://example.org", "https://example.org:8443", "http://localhost", "null"])
def test_only_pages_of_the_public_origin_sign_in(app, key, origin) -> None:
    answer = app.test_client().post(f"{ROOT}/login", data={"key": key}, headers={"Origin": origin})
    assert answer.status_code == 403


def test_without_a_prefix_the_cookie_is_the_hosts(settings, database, key) -> None:
    app = create_app(settings.model_copy(update={"public_url": "https://example.org"}))
    cookie = app.test_client().post("/login", data={"key": key}, headers=OURS).headers["Set-Cookie"]
    assert cookie.startswith("__Host-atelier_session=")
    assert "; Path=/;" in cookie + ";"
    assert "; Secure" in cookie


def test_a_prefix_that_hides_a_path_of_the_app_is_refused(settings) -> None:
    with pytest.raises(Misconfigured, match="cannot begin with /dashboard"):
        create_app(settings.model_copy(update={"public_url": "https://example.org/dashboard/x"}))


def add_mirror(app: Flask) -> None:
    """Add a view that says what the application knows of a request."""

    @app.get("/mirror")
    @public
    def mirror() -> dict[str, str | None]:
        return {"client": request.remote_addr, "url": request.url_root, "said": request.headers.get("X-Forwarded-For")}


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("127.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "198.51.100.1, 192.0.2.7", "192.0.2.7"),  # the first was written by the client
        ("127.0.0.1", "192.0.2.7, 127.0.0.9, [2001:db8::1]:99", "192.0.2.7"),  # proxies behind one another
        ("127.0.0.1", "127.0.0.8,127.0.0.9", "127.0.0.8"),
        ("127.0.0.1", "192.0.2.7, unknown", "127.0.0.1"),
        ("127.0.0.1", "unknown, 127.0.0.9", "127.0.0.9"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("::ffff:127.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("203.0.113.5", "192.0.2.7", "203.0.113.5"),
        ("", "192.0.2.7", ""),  # a Unix socket
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(app, peer, said, client) -> None:
    add_mirror(app)
    headers = {"X-Forwarded-For": said, "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"}
    answer = app.test_client().get("/mirror", headers=headers, environ_base={"REMOTE_ADDR": peer})
    assert answer.json == {"client": client, "url": f"{PUBLIC}/", "said": None}


@pytest.mark.parametrize(
    ("peer", "scheme", "host", "url"),
    [
        ("127.0.0.1", "https", "example.org", "https://example.org/"),
        ("127.0.0.1", "http, https", "evil.example, [2001:db8::1]:8443", "https://[2001:db8::1]:8443/"),
        ("127.0.0.1", "gopher", "a b", "http://localhost/"),
        ("203.0.113.5", "https", "example.org", "http://localhost/"),
    ],
)
def test_without_a_public_url_a_trusted_proxy_names_scheme_and_host(settings, peer, scheme, host, url) -> None:
    app = create_app(settings.model_copy(update={"public_url": ""}))
    add_mirror(app)
    headers = {"X-Forwarded-Proto": scheme, "X-Forwarded-Host": host}
    assert app.test_client().get("/mirror", headers=headers, environ_base={"REMOTE_ADDR": peer}).json["url"] == url


def test_the_access_log_names_the_client(app, key, capsys) -> None:
    client_with(app, key).get("/v1/queue", headers={"X-Forwarded-For": "192.0.2.7"})
    assert "client=192.0.2.7" in capsys.readouterr().out


def test_keys_are_told_where_they_are(client, database) -> None:
    add_key(database, "viewer")
    made = client.post("/v1/keys", json={"name": "x"})
    assert made.location == made.json["links"]["self"] == f"{ROOT}/v1/keys/{made.json['id']}"
