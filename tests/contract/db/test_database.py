"""The database under many writers, away, and back again."""

import threading
from contextlib import ExitStack

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, delete, event, insert, select, update

from shared.db.base import connect, on_commit
from shared.errors import DatabaseUnavailable
from tests.support.postgres import PostgresServer

counter = Table("counter", MetaData(), Column("n", Integer))


@pytest.fixture(scope="module")
def own_server():
    """A PostgreSQL server that the tests of this file may kill."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def own_database(own_server):
    """A fresh database of that server, which runs again afterwards, whatever the test did to it."""
    opened = connect(own_server.create_database("own"))
    yield opened
    opened.engine.dispose()
    own_server.kill()
    own_server.start()
    own_server.drop_database("own")


def test_writers_that_read_first_never_meet_a_lock_error(database) -> None:
    with database.writing() as session:
        counter.create(session.connection())
        session.execute(insert(counter).values(n=0))

    def count() -> None:
        for _ in range(50):
            with database.writing() as session:
                # SQLite's writers are alone anyway; PostgreSQL's must say which row they are about to write
                n = session.scalar(select(counter.c.n).with_for_update())
                session.execute(update(counter).values(n=n + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with database.reading() as session:
        assert session.scalar(select(counter.c.n)) == 200


@pytest.mark.parametrize(
    "pattern", ["sqlite:///{folder}", "postgresql://x@127.0.0.1:1/x", "postgresql:///x?host={folder}"]
)
def test_a_database_that_is_away_is_said_to_be(tmp_path, pattern) -> None:
    with pytest.raises(DatabaseUnavailable):
        connect(pattern.format(folder=tmp_path)).check()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_that_comes_back_is_found_at_once(own_server, own_database, end) -> None:
    own_database.check()
    getattr(own_server, end)()
    with pytest.raises(DatabaseUnavailable):
        own_database.check()
    own_server.start()
    own_database.check()


def test_a_pool_that_slept_through_a_restart_still_works(own_server, own_database) -> None:
    own_database.check()
    own_server.kill()
    own_server.start()
    own_database.check()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_that_ends_within_a_transaction_is_said_to_be_away(own_server, own_database, end) -> None:
    with own_database.writing() as session:
        counter.create(session.connection())

    def write_to_the_end() -> None:
        with own_database.writing() as session:
            session.execute(insert(counter).values(n=1))
            getattr(own_server, end)()

    with pytest.raises(DatabaseUnavailable):
        write_to_the_end()
    own_server.start()
    with own_database.reading() as session:
        assert session.scalars(select(counter.c.n)).all() == []


def test_what_was_committed_outlives_a_kill(own_server, own_database) -> None:
    with own_database.writing() as session:
        counter.create(session.connection())
        session.execute(insert(counter).values(n=1))
    own_server.kill()
    own_server.start()
    with own_database.reading() as session:
        assert session.scalar(select(counter.c.n)) == 1


def test_a_frozen_server_goes_on_where_it_was(own_server, own_database) -> None:
    own_database.check()
    own_server.freeze()
    waiting = threading.Thread(target=own_database.check)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    own_server.thaw()
    waiting.join(10)
    assert not waiting.is_alive()


def test_connections_of_threads_that_ask_at_once_are_kept_for_the_next_time(database) -> None:
    opened = []
    event.listen(database.engine, "connect", lambda *_: opened.append(1))
    for _ in range(3):
        with ExitStack() as stack:
            for _ in range(12):
                stack.enter_context(database.autocommit()).execute(select(1))
    assert len(opened) <= 12


def test_a_single_statement_is_read_without_a_transaction(database) -> None:
    begun = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: begun.append(given[2]))
    with database.autocommit() as connection:
        connection.execute(select(1))
    assert [statement.split()[0] for statement in begun] == ["SELECT"]
    with database.writing() as session:
        counter.create(session.connection())
        session.execute(insert(counter).values(n=1))
    with database.autocommit() as connection:
        assert connection.scalar(select(counter.c.n)) == 1


@pytest.mark.parametrize(
    "statement", [insert(counter), update(counter), delete(counter)], ids=["insert", "update", "delete"]
)
def test_a_reading_transaction_refuses_to_write(database, statement) -> None:
    with database.writing() as session:
        counter.create(session.connection())
        session.execute(insert(counter).values(n=1))
    with pytest.raises(DatabaseUnavailable), database.reading() as session:
        session.execute(statement, None if statement.is_delete else {"n": 2})
    with database.writing() as session:
        session.execute(statement, None if statement.is_delete else {"n": 2})


def test_what_is_to_follow_a_commit_is_done_after_it_and_never_without_it(database) -> None:
    done: list[str] = []
    with database.writing() as session:
        on_commit(session, lambda: done.append("committed"))
        assert done == []
    assert done == ["committed"]

    def fail() -> None:
        with database.writing() as session:
            on_commit(session, lambda: done.append("rolled back"))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert done == ["committed"]
