"""The progress of a batch, whatever its pictures are called."""

import io

import pytest
from rich.console import Console

from api.cli.display.batch_bar import BatchBar
from api.client.models import Job


@pytest.mark.parametrize("key", ["[/x].jpg", "[bold]x[/bold].jpg", "[link=http://a.example]b.jpg", "a{0}.jpg"])
def test_a_picture_is_shown_by_its_name_even_if_that_looks_like_markup(key: str) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None)
    with BatchBar(1, 1, console) as bar:
        bar.running([Job.model_validate({"id": "j", "state": "running", "key": key})])
        console.print("above the bar")  # which is drawn again
        bar.running([])
    assert key in out.getvalue()


def test_a_reversed_name_is_shown_by_its_escape() -> None:
    out = io.StringIO()
    with BatchBar(1, 1, Console(file=out, force_terminal=True, width=80, color_system=None)) as bar:
        bar.running([Job.model_validate({"id": "j", "state": "running", "key": "a\u202egpj.exe"})])
        bar.running([])
    assert "\u202e" not in out.getvalue()
