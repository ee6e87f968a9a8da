"""Submitting by the form: estimate, mistakes, dropping pictures, and the job's page behind it."""

import base64

import pytest
from playwright.sync_api import expect


@pytest.fixture
def form(page):
    page.goto("/dashboard/submit")
    return page


def fill(form, files) -> None:
    content, style = files
    form.get_by_label("Photograph").set_input_files(content)
    form.get_by_label("Painting").set_input_files(style)
    form.get_by_role("radio", name="fast").check()
    form.get_by_text("All parameters").click()
    form.get_by_label("size px", exact=True).fill("64")


def test_a_picture_is_painted_from_the_form_to_its_page(form, files, watched) -> None:
    fill(form, files)
    form.get_by_label("steps", exact=True).fill("20")
    form.get_by_label("Label").fill("from the form")
    expect(form.locator("#estimate")).to_contain_text("64 × 48")
    expect(form.locator(".chosen img").first).to_be_visible()
    watched.shoot("submit")
    form.get_by_role("button", name="Paint it").dblclick()
    form.wait_for_url("**/dashboard/jobs/*")
    expect(form.get_by_role("heading", level=1)).to_have_text("from the form")
    expect(form.locator("#state .badge")).to_have_text("succeeded")
    expect(form.locator("#whole img")).to_be_visible()
    form.goto('/dashboard/jobs?q=label:"from the form"')
    expect(form.locator("tbody tr")).to_have_count(1)  # though the button was pressed twice
    form.locator("tbody a").first.click()
    form.get_by_role("link", name="Retry with changes").click()
    assert form.get_by_label("steps", exact=True).input_value() == "20"
    form.get_by_label("steps", exact=True).fill("7")
    form.get_by_role("button", name="Paint it").click()
    form.wait_for_url("**/dashboard/jobs/*")
    expect(form.locator("#state .badge")).to_have_text("succeeded")
    expect(form.locator("#state")).to_contain_text("Step 7 of 7")


def test_a_mistake_is_told_where_it_is_and_nothing_that_was_typed_is_lost(form, files, watched) -> None:
    fill(form, files)
    form.get_by_label("Label").fill("kept")
    form.get_by_label("content_layers").fill("block3")
    form.get_by_role("button", name="Paint it").click()
    expect(form.get_by_role("alert")).to_contain_text("Write layers as JSON")
    assert form.get_by_label("content_layers").get_attribute("aria-invalid") == "true"
    assert form.get_by_label("Label").input_value() == "kept"
    assert form.get_by_label("size px", exact=True).input_value() == "64"
    watched.faults.clear()  # Chromium calls the answer 422 an error


def test_pictures_can_be_dropped(form, files) -> None:
    data = base64.b64encode(files[0].read_bytes()).decode()
    form.evaluate(
        """(data) => {
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], "dropped.png", {type: "image/png"}));
          document.querySelector(".drop").dispatchEvent(new DragEvent("drop", {dataTransfer, cancelable: true}));
        }""",
        data,
    )
    expect(form.locator(".chosen img").first).to_have_attribute("alt", "dropped.png")
    assert form.get_by_label("Photograph").evaluate("input => input.files.length") == 1


def test_an_empty_field_says_what_the_chosen_preset_has(form) -> None:
    form.get_by_text("All parameters").click()
    assert form.get_by_label("steps", exact=True).get_attribute("placeholder") == "40"
    form.get_by_role("radio", name="quality").check()
    assert form.get_by_label("steps", exact=True).get_attribute("placeholder") == "100"
    form.get_by_role("radio", name="classic").check()
    assert form.get_by_label("optimizer").locator("option").first.inner_text() == "adam (preset)"
