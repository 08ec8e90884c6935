"""What was heard, what it meant, what was answered, and what was learnt from it: SQLite beside a
folder of FLAC files.

Audio is written before its row, and a file without a row (the process was killed in between, or the
database was moved aside) becomes an utterance again at the next start. Nothing is deleted that
nobody named. What is kept carries the time of the wall clock for people, and of the service clock
for its age. Knows no model and no conversation.
"""

import hashlib
import json
import logging
import math
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np

from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.jobs.messages import Origin
from engines.types import SAMPLE_RATE_HZ, Float32

from ..clocks import REAL_TIME, Clocks, is_set
from .database import Database
from .label_check import same_words
from .later_writes import LaterWrites
from .lost_database import preserved_loss
from .records import Counts, Move, Round, Turn, Use, Utterance
from .retention import Stored
from .service_clock import Reading, ServiceClock, date_of

logger = logging.getLogger(__name__)

DATABASE = "attune.db"
MAX_LABEL_CHARACTERS = 1000
HOLDOUT_ONE_IN = 8
_NOTICE_SECONDS = 30 * 86_400.0
"""How long a person is told what happened to the store."""


def utterance_id(samples: Float32) -> str:
    """The name of this audio, from its 16-bit samples: 32 hexadecimal digits, the same for the same
    audio."""
    return hashlib.sha256(_pcm(samples).tobytes()).hexdigest()[:32]


def _pcm(samples: Float32) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.clip(np.round(samples * 32768.0), -32768, 32767).astype("<i2")


def is_holdout(identifier: str) -> bool:
    """Whether an utterance is kept from training, decided by its id alone, so that it never changes
    sides."""
    return int(identifier[:8], 16) % HOLDOUT_ONE_IN == 0


_TURNS = (
    "SELECT utterance, route, heard, reply, first_token_ms, reply_ms, generation, created_at, sure,"
    " id FROM turns "
)


