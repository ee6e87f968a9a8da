"""How long painting takes, learned from how long it took."""

import pytest

from shared.painting.forecasts import DurationModel, Forecast, Sample, quantile


def sample(took_s: float, *, preset: str = "fast", side: int = 256, predicted_s: float | None = 10.0) -> Sample:
    return Sample(preset, side, predicted_s, took_s)


def test_nothing_is_known_before_anything_was_painted() -> None:
    nobody = DurationModel([])
    assert nobody.forecast("fast", 256, None) is None
    assert nobody.forecast("fast", 256, 10.0) == Forecast(10.0, 15.0)


def test_a_forecast_is_the_prediction_times_how_wrong_it_was() -> None:
    experience = DurationModel([sample(20.0 + number) for number in range(10)])
    assert experience.forecast("fast", 256, 100.0) == Forecast(pytest.approx(240.0), pytest.approx(280.0))


def test_the_most_alike_jobs_say_most() -> None:
    alike = [sample(20.0) for _ in range(5)]
    preset = [sample(30.0, side=2048) for _ in range(20)]
    others = [sample(50.0, preset="quality") for _ in range(50)]
    experience = DurationModel(alike + preset + others)
    assert experience.forecast("fast", 300, 10.0) == Forecast(20.0, 20.0)
    assert experience.forecast("fast", 64, 10.0) == Forecast(30.0, 30.0)
    assert experience.forecast("classic", 64, 10.0) == Forecast(50.0, 50.0)


def test_too_few_alike_say_nothing() -> None:
    experience = DurationModel([sample(20.0) for _ in range(4)] + [sample(10.0, side=2048) for _ in range(6)])
    assert experience.forecast("fast", 256, 10.0) == Forecast(10.0, 20.0)


def test_without_predictions_others_of_the_preset_are_gone_by() -> None:
    experience = DurationModel([sample(float(number), predicted_s=None) for number in range(1, 11)])
    assert experience.forecast("fast", 256, None) == Forecast(5.0, 9.0)
    assert experience.forecast("quality", 256, None) is None


def test_times_add_up() -> None:
    assert Forecast(1.0, 2.0) + Forecast(3.0, 4.0) == Forecast(4.0, 6.0)
    assert Forecast(1.0, 2.0).times(3.0) == Forecast(3.0, 6.0)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.1, 1), (0.5, 5), (0.9, 9), (0.99, 10), (1.0, 10)])
def test_a_quantile_is_one_of_the_values(share, value) -> None:
    assert quantile(range(10, 0, -1), share) == value
