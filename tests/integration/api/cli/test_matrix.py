"""`atelier matrix`: what `--vary` accepts, what is said as soon as there is a batch, and how it ends."""

import pytest

from api.client import Client
from shared.errors import Diverged
from tests.integration.api.cli.commands import format_of, painting
from worker.jobs.null_painter import NullPainter


@pytest.mark.parametrize(
    ("variations", "said"),
    [
        (["style_weight"], "NAME=A,B"),
        (["=1,5"], "NAME=A,B"),
        (["style_weight="], "NAME=A,B"),
        (["style_weight=1,,5"], "NAME=A,B"),
        (["style_weight=1,5,"], "NAME=A,B"),
        (["style_weight=,1"], "NAME=A,B"),
        (["style_weight=1,1e400"], "not a finite number"),
        (["style_weight=1,NaN"], "not a finite number"),
        (["steps=5,6", "style_weight=1", "style_weight=5"], "style_weight is given twice"),
    ],
)
def test_a_variation_in_another_form_is_a_mistake_in_the_command(atelier, photo, tmp_path, variations, said) -> None:
    options = [part for each in variations for part in ("--vary", each)]
    refused = atelier("matrix", photo, "--style", photo, *options, "-o", tmp_path / "sheet.webp")
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert atelier("batches", "list").stderr == "No batches.\n"


def test_each_value_is_painted_onto_one_sheet(atelier, photo, context, tmp_path) -> None:
    out = tmp_path / "sheet.webp"
    options = ("--vary", "style_weight = 1, 5", "--vary", "pooling=max,average", "--size", 32, "--preset", "fast")
    with painting(context):
        made = atelier("matrix", photo, "--style", photo, *options, "-o", out)
    assert (made.exit_code, made.stdout) == (0, ""), made.output
    assert format_of(out) == "WEBP"
    assert made.stderr.endswith("paints a picture of it at full size.\n")
    assert atelier("batches", "list").stdout.splitlines()[1].split()[:3] == [made.stderr.split()[1], "finished", "4/4"]


def test_pictures_that_failed_are_named_and_exit_3_beside_the_sheet(
    atelier, photo, context, tmp_path, monkeypatch
) -> None:
    paint, out = NullPainter.paint, tmp_path / "sheet.webp"

    def diverge_at_five(self, subjects, styles, params, **options):
        if params.steps == 5:
            raise Diverged
        return paint(self, subjects, styles, params, **options)

    monkeypatch.setattr(NullPainter, "paint", diverge_at_five)
    with painting(context):
        made = atelier("matrix", photo, "--style", photo, "--vary", "steps=4,5", "--size", 32, "-o", out)
    assert made.exit_code == 3, made.output
    assert made.stdout.splitlines()[1].split()[:2] == ["c1-s1-p2", "diverged"]
    assert made.stderr.endswith("Error: 1 of 2 pictures failed.\n")
    assert format_of(out) == "WEBP"


def test_of_a_sheet_without_a_picture_none_is_offered(atelier, photo, context, tmp_path, monkeypatch) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise Diverged

    monkeypatch.setattr(NullPainter, "paint", diverge)
    with painting(context):
        made = atelier("matrix", photo, "--style", photo, "--size", 32, "-o", tmp_path / "sheet.webp")
    assert made.exit_code == 3, made.output
    assert "promote" not in made.stderr


@pytest.mark.parametrize("variation", ["content_weight=0.1,-4", "nonsense=1,2", "style_weight=[[1"])
def test_a_value_that_the_server_refuses_leaves_no_batch(atelier, photo, tmp_path, variation) -> None:
    refused = atelier("matrix", photo, "--style", photo, "--vary", variation, "-o", tmp_path / "sheet.webp")
    assert refused.exit_code == 1
    assert f"/params/{variation.partition('=')[0]}" in refused.stderr
    assert atelier("batches", "list").stderr == "No batches.\n"
    assert atelier("list").stderr == "No jobs.\n"


def test_the_batch_is_named_before_anything_is_painted(atelier, photo, tmp_path, monkeypatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "batch_results", interrupt)
    stopped = atelier("matrix", photo, "--style", photo, "-o", tmp_path / "a sheet.webp")
    assert stopped.exit_code == 130
    batch_id = atelier("batches", "list").stdout.splitlines()[1].split()[0]
    assert f"Batch {batch_id} " in stopped.stderr
    assert f"atelier batches sheet {batch_id} -o '{tmp_path / 'a sheet.webp'}'" in stopped.stderr
