"""Params are declared once, bounded, and filled up from presets."""

import pytest
from pydantic import ValidationError

from shared.painting.params import DEFAULT_PRESET, PRESETS, StyleParams, resolve
from shared.painting.vgg19 import LAYERS


def test_classic_is_the_published_recipe() -> None:
    params = resolve("classic")
    assert (params.size, params.start_size, params.steps, params.learning_rate) == (512, 0, 15, 0.02)
    assert (params.beta_1, params.beta_2, params.epsilon) == (0.99, 0.999, 0.1)
    assert (params.content_weight, params.style_weight, params.tv_weight) == (1e4, 1e-2, 0)
    assert params.content_layers == {"block5_conv2": 1}
    assert params.style_layers == {f"block{block}_conv1": 1 for block in range(1, 6)}
    assert (params.pooling, params.gram_normalization, params.loss_scaling) == ("max", "positions", "none")


def test_an_override_wins_over_its_preset_and_leaves_the_rest() -> None:
    params = resolve(DEFAULT_PRESET, {"size": 100})
    assert params == resolve(DEFAULT_PRESET).model_copy(update={"size": 100})


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_is_valid_and_says_what_it_is_for(preset: str) -> None:
    resolve(preset)
    assert PRESETS[preset][0].endswith(".")


@pytest.mark.parametrize(
    "bad",
    [
        {"sise": 512},
        {"size": 15},
        {"size": 16_384},
        {"size": "big"},
        {"steps": 0},
        {"learning_rate": float("nan")},
        {"content_weight": -1},
        {"style_layers": {}},
        {"style_layers": {"block9_conv1": 1}},
        {"style_layers": {"block1_conv1": -1}},
        {"pooling": "median"},
    ],
)
def test_a_bad_parameter_is_refused(bad: dict) -> None:
    with pytest.raises(ValidationError):
        resolve("classic", bad)


def test_every_parameter_has_help_and_bounds_or_choices() -> None:
    for name, schema in StyleParams.model_json_schema()["properties"].items():
        assert schema["description"].endswith("."), name


def test_the_layers_are_the_sixteen_convolutions_of_vgg19_in_order() -> None:
    assert len(LAYERS) == 16
    assert LAYERS[:3] == ("block1_conv1", "block1_conv2", "block2_conv1")
    assert LAYERS[-1] == "block5_conv4"
