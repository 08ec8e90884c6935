"""A traceback in the log shows where something failed, and no word that it failed at."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from pydantic import BaseModel

from daemon.discreet_log import log_uncaught
from daemon.plain_text import PlainFormatter
from daemon.systemd import JournalFormatter
from engines.errors import AttuneError

SECRET = "my aunt keeps xylophones"


class Counted(BaseModel):
    number: int


def fail_at_key() -> None:
    dict[str, str]()[SECRET]


def fail_in_pydantic() -> None:
    Counted.model_validate({"number": SECRET})


def fail_twice() -> None:
    try:
        fail_at_key()
    finally:
        raise ValueError(f"cannot say {SECRET}")


def fail_from_another() -> None:
    try:
        fail_in_pydantic()
    except ValueError as error:
        raise RuntimeError(SECRET) from error


@pytest.fixture
def level() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before = root.level
    yield root
    root.setLevel(before)


@pytest.mark.parametrize("formatter", [PlainFormatter(), JournalFormatter()])
@pytest.mark.parametrize("fail", [fail_at_key, fail_in_pydantic, fail_twice, fail_from_another])
def test_no_word_stands_in_a_traceback(
    fail: Callable[[], None], formatter: logging.Formatter, level: logging.Logger
) -> None:
    level.setLevel(logging.INFO)
    written = formatter.format(record_of(fail))
    assert SECRET not in written
    assert fail.__name__ in written, "where it was"
    level.setLevel(logging.DEBUG)
    assert SECRET in formatter.format(record_of(fail))


def test_each_error_that_led_to_it_is_named(level: logging.Logger) -> None:
    level.setLevel(logging.INFO)
    lines = PlainFormatter().format(record_of(fail_twice)).splitlines()
    names = [line.split(" ")[0] for line in lines if line.endswith("shows its message)")]
    assert names == ["KeyError", "ValueError"]


def test_what_quotes_nobody_is_told(level: logging.Logger) -> None:
    level.setLevel(logging.INFO)

    def fail() -> None:
        try:
            raise OSError(28, "No space left on device", "state.db")
        except OSError as error:
            raise AttuneError("the state could not be written; free some space") from error

    written = PlainFormatter().format(record_of(fail))
    assert "OSError: [Errno 28] No space left on device: 'state.db'" in written
    assert "AttuneError: the state could not be written; free some space" in written


def test_what_ends_a_thread_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threading, "excepthook", log_uncaught)
    thread = threading.Thread(target=fail_at_key, name="keeper")
    thread.start()
    thread.join()
    [record] = caplog.records
    assert record.getMessage() == "the thread keeper ended by a defect"
    record.exc_text = None  # as the handler of the test wrote it
    written = PlainFormatter().format(record)
    assert "KeyError" in written
    assert SECRET not in written


def record_of(fail: Callable[[], None]) -> logging.LogRecord:
    try:
        fail()
    except (AttuneError, KeyError, RuntimeError, ValueError):
        return logging.LogRecord("x", logging.ERROR, "", 0, "it failed", (), sys.exc_info())
    raise AssertionError("it did not fail")
