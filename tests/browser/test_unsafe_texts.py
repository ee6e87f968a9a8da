"""Scripts in everything that a client writes: labels, metadata, names of files, reasons, names of keys. None runs."""

from playwright.sync_api import expect

from tests.hostile.script_texts import TEXTS


def test_no_text_of_a_client_runs_on_any_page(page, client, files, watched) -> None:
    content, style = (client.upload(path).id for path in files)
    wishes = {"preset": "fast", "params": {"size": 32, "steps": 1}}
    assert len(set(TEXTS)) == 50
    jobs = []
    for text in TEXTS:
        jobs.append(client.submit(content, [style], label=text, metadata={text: text}, reuse=True, **wishes))
        client.start_operation("cancel", reason=text, label=text)
        client.create_key(text[:100], role="viewer")
    batch = client.open_batch(style=style, label=TEXTS[0], metadata=dict.fromkeys(TEXTS, TEXTS[1]), **wishes)
    client.add_items(batch.id, [{"key": text.replace("/", "∕"), "content": content} for text in TEXTS])
    client.control_batch(batch.id, "start")
    for text in TEXTS:
        client.open_batch(style=style, label=text, **wishes)
    for path in ("", "/jobs", "/batches", f"/batches/{batch.id}", "/operations", "/audit", "/failures"):
        page.goto(f"/dashboard{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto(f"/dashboard/jobs?q={'x' * 50}<script>alert(1)</script>")
    expect(page.get_by_role("alert")).to_contain_text("<script>")
    for job, text in zip(jobs, TEXTS, strict=True):
        page.goto(f"/dashboard/jobs/{job.id}")
        assert page.get_by_role("heading", level=1).inner_text().split() == text.split()
    page.goto(f"/dashboard/submit?again={jobs[18].id}")
    assert page.get_by_label("Label").input_value() == TEXTS[18]
    assert (
        page.evaluate("document.querySelectorAll('main script, main iframe, [onerror], [onload], [onfocus]').length")
        == 0
    )
    assert watched.faults == []
