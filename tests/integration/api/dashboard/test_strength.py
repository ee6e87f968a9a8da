"""The strength on the page of a job: a form that works without a script, for those who may use it."""

import pytest

from shared.clock import now
from shared.db.models import Image
from shared.states import Role
from tests.integration.api.dashboard.signing_in import OURS, signed_in, token_of
from tests.support.factories import add_key
from tests.support.fakes import NegativePainter
from worker.jobs.runner import run


@pytest.fixture
def painter() -> NegativePainter:
    return NegativePainter()


@pytest.fixture
def page(context, job_id) -> str:
    """The address of the page of a painted job."""
    run([job_id], context)
    return f"/dashboard/jobs/{job_id}"


def save(browser, page: str, strength: str):
    form = {"csrf": token_of(browser.get(page)), "strength": strength}
    return browser.post(f"{page}/strength", data=form, headers=OURS)


def test_a_saved_strength_is_that_of_the_form_the_pictures_and_the_downloads(browser, page) -> None:
    before = browser.get(page).text
    assert 'max="1" step="0.01" value="1.0"' in before
    as_painted = browser.get(f"{page}/result").data
    answer = save(browser, page, "0.35")
    assert (answer.status_code, answer.location) == (303, page)
    after = browser.get(page).text
    assert 'value="0.35"' in after
    assert ">0.35</output>" in after
    source = after.split('alt="Result"')[0].rpartition('src="')[2].partition('"')[0]
    assert source not in before, "a browser would show the picture that it has kept"
    assert browser.get(source).data == browser.get(f"{page}/preview?strength=0.35").data
    assert browser.get(f"{page}/result").data == browser.get(f"{page}/result?strength=0.35").data != as_painted


@pytest.mark.parametrize("wrong", ["", "1.5", "nan", "much"])
def test_a_strength_that_no_slider_gives_is_refused(browser, page, wrong) -> None:
    answer = save(browser, page, wrong)
    assert (answer.status_code, "/strength: " in answer.text) == (422, True)
    assert 'value="1.0"' in browser.get(page).text


def test_a_viewer_may_look_but_not_save(app, database, page) -> None:
    viewer = signed_in(app, add_key(database, Role.VIEWER, "boss"))
    shown = viewer.get(page).text
    assert 'id="strength"' in shown
    assert "<button>Save</button>" not in shown
    assert save(viewer, page, "0.5").status_code == 403


def test_without_a_photograph_only_the_painting_can_be_saved(browser, database, image_id, page) -> None:
    save(browser, page, "0.5")
    with database.writing() as session:
        session.get(Image, image_id).gone_at = now()
    shown = browser.get(page).text
    assert 'id="strength"' not in shown
    assert "Save strength 1</button>" in shown
    assert save(browser, page, "1").status_code == 303
    assert "Save strength" not in browser.get(page).text
