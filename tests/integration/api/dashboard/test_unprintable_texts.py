"""Texts with control characters that are in the database all the same, from before they were refused: shown escaped."""

from sqlalchemy import update

from shared.db.models import ApiKey, AuditEntry, Batch, Job
from tests.hostile.hostile_server import HOSTILE
from tests.support.factories import add_batch

#: All but the line break and the markup, which HTML escapes.
_KEPT_OUT = set("\x1b\x07\x9b\u202e\u2028")


def test_no_page_has_a_control_character(browser, job_id, database) -> None:
    batch_id = add_batch(database)
    with database.writing() as session:
        session.execute(update(Job).values(label=HOSTILE, annotations={HOSTILE: HOSTILE}, content_name=HOSTILE))
        session.execute(update(Batch).values(label=HOSTILE, annotations={HOSTILE: HOSTILE}))
        session.execute(update(ApiKey).values(name=HOSTILE))
        session.execute(update(AuditEntry).values(reason=HOSTILE, key_name=HOSTILE))
    paths = ("", "/jobs", f"/jobs/{job_id}", "/batches", f"/batches/{batch_id}", "/audit", "/operations", "/failures")
    found = {path: browser.get(f"/dashboard{path}").text for path in (*paths, f"/submit?again={job_id}")}
    assert [path for path, text in found.items() if set(text) & _KEPT_OUT] == []
    assert r"\x1b]0;evil" in found["/jobs"]
    assert r"\x1b]0;evil" in found[f"/batches/{batch_id}"]
