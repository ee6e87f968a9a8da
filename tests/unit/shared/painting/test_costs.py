import pytest

from shared.errors import InvalidParams, TooLarge
from shared.painting.costs import MIN_TILE_PX, Capacity, choose_tile, estimate, fit_history, peak_bytes, step_gflop
from shared.painting.params import StyleParams, resolve

LARGE = Capacity(memory_bytes=64 * 2**30)
SMALL = Capacity(memory_bytes=3 * 2**30, base_bytes=2**29)
STYLES = [(400, 500)]


def test_a_step_of_the_recipe_costs_what_its_convolutions_multiply() -> None:
    # 73 GMAC forward at 512 × 384, and as much again for the picture's gradient
    assert step_gflop(StyleParams(), (384, 512)) == pytest.approx(292, rel=0.05)


def test_time_and_memory_grow_with_the_picture_and_the_steps() -> None:
    small, large = (estimate(StyleParams(size=size), (3000, 4000), STYLES, LARGE) for size in (512, 1024))

    assert large.seconds == pytest.approx(4 * small.seconds, rel=0.05)
    assert large.peak_bytes > small.peak_bytes
    assert estimate(StyleParams(steps=30), (3000, 4000), STYLES, LARGE).seconds > 1.9 * small.seconds


def test_a_run_passes_through_the_scales_of_its_params() -> None:
    found = estimate(
        resolve("balanced", {"size": 400, "start_size": 100, "scale_factor": 2}), (300, 400), STYLES, LARGE
    )

    assert found.scales == [(75, 100), (150, 200), (300, 400)]


def test_a_faster_device_takes_less_time_in_the_precision_asked_for() -> None:
    device = LARGE.model_copy(update={"gflop_per_s": {"float32": 100.0, "bfloat16": 200.0}, "precision": "bfloat16"})
    exact, automatic = (
        estimate(StyleParams(precision=precision), (300, 400), STYLES, device) for precision in ("float32", "auto")
    )

    assert automatic.seconds == pytest.approx(exact.seconds / 2)
    assert automatic.peak_bytes < exact.peak_bytes


def test_a_picture_that_does_not_fit_whole_is_tiled_within_the_memory() -> None:
    params = resolve("balanced", {"size": 3000, "optimizer": "adam", "precision": "float32"})

    assert estimate(params, (3000, 3000), STYLES, LARGE).tile_size == 0
    tiled = estimate(params, (3000, 3000), STYLES, SMALL)
    assert MIN_TILE_PX <= tiled.tile_size < 3000
    assert tiled.tile_size % 16 == 0
    assert tiled.peak_bytes <= SMALL.memory_bytes


def test_tiles_are_the_largest_that_fit() -> None:
    params, size = resolve("balanced", {"optimizer": "adam", "precision": "float32"}), (3000, 3000)
    side = choose_tile(params, size, SMALL)

    assert peak_bytes(params, size, SMALL, tile=side) <= SMALL.memory_bytes
    assert peak_bytes(params, size, SMALL, tile=int(side * 1.6)) > SMALL.memory_bytes


def test_the_tiles_that_the_params_ask_for_are_taken() -> None:
    assert choose_tile(StyleParams(tile_size=256), (1000, 1000), LARGE) == 256
    assert choose_tile(StyleParams(tile_size=256), (200, 256), LARGE) == 0


def test_what_no_tile_makes_fit_is_refused_with_the_largest_size_that_would() -> None:
    params = StyleParams(size=16_000)

    with pytest.raises(TooLarge) as error:
        estimate(params, (16_000, 16_000), STYLES, SMALL)

    # the originals' pixels count too: a smaller upload leaves more room
    largest = error.value.fields["largest"]
    assert largest < 16_000
    with pytest.raises(TooLarge) as error:
        estimate(params, (1000, 1000), STYLES, SMALL)
    largest = error.value.fields["largest"]
    assert 1000 < largest < 16_000
    estimate(StyleParams(size=largest), (1000, 1000), STYLES, SMALL)
    with pytest.raises(TooLarge):
        estimate(StyleParams(size=largest + 16), (1000, 1000), STYLES, SMALL)


def test_what_was_measured_on_a_device_corrects_the_formula() -> None:
    corrected = LARGE.model_copy(update={"bytes_factor": {"float32": 1.5}})

    assert peak_bytes(StyleParams(), (500, 500), corrected) == pytest.approx(
        1.5 * peak_bytes(StyleParams(), (500, 500), LARGE), rel=1e-6
    )


def test_a_history_and_a_batch_take_memory() -> None:
    adam, lbfgs = (
        peak_bytes(StyleParams(optimizer=optimizer, lbfgs_history=50), (500, 500), LARGE)
        for optimizer in ("adam", "lbfgs")
    )
    assert lbfgs - adam > 90 * 500 * 500 * 12
    assert peak_bytes(StyleParams(), (500, 500), LARGE, batch=4) > 3 * adam


def test_a_picture_too_narrow_is_no_matter_of_memory() -> None:
    with pytest.raises(InvalidParams):
        estimate(StyleParams(size=64), (10, 400), STYLES, LARGE)


def test_a_history_is_shortened_where_the_memory_does_not_hold_it() -> None:
    params, size = resolve("quality"), (3000, 3000)

    assert fit_history(params, (500, 500), SMALL).lbfgs_history == params.lbfgs_history
    shorter = fit_history(params, size, SMALL).lbfgs_history
    assert 2 <= shorter < params.lbfgs_history
