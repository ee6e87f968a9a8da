"""An attempt moves forward only, and is over once."""

from itertools import product

import pytest

from worker.jobs.phases import MOVES, Phase

#: The pipeline, from which an error, a drain or a reused result may skip to the end.
ORDER = [Phase.CLAIMED, Phase.PAINTING, Phase.STORING, Phase.FINISHING, Phase.FINISHED]


@pytest.mark.parametrize(("one", "other"), list(product(Phase, Phase)))
def test_only_the_moves_of_the_table_are_made(one: Phase, other: Phase) -> None:
    if other in MOVES[one]:
        assert one.moved_to(other) is other
    else:
        with pytest.raises(ValueError, match=f"from {one.name} to {other.name}"):
            one.moved_to(other)


def test_no_move_leads_back() -> None:
    for phase in ORDER:
        assert not MOVES[phase] & set(ORDER[: ORDER.index(phase) + 1])


def test_every_attempt_can_be_dropped_until_it_is_over() -> None:
    over = {phase for phase in Phase if phase.is_over}
    assert over == {Phase.FINISHED, Phase.DROPPED}
    assert {phase for phase in Phase if Phase.DROPPED in MOVES[phase]} == set(Phase) - over


def test_an_end_is_written_only_of_an_outcome_that_holds() -> None:
    assert {phase for phase in Phase if Phase.FINISHED in MOVES[phase]} == {Phase.FINISHING}