class Store:
    """All of it, under `folder`; safe to use from several threads."""

    def __init__(self, folder: Path, clocks: Clocks = REAL_TIME) -> None:
        """Open or create. Raises AttuneError where the database is damaged, newer than this
        program, or out of reach."""
        self.audio_folder = folder / "audio"
        self.path = folder / DATABASE
        self._clocks = clocks
        self._audio_lock = threading.Lock()
        """Held while a file and its row come or go together."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.audio_folder.mkdir(exist_ok=True, mode=0o700)
            loss = preserved_loss(self.path, self.audio_folder)
        except OSError as error:
            raise AttuneError(
                f"{error.filename} cannot be written: {error.strerror}; set state_dir to another"
                " folder"
            ) from error
        self._database = Database(self.path)
        self._file = self.path.stat().st_ino
        saved = self.rows("SELECT seconds, wall, elapsed, boot FROM service_clock")
        self._service_clock = ServiceClock(clocks, Reading(*saved[0]) if saved else None)
        self.later = LaterWrites()
        if loss:
            logger.error("%s", loss)
            self.notice(loss)

    def close(self) -> None:
        """Write what still waits to be written, and how far the service clock has come, where that
        can be done within seconds."""
        self.later.close()
        try:
            with self.writing():
                pass
        except AttuneError as error:
            logger.debug("the service clock goes on from where it was last saved: %s", error)
        self._database.close()

    # --- time

    def service_seconds(self) -> float:
        """The service clock, by which ages are told; from a start to the next it only grows."""
        return self._service_clock.now()

    def seconds_since_round(self) -> float:
        """The age of the last round that ended, at least 0; infinite where there was none."""
        ended_at = self.rows("SELECT max(service_at) FROM rounds")[0][0]
        return math.inf if ended_at is None else max(0.0, self.service_seconds() - ended_at)

    def notice(self, text: str) -> None:
        """Keep what a person must be told about the store."""
        with self.writing() as connection:
            row = (self._clocks.wall(), self.service_seconds(), text)
            connection.execute("INSERT INTO notices (at, service_at, text) VALUES (?, ?, ?)", row)

    def problems(self) -> list[str]:
        """What a person is to be told, for `attune status`."""
        since = self.service_seconds() - _NOTICE_SECONDS
        found = [
            f"{text} ({date_of(at)})"
            for at, text in self.rows(
                "SELECT at, text FROM notices WHERE service_at >= ? ORDER BY id", since
            )
        ]
        if not is_set(now := self._clocks.wall()):
            found.append(
                f"the clock of this machine was never set: it says {date_of(now)}; set it, for"
                " dates are wrong until then"
            )
        if not self.path.exists() or self.path.stat().st_ino != self._file:
            found.append(
                f"the database {self.path} was removed or replaced while Attune ran: what is kept"
                " now goes when it stops; start it again"
            )
        return found + self.later.problems()

    # --- utterances and labels

    def add_utterance(self, samples: Float32, source: str) -> Utterance:
        """Keep `samples` ([N] mono at SAMPLE_RATE_HZ). The same audio is kept once. Raises
        AttuneError where the disk is full."""
        identifier = utterance_id(samples)
        path = self.audio_folder / f"{identifier}.flac"
        with self._database.guarded(), self._audio_lock:
            known = self.utterance(identifier)
            if not path.is_file():
                write_flac(path, samples)
            return known or self.add_row(
                identifier, len(samples) / SAMPLE_RATE_HZ, source, self._clocks.wall()
            )

    def add_row(self, identifier: str, seconds: float, source: str, created_at: float) -> Utterance:
        """Keep the utterance of an audio file that is there already; `created_at` is in seconds
        since the epoch."""
        name = f"{identifier}.flac"
        with self.writing() as connection:
            row = (
                identifier,
                created_at,
                seconds,
                source,
                name,
                is_holdout(identifier),
                self.service_seconds(),
            )
            connection.execute(
                "INSERT INTO utterances (id, created_at, seconds, source, audio, holdout,"
                " service_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        return Utterance(
            identifier,
            created_at,
            seconds,
            source,
            self.audio_folder / name,
            is_holdout(identifier),
        )

    def utterance(self, identifier: str) -> Utterance | None:
        rows = self.rows(
            "SELECT id, created_at, seconds, source, audio, holdout FROM utterances WHERE id = ?",
            identifier,
        )
        return self._utterance(rows[0]) if rows else None

    def add_label(self, utterance: str, text: str, origin: Origin, confidence: float = 1.0) -> None:
        """Say what `utterance` means. Raises AttuneError for a text that is empty or too long, or
        an unknown utterance."""
        text = " ".join(text.split())
        if not text or len(text) > MAX_LABEL_CHARACTERS:
            raise AttuneError(
                f"a label has 1 to {MAX_LABEL_CHARACTERS} characters, not {len(text)}; give what"
                " was said"
            )
        if self.utterance(utterance) is None:
            raise AttuneError(f"there is no utterance {utterance} in {self.path}")
        with self.writing() as connection:
            latest = self.rows(
                "SELECT text, origin FROM labels WHERE utterance = ? ORDER BY id DESC LIMIT 1",
                utterance,
            )
            if latest != [(text, origin)]:
                connection.execute(
                    "INSERT INTO labels (utterance, text, origin, confidence, created_at) VALUES"
                    " (?, ?, ?, ?, ?)",
                    (utterance, text, origin, confidence, self._clocks.wall()),
                )

    def replace_label(self, utterance: str, text: str, origin: Origin) -> None:
        """As `add_label`, in place of every label that `utterance` had: what they said is taken
        back."""
        with self.writing() as connection:
            self.add_label(utterance, text, origin)
            # The new one first: the id of the newest label would be given again, and what is not
            # new counts as learnt.
            older = "SELECT id FROM labels WHERE utterance = ? ORDER BY id DESC LIMIT -1 OFFSET 1"
            for number in self.rows(older, utterance):
                connection.execute("DELETE FROM labels WHERE id = ?", number)

    def confirmed_text(self, utterance: str) -> str | None:
        """What a person said last that `utterance` means; None where nobody did."""
        rows = self.rows(
            "SELECT text FROM chosen_labels WHERE utterance = ? AND origin != 'recognised'",
            utterance,
        )
        return str(rows[0][0]) if rows else None

    def given_texts(self, utterances: Sequence[str]) -> list[tuple[str, str, Origin]]:
        """What a person said that each of `utterances` means: its id, a text and where that came
        from, the oldest first."""
        return self.rows(
            "SELECT l.utterance, l.text, l.origin FROM json_each(?) wanted JOIN labels l ON"
            " l.utterance = wanted.value WHERE l.origin != 'recognised' ORDER BY l.utterance, l.id",
            json.dumps(list(utterances)),
        )

    def is_labelled(self, utterance: str) -> bool:
        return bool(self.rows("SELECT 1 FROM labels WHERE utterance = ? LIMIT 1", utterance))

    def text_of(self, utterance: str) -> str:
        """Its label; empty where it has none, or is not there."""
        rows = self.rows("SELECT text FROM chosen_labels WHERE utterance = ?", utterance)
        return str(rows[0][0]) if rows else ""

    def missing_labels(self) -> list[Utterance]:
        """Utterances that nobody and nothing has labelled, the oldest first."""
        rows = self.rows(
            "SELECT id, created_at, seconds, source, audio, holdout FROM utterances"
            " WHERE label_origin IS NULL ORDER BY service_at, rowid"
        )
        return [utterance for utterance in map(self._utterance, rows) if utterance.audio.is_file()]

    def audio_bytes(self) -> int:
        """What all files of audio take on the disk."""
        with self._database.guarded(), os.scandir(self.audio_folder) as files:
            return sum(file.stat().st_size for file in files)

    def stored_audio(self) -> list[Stored]:
        """What each utterance takes on the disk, the oldest first; precious is what a person
        enrolled or corrected."""
        with self._database.guarded(), os.scandir(self.audio_folder) as files:
            sizes = {file.name: file.stat().st_size for file in files}
        rows = self.rows(
            "SELECT audio, coalesce(label_origin, '') FROM utterances ORDER BY service_at, rowid"
        )
        return [
            Stored(
                self.audio_folder / name, sizes[name], precious=origin in ("enrolled", "corrected")
            )
            for name, origin in rows
            if name in sizes
        ]

    def forget(self, audio: Path) -> None:
        """Remove the utterance of an audio file, with its labels; what was answered to it stays."""
        with self._database.guarded(), self._audio_lock:
            # First, or a kill in between would leave a row without audio.
            with self.writing() as connection:
                connection.execute("DELETE FROM utterances WHERE audio = ?", (audio.name,))
            audio.unlink(missing_ok=True)

    # --- turns and rounds

    def add_turn(self, turn: Turn) -> Turn:
        """Keep `turn`; returns it with its id."""
        with self.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO turns (utterance, route, heard, reply, first_token_ms, reply_ms,"
                " generation, created_at, sure, service_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*astuple(turn)[:-1], self.service_seconds()),
            )
        return replace(turn, id=cursor.lastrowid or 0)

    def forget_turns(self, age_seconds: float) -> int:
        """Remove turns that are older than `age_seconds` of the service clock; returns how many."""
        with self.writing() as connection:
            return connection.execute(
                "DELETE FROM turns WHERE service_at < ?", (self.service_seconds() - age_seconds,)
            ).rowcount

    def turn(self, number: int) -> Turn | None:
        return next(iter(self.turns("WHERE id = ?", number)), None)

    def last_turns(self, count: int) -> list[Turn]:
        """The latest `count` turns, the newest first."""
        return self.turns("ORDER BY id DESC LIMIT ?", count)

    def last_spoken_turn(self) -> Turn | None:
        """The latest turn whose audio was kept: what a correction means by default."""
        return next(iter(self.turns("WHERE utterance IS NOT NULL ORDER BY id DESC LIMIT 1")), None)

    def add_round(self, finished: Round) -> None:
        """Keep how a round ended just now; later, where another program holds the database."""
        ended_at = self.service_seconds()

        def add() -> None:
            with self.writing() as connection:
                connection.execute(
                    "INSERT INTO rounds (started_at, ended_at, generation, outcome, reason, labels,"
                    " service_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*astuple(finished), ended_at),
                )

        self.later.do(add, "how a round ended")

    def last_round(self) -> Round | None:
        rows = self.rows(
            "SELECT started_at, ended_at, generation, outcome, reason, labels FROM rounds ORDER BY"
            " id DESC LIMIT 1"
        )
        return Round(*rows[0]) if rows else None

    def add_move(self, generation: int, reason: str) -> None:
        """Keep that `generation` is served from now on, and why; later, where another program holds
        the database."""
        row = (self._clocks.wall(), generation, reason)

        def add() -> None:
            with self.writing() as connection:
                connection.execute(
                    "INSERT INTO moves (at, generation, reason) VALUES (?, ?, ?)", row
                )

        self.later.do(add, "which generation is served")

    def last_moves(self, count: int) -> list[Move]:
        """The latest `count` moves, the newest first."""
        return [
            Move(*row)
            for row in self.rows(
                "SELECT at, generation, reason FROM moves ORDER BY id DESC LIMIT ?", count
            )
        ]

    def use(self, generation: int) -> tuple[Use, Use]:
        """How often what was spoken had to be corrected: heard by `generation`, and by anything
        else."""
        spoken = self.rows(
            "SELECT generation IS ?, count(*) FROM turns WHERE utterance IS NOT NULL GROUP BY 1",
            generation,
        )
        corrected = self.rows(
            "SELECT DISTINCT t.id, t.generation IS ?, l.text, t.heard FROM labels l JOIN turns t ON"
            " t.utterance = l.utterance WHERE l.origin = 'corrected' AND l.text != t.heard",
            generation,
        )
        turns = {bool(here): count for here, count in spoken}
        wrong = {
            (turn, bool(here))
            for turn, here, text, heard in corrected
            if not same_words(text, heard)
        }
        found = [
            Use(turns.get(side, 0), sum(here == side for _, here in wrong))
            for side in (True, False)
        ]
        return found[0], found[1]

    def last_learnt_label(self) -> int:
        """The highest number of a label that a round has learnt; 0 where none has.

        A round that failed or was cancelled learnt nothing, so what it was given is still new.
        """
        rows = self.rows(
            "SELECT coalesce(max(labels), 0) FROM rounds WHERE outcome IN ('promoted', 'refused',"
            " 'shadowed')"
        )
        return int(rows[0][0])

    def counts(self, min_confidence: float = 0.0) -> Counts:
        """Totals, within milliseconds; recognised labels below `min_confidence` do not count as
        new."""
        totals = self.rows(
            "SELECT origin, utterances, seconds FROM totals WHERE utterances > 0 ORDER BY origin"
        )
        by_origin = {origin: utterances for origin, utterances, _ in totals}
        new = self.rows(
            "SELECT (SELECT count(*) FROM utterances WHERE label_origin IN ('enrolled',"
            " 'corrected') AND label > ?1) + (SELECT count(*) FROM utterances WHERE label_origin ="
            " 'recognised' AND label > ?1 AND label_confidence >= ?2)",
            self.last_learnt_label(),
            min_confidence,
        )
        return Counts(
            utterances=sum(by_origin.values()),
            seconds=float(sum(seconds for _, _, seconds in totals)),
            labels_by_origin={origin: count for origin, count in by_origin.items() if origin},
            unlabelled=by_origin.get("", 0),
            turns=self.rows("SELECT count(*) FROM turns")[0][0],
            rounds=self.rows("SELECT count(*) FROM rounds")[0][0],
            new_labels=new[0][0],
            last_label=self.rows("SELECT coalesce(max(id), 0) FROM labels")[0][0],
        )

    # --- for what else is kept in the same database

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: kept whole or not at all. Raises AttuneError where the disk is full or
        the database damaged, DatabaseBusyError where another program holds it."""
        with self._database.writing() as connection:
            yield connection
            row = astuple(self._service_clock.read())
            connection.execute("INSERT OR REPLACE INTO service_clock VALUES (1, ?, ?, ?, ?)", row)

    def turns(self, condition: str, *values: object) -> list[Turn]:
        """The turns for which `condition`, the rest of a query, holds."""
        rows = self.rows(_TURNS + condition, *values)
        return [
            Turn(*(*row[:-2], None if row[-2] is None else bool(row[-2]), row[-1])) for row in rows
        ]

    def rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        """What a query finds."""
        return self._database.rows(query, *values)

    # --- inside

    def _utterance(self, row: tuple) -> Utterance:  # type: ignore[type-arg]
        return Utterance(row[0], row[1], row[2], row[3], self.audio_folder / row[4], bool(row[5]))
