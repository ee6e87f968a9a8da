"""Keys: what opens, what does not, and the one that stays."""

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from sqlalchemy import select

from shared.db.access import keys
from shared.db.models import ApiKey
from shared.errors import IllegalTransition, NotFound
from tests.support.concurrency import meet
from tests.support.factories import add_key

#: How long one waits for another that cannot come, in seconds.
_LONE_S = 0.5


def found(database, token: str) -> ApiKey | None:
    with database.reading() as session:
        return keys.find(session, token)


def revoke(database, key_id: str) -> str:
    """Revoke a key; say how that went."""
    try:
        with database.writing() as session:
            keys.revoke(session, key_id)
    except IllegalTransition:
        return "stays"
    return "gone"


def both(*actions: Callable[[], str]) -> list[str]:
    """Do all at once; give what came of them."""
    ends: list[str] = []
    meet(*[lambda action=action: ends.append(action()) for action in actions])
    return ends


def id_of(token: str) -> str:
    return token.split("_")[1]


def test_a_key_is_found_by_what_it_is_in_full(database) -> None:
    token = add_key(database, "client", "ann", max_waiting=3)
    key = found(database, token)
    assert key is not None
    assert (key.id, key.owner, key.role, key.max_waiting) == (id_of(token), "ann", "client", 3)


def test_nothing_else_finds_it(database) -> None:
    token = add_key(database)
    prefix, key_id, secret = token.split("_", 2)
    with database.reading() as session:
        kept = session.scalar(select(ApiKey.secret_hash))
    wrong = [
        "",
        prefix,
        f"{prefix}_{key_id}",
        f"{prefix}_{key_id}_",
        f"{prefix}_{key_id}_{kept}",
        f"x_{key_id}_{secret}",
    ]
    wrong += [token[:-1], f"{token}x", f"{prefix}_0_{secret}", token.upper()]
    assert [each for each in wrong if found(database, each) is not None] == []


def test_its_secret_part_is_kept_nowhere(database) -> None:
    secret = add_key(database).split("_", 2)[2]
    with database.reading() as session:
        row = session.scalars(select(ApiKey)).one()
        assert secret not in str([getattr(row, column.key) for column in ApiKey.__table__.columns])


def test_no_two_are_alike(database) -> None:
    assert len({add_key(database).split("_", 2)[2] for _ in range(20)}) == 20


def test_a_revoked_key_opens_nothing_and_may_be_revoked_again(database) -> None:
    add_key(database)
    token = add_key(database, "client", "ann")
    assert [revoke(database, id_of(token)) for _ in range(2)] == ["gone", "gone"]
    assert found(database, token) is None


def test_a_second_revocation_leaves_the_moment_of_the_first(database) -> None:
    add_key(database)
    key_id = id_of(add_key(database, "client", "ann"))
    moments = set()
    for _ in range(2):
        revoke(database, key_id)
        with database.reading() as session:
            moments.add(keys.get_key(session, key_id).revoked_at)
    assert len(moments) == 1


def test_what_is_no_key_cannot_be_revoked(database) -> None:
    with pytest.raises(NotFound), database.writing() as session:
        keys.revoke(session, "0")


def test_the_last_operators_key_stays(database) -> None:
    token = add_key(database)
    add_key(database, "viewer")
    assert revoke(database, id_of(token)) == "stays"
    assert found(database, token) is not None


def test_of_the_last_two_operators_keys_one_stays_though_both_are_revoked_at_once(database, monkeypatch) -> None:
    pair = [id_of(add_key(database)), id_of(add_key(database))]
    met, any_operator = threading.Barrier(2), keys.any_operator

    def meet_first(session) -> bool:
        with suppress(threading.BrokenBarrierError):  # the other waits for our lock, as it must
            met.wait(_LONE_S)
        return any_operator(session)

    monkeypatch.setattr(keys, "any_operator", meet_first)
    assert sorted(both(*[lambda key_id=key_id: revoke(database, key_id) for key_id in pair])) == ["gone", "stays"]


def test_pages_have_each_key_once_oldest_first(database) -> None:
    made = [id_of(add_key(database, owner=f"o{number}")) for number in range(5)]
    seen: list[str] = []
    with database.reading() as session:
        while page := keys.list_keys(session, after=place(session, seen), limit=2):
            seen += [key.id for key in page]
    assert seen == made


def place(session, seen: list[str]):
    return (keys.get_key(session, seen[-1]).created_at, seen[-1]) if seen else None
