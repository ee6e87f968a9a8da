"""Sign-ins: what a browser's token opens, and what ends it."""

import pytest
from sqlalchemy import select

from shared.db.access import browser_sessions, keys
from shared.db.models.admin import BrowserSession
from tests.support.factories import add_key


@pytest.fixture
def key_id(database) -> str:
    """A key that is not the last of the operators', and can be revoked."""
    add_key(database)
    return add_key(database, "viewer").split("_")[1]


def signed_in(database, key_id: str, **values: float) -> str:
    with database.writing() as session:
        return browser_sessions.create(session, key_id, **values)


def opened(database, token: str) -> str | None:
    """Say which key a token stands for."""
    with database.reading() as session:
        key = browser_sessions.find(session, token)
        return key.id if key else None


def test_a_token_stands_for_the_key_it_was_made_with(database, key_id) -> None:
    assert opened(database, signed_in(database, key_id)) == key_id


@pytest.mark.parametrize("token", ["", "nonsense"])
def test_what_is_no_token_opens_nothing(database, key_id, token) -> None:
    signed_in(database, key_id)
    assert opened(database, token) is None


def test_signing_out_ends_one_browser_and_no_other(database, key_id) -> None:
    one, other = signed_in(database, key_id), signed_in(database, key_id)
    for _ in range(2):
        with database.writing() as session:
            browser_sessions.end(session, one)
    assert (opened(database, one), opened(database, other)) == (None, key_id)


def test_a_revoked_key_ends_its_sign_ins(database, key_id) -> None:
    token = signed_in(database, key_id)
    with database.writing() as session:
        keys.revoke(session, key_id)
    assert opened(database, token) is None


def test_what_is_over_opens_nothing_and_is_forgotten_alone(database, key_id) -> None:
    over, good = signed_in(database, key_id, lifetime_s=-1), signed_in(database, key_id)
    assert opened(database, over) is None
    for expected in (1, 0):
        with database.writing() as session:
            assert browser_sessions.forget_expired(session) == expected
    assert opened(database, good) == key_id


def test_the_token_is_not_kept(database, key_id) -> None:
    token = signed_in(database, key_id)
    with database.reading() as session:
        kept = session.scalars(select(BrowserSession)).one()
        assert token not in (kept.token_hash, kept.key_id)
