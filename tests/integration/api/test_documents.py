"""What the pages in `docs/` say of the server, asked of it."""

import re

from tests.repository.documents import ROOT

PAGES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))


def test_every_address_that_a_page_names_exists(app) -> None:
    routes = app.url_map.bind("localhost")
    named = re.findall(
        r"(?<![\w.])/(?:v1/|docs|healthz|readyz|metrics|openapi)[^\s\"'`?#)]*", PAGES.replace("$base", "")
    )
    assert len(named) > 20
    for path in named:
        plain = re.sub(r"\$\w+|\{id\}|UUID", "00000000-0000-0000-0000-000000000000", path)
        assert any(routes.test(plain.rstrip("/"), method) for method in ("GET", "POST", "PUT")), path


def test_every_metric_is_documented_and_no_other(client) -> None:
    served = set(re.findall(r"^# TYPE (\w+)", client.get("/metrics").text, re.MULTILINE))
    page = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(atelier_\w+)`", page)) == served
