"""Turns at reading archives: nobody waits for ever, and who leaves waits no longer."""

from contextlib import ExitStack

import pytest

from api.batches.archives.turns import PER_OWNER, READING, ArchiveTurns
from shared.errors import ClientGone, TooManyArchives


def nothing() -> None:
    pass


def test_an_owner_that_sends_its_share_holds_up_nobody_else() -> None:
    turns = ArchiveTurns()
    with ExitStack() as held:
        for _ in range(PER_OWNER):
            held.enter_context(turns.sending("greedy"))
        with pytest.raises(TooManyArchives), turns.sending("greedy"):
            pass
        with turns.sending("modest"), turns.reading(nothing):
            pass
    with turns.sending("greedy"):
        pass


def test_an_archive_waits_to_be_read_while_its_client_does_and_not_for_ever() -> None:
    def leave() -> None:
        raise ClientGone

    turns = ArchiveTurns(wait_s=0)
    with ExitStack() as held:
        for _ in range(READING):
            held.enter_context(turns.reading(nothing))
        with pytest.raises(TooManyArchives), turns.reading(nothing):
            pass
        with pytest.raises(ClientGone), turns.reading(leave):
            pass
    with turns.reading(nothing):
        pass
