"""Faults of the database, each with its own remedy; and another program's lock, which takes nothing
but time."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from daemon.store.database import DatabaseBusyError, told
from daemon.store.later_writes import MOST_WAITING, LaterWrites
from daemon.store.orphans import adopt_orphans
from daemon.store.records import Round, Turn
from daemon.store.sqlite import sqlite3
from daemon.store.store import Store
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from tests.support.database import connect
from tests.support.fake_child import eventually
from tests.support.fakes import tone
from tests.support.running_daemon import Start, folder, start

__all__ = ["folder", "start"]


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Another program holds the write lock meanwhile."""
    other = connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    store = Store(folder)
    yield store
    store.close()


def turn(heard: str) -> Turn:
    return Turn(None, "text", heard, "reply", 1.0, 2.0, None, 3.0)


def test_a_lock_of_another_program_is_named(tmp_path: Path) -> None:
    with opened(tmp_path) as store, write_lock(store.path):
        with pytest.raises(
            DatabaseBusyError,
            match=r"another program holds a lock on the database .*attune\.db; end it",
        ):
            store.history.add_turn(turn("words"))
        assert store.counts().turns == 0, "who reads does not wait for who writes"


def test_what_is_put_off_is_kept_in_its_order_once_the_lock_goes(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        with write_lock(store.path):
            for number in range(3):
                assert (
                    store.later.do(partial(store.history.add_turn, turn(str(number))), "a turn")
                    is None
                )
            store.history.add_move(3, "by hand")
            store.history.add_round(Round(0.0, 1.0, None, "refused", "because", 0))
            assert store.problems() == [
                "another program holds the database: 5 writes wait until it is free"
            ]
        assert eventually(lambda: not store.problems())
        assert [one.heard for one in store.history.last_turns(9)] == ["2", "1", "0"]
        assert [move.generation for move in store.history.last_moves(9)] == [3]
        assert store.counts().rounds == 1
        kept = store.later.do(lambda: store.history.add_turn(turn("now")), "a turn")
        assert kept is not None
        assert kept.id == 4


def test_no_more_waits_than_memory_bears_and_what_is_lost_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def busy() -> None:
        raise DatabaseBusyError("another program holds it")

    later = LaterWrites()
    for _ in range(MOST_WAITING):
        later.do(busy, "a turn")
    with pytest.raises(
        DatabaseBusyError, match=f"{MOST_WAITING} writes wait; the last turn is not kept"
    ):
        later.do(busy, "the last turn")
    with caplog.at_level(logging.ERROR):
        later.close()
    assert sum("a turn is lost" in record.getMessage() for record in caplog.records) == MOST_WAITING


def test_a_turn_is_answered_and_kept_though_another_program_holds_the_database(
    start: Start, folder: Path
) -> None:
    daemon = start()
    write_flac(folder / "a.flac", tone(1.0, 300))
    database = folder / "state" / "attune.db"
    with write_lock(database):
        spoken = daemon.do("ask", audio=folder / "a.flac")[-1]
        typed = daemon.do("ask", text="and typed")[-1]
        assert (spoken["heard"], spoken["id"], typed["id"]) == ("a tone of 300", None, None)
        assert "another program holds the database" in str(spoken["warning"])
        assert "repair" not in str(spoken["warning"])
        assert "another program holds the database: 2 writes wait" in str(
            daemon.status()["problems"]
        )
        with pytest.raises(AttuneError, match="nothing was said yet"):
            daemon.do("correct", text="a tone of 400")
    assert eventually(lambda: daemon.status()["counts"]["turns"] == 2)
    turns = daemon.status()["last_turns"]
    assert [one["heard"] for one in turns] == ["and typed", "a tone of 300"]
    assert daemon.do("correct", text="a tone of 400")[0]["heard"] == "a tone of 300"


def test_a_nested_transaction_is_part_of_the_outer_one(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        utterance = store.add_utterance(tone(0.1), "file").id

        def write_half() -> None:
            with store.writing():
                store.add_label(utterance, "words", "enrolled")
                assert store.counts().labels_by_origin == {"enrolled": 1}, "who writes sees it"
                elsewhere: list[int] = []
                reader = threading.Thread(
                    target=lambda: elsewhere.append(store.counts().unlabelled)
                )
                reader.start()
                reader.join()
                assert elsewhere == [1], "nobody else does"
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            write_half()
        assert store.counts().unlabelled == 1


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (sqlite3.SQLITE_BUSY, "end it"),
        (sqlite3.SQLITE_LOCKED, "end it"),
        (sqlite3.SQLITE_FULL, "the disk is full; free"),
        (sqlite3.SQLITE_READONLY, "Attune's user owns it"),
        (sqlite3.SQLITE_CANTOPEN, "Attune's user owns both"),
        (sqlite3.SQLITE_CORRUPT, "aside"),
        (sqlite3.SQLITE_NOTADB, "aside"),
        (sqlite3.SQLITE_IOERR, "repair the disk"),
        (sqlite3.SQLITE_NOMEM, "no memory left"),
        (sqlite3.SQLITE_ERROR, "may not be Attune's"),
    ],
)
def test_each_fault_has_a_remedy_of_its_own(code: int, remedy: str) -> None:
    for extended in (code, code | 3 << 8):
        error = sqlite3.OperationalError("what SQLite says")
        error.sqlite_errorcode, error.sqlite_errorname = extended, "SQLITE_SOMETHING"
        line = str(told(error, Path("/state/attune.db")))
        assert remedy in line
        assert "/state/attune.db" in line
        assert isinstance(told(error, Path("x")), DatabaseBusyError) == (
            code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        )


