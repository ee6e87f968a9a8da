"""The table of states."""

import itertools

import pytest

from shared.states import TERMINAL, TRANSITIONS, State, sources_of

LEGAL = {
    ("queued", "running"),
    ("queued", "canceled"),
    ("queued", "expired"),
    ("queued", "failed"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "canceled"),
    ("running", "queued"),
}


@pytest.mark.parametrize(("source", "target"), list(itertools.product(State, State)))
def test_each_pair_of_states_is_legal_or_not_as_published(source: State, target: State) -> None:
    assert (target in TRANSITIONS[source]) == ((source.value, target.value) in LEGAL)
    assert (source in sources_of(target)) == (target in TRANSITIONS[source])


def test_terminal_states_are_those_nothing_leaves() -> None:
    assert {"succeeded", "failed", "canceled", "expired"} == TERMINAL
