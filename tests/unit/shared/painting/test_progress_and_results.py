"""What the workers write of steps and results is what the API shows."""

from api.schemas.jobs import LossesView, ProgressView, ResultView
from api.schemas.outputs import LossColumns
from shared.painting.results import FILE_NAMES, Result, ResultFacts, facts_of, strength_of, with_files
from shared.painting.steps import LOSS_COLUMNS, Step, StepLosses, loss_columns

FACTS = ResultFacts(width=4, height=3, bytes=9, format="png", partial=False)


def step(number: int, total_loss: float) -> Step:
    losses = StepLosses(total=total_loss, content=1.0, style=2.0, tv=0.0)
    return Step(step=number, total=9, scale=1, scales=2, losses=losses, step_ms=5.0, eta_s=1.0)


def test_the_api_shows_each_field_of_a_step() -> None:
    assert Step.__annotations__.keys() == ProgressView.model_fields.keys() - {"fraction"}
    assert StepLosses.__annotations__.keys() == LossesView.model_fields.keys()
    assert tuple(LossColumns.model_fields) == LOSS_COLUMNS


def test_the_total_column_is_the_total_loss_and_not_the_number_of_steps() -> None:
    columns = loss_columns([step(1, 7.0), step(2, 6.0)])
    assert (columns["step"], columns["total"]) == ([1, 2], [7.0, 6.0])


def test_no_steps_are_empty_columns() -> None:
    assert loss_columns(()) == {name: [] for name in LOSS_COLUMNS}


def test_the_api_shows_each_fact_of_a_result() -> None:
    assert ResultFacts.__annotations__.keys() == ResultView.model_fields.keys() - {"expired", "strength"}


def test_a_result_that_loses_its_files_keeps_its_facts() -> None:
    assert FILE_NAMES.keys() == Result.__annotations__.keys() - ResultFacts.__annotations__.keys() - {"strength"}
    result = with_files(FACTS, {name: f"jobs/1/1/{file}" for name, file in FILE_NAMES.items()})
    assert result["timelapse_key"] == "jobs/1/1/timelapse.webp"
    assert facts_of(result) == FACTS


def test_a_strength_is_as_painted_until_it_is_saved_and_no_fact_of_the_picture() -> None:
    saved: Result = {**with_files(FACTS, {}), "strength": 0.0}
    assert (strength_of(with_files(FACTS, {})), strength_of(saved)) == (1, 0)
    assert facts_of(saved) == FACTS