# --- a database that was lost


def used(folder: Path) -> Path:
    """A state with an utterance, its label and a turn; returns the database."""
    with opened(folder) as store:
        utterance = store.add_utterance(tone(0.5), "microphone").id
        store.add_label(utterance, "words", "corrected")
        store.history.add_turn(turn("words"))
    return folder / "attune.db"


@pytest.mark.parametrize("how", ["emptied", "removed"])
def test_a_lost_database_is_told_for_as_long_as_it_matters(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = used(tmp_path)
    if how == "emptied":
        database.write_bytes(b"")
    else:
        database.unlink()
    for _ in range(2):  # at the next start, too
        with opened(tmp_path) as store:
            adopt_orphans(store, 1.8e9)
            [problem] = store.problems()
            assert "labels and turns are gone; the audio that is still there becomes" in problem
            assert ("was empty" if how == "emptied" else "was missing") in problem
            counts = store.counts()
            assert (counts.utterances, counts.unlabelled, counts.turns) == (1, 1, 0)
    assert "labels and turns are gone" in caplog.text


@pytest.mark.parametrize("how", ["emptied", "removed"])
def test_a_log_without_its_database_is_put_aside(tmp_path: Path, how: str) -> None:
    database = used(tmp_path)
    database.write_bytes(b"")
    if how == "removed":
        database.unlink()
    for _ in range(2):
        (tmp_path / "attune.db-wal").write_bytes(b"the latest rows")
        with opened(tmp_path) as store:
            assert "put aside as attune.db-wal.lost-1" in store.problems()[0]
        assert (tmp_path / "attune.db-wal.lost-1").read_bytes() == b"the latest rows"
        if how == "removed":
            database.unlink()
        else:
            database.write_bytes(b"")
        (tmp_path / "attune.db-wal.lost-1").unlink()


def test_a_database_that_is_removed_while_it_is_used_is_told(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert store.problems() == []
        store.path.rename(tmp_path / "aside.db")
        assert "removed or replaced while Attune ran" in store.problems()[0]


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        pass
    with pytest.raises(AttuneError, match="its store is closed"):
        store.counts()
    with pytest.raises(AttuneError, match="its store is closed"):
        store.history.add_turn(turn("words"))


def test_a_new_state_has_lost_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "new") as store:
        assert store.problems() == []
    with opened(tmp_path / "new") as store:
        assert store.problems() == []


def test_a_daemon_whose_database_was_emptied_says_so(start: Start, folder: Path) -> None:
    used(folder / "state").write_bytes(b"")
    daemon = start()
    status = daemon.status()
    assert "attune.db was empty: labels and turns are gone" in str(status["problems"])
    assert status["counts"]["utterances"] == 1


def test_a_full_disk_is_told_though_it_has_no_code() -> None:
    error = sqlite3.OperationalError("database or disk is full")  # as sqlcipher_export says it
    assert "the disk is full; free some of it" in str(told(error, Path("/state/attune.db")))
