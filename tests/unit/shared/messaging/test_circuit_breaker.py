"""The circuit breaker, on a clock of its own."""

import pytest

from shared.messaging.circuit_breaker import CircuitBreaker


class Away(Exception):
    pass


class Service:
    """Answers, or is away; counts who asked."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return "answer"


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def breaker(now) -> CircuitBreaker:
    return CircuitBreaker((Away,), reset_after_s=2.0, clock=lambda: now[0])


def fail(breaker: CircuitBreaker, service: Service) -> None:
    service.error = Away("nobody there")
    with pytest.raises(Away):
        breaker.call(service)


def test_a_service_that_answers_is_always_asked(breaker, service) -> None:
    assert [breaker.call(service) for _ in range(3)] == ["answer"] * 3
    assert service.asked == 3


def test_after_a_failure_calls_fail_at_once_with_the_same_error(breaker, service, now) -> None:
    fail(breaker, service)
    service.error = None
    now[0] += 1.9
    with pytest.raises(Away, match="nobody there"):
        breaker.call(service)
    assert service.asked == 1


def test_after_its_rest_one_call_tries_and_a_good_answer_lets_all_through(breaker, service, now) -> None:
    fail(breaker, service)
    service.error = None
    now[0] += 2.0
    assert breaker.call(service) == "answer"
    assert breaker.call(service) == "answer"


def test_a_try_in_vain_begins_the_rest_anew(breaker, service, now) -> None:
    fail(breaker, service)
    now[0] += 2.0
    fail(breaker, service)
    now[0] += 1.9
    fail(breaker, service)
    assert service.asked == 2


def test_others_do_not_wait_for_the_one_that_tries(breaker, service, now) -> None:
    fail(breaker, service)
    now[0] += 2.0

    def ask_meanwhile() -> str:
        with pytest.raises(Away):
            breaker.call(service)
        return "tried"

    assert breaker.call(ask_meanwhile) == "tried"
    assert service.asked == 1


def test_an_error_of_another_kind_says_that_somebody_is_there(breaker, service) -> None:
    service.error = ValueError("a bad question")
    for _ in range(2):
        with pytest.raises(ValueError, match="a bad question"):
            breaker.call(service)
    assert service.asked == 2
