"""The form of a job is made of the parameters, all of them."""

import pytest

from api.dashboard import submit_form
from shared.errors import InvalidParams
from shared.painting.params import PRESETS, StyleParams, resolve


def test_every_parameter_has_one_field() -> None:
    named = [name for names in submit_form.GROUPS.values() for name in names]
    assert sorted(named) == sorted(StyleParams.model_fields)


def test_what_a_preset_has_is_read_back_as_it_is() -> None:
    for preset in PRESETS:
        typed = {
            submit_form.PREFIX + field.name: field.presets[preset]
            for fields in submit_form.fields().values()
            for field in fields
        }
        assert resolve("classic", submit_form.params(typed)) == resolve(preset)


def test_fields_have_the_bounds_of_their_parameters() -> None:
    fields = {field.name: field for group in submit_form.fields().values() for field in group}
    assert fields["steps"].bounds == {"min": 1, "max": 10_000, "step": 1}
    assert fields["tile_size"].bounds["step"] == 16
    assert fields["learning_rate"].bounds == {"min": 0, "max": 1, "step": "any"}
    assert (fields["learning_rate"].kind, fields["final_learning_rate"].kind) == ("number", "text")  # or null
    assert fields["optimizer"].choices == ("adam", "lbfgs")
    assert fields["antialias"].choices == ("true", "false")
    assert fields["style_layers"].kind == "layers"


def test_empty_fields_leave_the_preset_and_layers_are_json() -> None:
    assert submit_form.params({"p-steps": " ", "p-size": "64"}) == {"size": "64"}
    with pytest.raises(InvalidParams, match="Write layers as JSON"):
        submit_form.params({"p-style_layers": "block1"})
