"""What becomes of a job whose attempt met an error."""

import pytest

from shared.errors import (
    AtelierError,
    CorruptImage,
    DatabaseUnavailable,
    Diverged,
    InvalidParams,
    OutOfMemory,
    StorageFull,
    StorageUnavailable,
    WeightsUnavailable,
)
from worker.jobs.retries import LONGEST_PAUSE_S, MOST_BLIND_RETRIES, MOST_RETRIES, decide, spoils_process


def decided(error: AtelierError, retries: int = 0) -> float | None:
    return decide(error, retries=retries)


@pytest.mark.parametrize("error", [StorageFull(), StorageUnavailable(), DatabaseUnavailable()])
def test_what_passes_by_itself_is_tried_again_after_a_growing_pause_and_given_up_in_the_end(error) -> None:
    pauses = [decided(error, retries) for retries in range(MOST_RETRIES)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert max(pauses) == pauses[-1] == LONGEST_PAUSE_S
    assert decided(error, MOST_RETRIES) is None


@pytest.mark.parametrize("error", [CorruptImage(), Diverged(), InvalidParams(), WeightsUnavailable()])
def test_what_a_second_look_would_not_change_is_not_tried_again(error) -> None:
    assert decided(error) is None


@pytest.mark.parametrize("error", [AtelierError(), OutOfMemory()])
def test_what_a_fresh_process_may_mend_is_tried_again_once(error) -> None:
    assert decided(error, MOST_BLIND_RETRIES - 1) is not None
    assert decided(error, MOST_BLIND_RETRIES) is None


def test_a_process_is_replaced_after_what_may_have_broken_it() -> None:
    assert spoils_process(OutOfMemory())
    assert spoils_process(AtelierError())
    assert not spoils_process(StorageFull())
    assert not spoils_process(Diverged())
