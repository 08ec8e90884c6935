"""Forgetting beside everything else that goes on: nothing of it comes back, and nothing else goes
with it."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.events.event import Event
from daemon.events.turns import SpeechHeard, TurnAnswered
from daemon.privacy import forgetting as module
from daemon.privacy.forgetting import NotAllGoneError
from daemon.privacy.scope import Scope, find
from daemon.spoken_turns import own_phrase_path
from daemon.store.store import DATABASE, Store
from engines.encryption.files import read_file
from engines.errors import AttuneError
from engines.generations.card import Card
from engines.generations.folder import list_generations, write_generation
from engines.generations.pointers import promote
from engines.types import Float32, Segment
from tests.daemon.privacy.test_forgetting import (
    SECRET,
    State,
    forget,
    generation,
    state,
)
from tests.support.content import containing
from tests.support.database import connect
from tests.support.fake_child import eventually
from tests.support.fakes import tone, write_base
from tests.support.running_daemon import Daemon, Start, enroll, folder, start

__all__ = ["folder", "start", "state"]


@contextmanager
def held(database: Path, how: str) -> Iterator[None]:
    """Another program holds the database: it reads, or writes."""
    other = connect(database, isolation_level=None)
    other.execute("BEGIN" if how == "reads" else "BEGIN IMMEDIATE")
    other.execute("SELECT count(*) FROM turns").fetchall()
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def hear(daemon: Daemon, samples: Float32, **more: Any) -> TurnAnswered:
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    daemon.app.parts.conversation.hear(Segment(samples, 0.0), events=events, **more)
    while not isinstance(event := events.get(timeout=60), TurnAnswered):
        pass
    return event


def say(daemon: Daemon, text: str) -> str:
    return str(daemon.do("ask", text=text)[-1]["reply"])


class TestWhatCouldNotBeFinished:
    def test_it_is_told_finished_later_and_leaves_what_was_said_since(self, state: State) -> None:
        with closing(Store(state.folder)) as store:
            forgetting = state.forgetting(store)
            with (
                held(state.folder / DATABASE, "reads"),
                pytest.raises(NotAllGoneError, match="tried again within the hour"),
            ):
                forgetting.forget(Scope(everything=True))
            assert "another program" in forgetting.problem
            new = store.add_utterance(tone(1.0, 700), "enrolled")
            store.add_label(new.id, "said afterwards", "enrolled")
            assert forgetting.finish_left() == 1
            assert (forgetting.problem, forgetting.finish_left()) == ("", 0)
            assert new.audio.is_file()
            assert store.text_of(new.id) == "said afterwards"
            assert state.left() == []

    def test_the_same_recording_may_come_again_meanwhile(self, state: State) -> None:
        with closing(Store(state.folder)) as store:
            with held(state.folder / DATABASE, "reads"), pytest.raises(NotAllGoneError):
                state.forgetting(store).forget(Scope(utterances=(state.secret,)))
            again = store.add_utterance(tone(1.0, 440), "enrolled")
            assert again.id == state.secret
            receipt = state.forgetting(store).forget(Scope(word="marmalade"))
            assert receipt is not None
            assert receipt.utterances == 1
            assert again.audio.is_file()

    @pytest.mark.parametrize("what", ["a file", "the key"])
    def test_the_daemon_starts_all_the_same_and_says_so(
        self, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        daemon = start()
        enroll(daemon, folder, 3)
        [one] = daemon.do("kept", word="number 1")[0]["utterances"]
        if what == "a file":
            unlink = Path.unlink

            def fails(self: Path, missing_ok: bool = False) -> None:
                if self.name == f"{one['utterance']}.flac":
                    raise PermissionError(13, "Permission denied", str(self))
                unlink(self, missing_ok)

            monkeypatch.setattr(Path, "unlink", fails)
        else:
            (folder / "state" / "receipts.key").write_bytes(b"short")
        with pytest.raises(AttuneError, match="tried again within the hour"):
            daemon.do("forget", utterances=[one["utterance"]])
        assert "tried again" in str(daemon.status()["problems"])
        assert daemon.status()["counts"]["utterances"] == 2
        daemon.app.__exit__()
        again = start(control__socket=folder / "b.sock")
        assert again.status()["counts"]["utterances"] == 2


class TestTurns:
    def test_a_turn_that_was_put_off_is_not_stored_after_it_was_forgotten(
        self, start: Start, folder: Path
    ) -> None:
        daemon = start()
        say(daemon, "something")
        with held(folder / "state" / DATABASE, "writes"):
            assert daemon.do("ask", text=f"my secret is {SECRET}")[-1]["warning"]
        daemon.do("forget", everything=True)
        time.sleep(1.5)
        assert daemon.status()["last_turns"] == []
        assert containing(folder / "state", SECRET.encode()) == []

    def test_nor_after_its_user_agreed_no_longer(self, start: Start, folder: Path) -> None:
        daemon = start()
        with held(folder / "state" / DATABASE, "writes"):
            daemon.do("ask", text=f"my secret is {SECRET}")
            with pytest.raises(AttuneError, match="holds a lock"):
                daemon.do("consent", agreed=False)
        time.sleep(1.5)
        assert daemon.status()["last_turns"] == []

    @pytest.mark.parametrize("heard_before", [False, True])
    def test_nor_one_that_is_being_answered_meanwhile(
        self, start: Start, monkeypatch: pytest.MonkeyPatch, heard_before: bool
    ) -> None:
        daemon = start()
        conversation = daemon.app.parts.conversation
        say(daemon, "something")
        text = f"my secret is {SECRET}"
        if heard_before:
            *_, heard = conversation.ask(tone(1.0, 440), "network", only_hear=True)
            assert isinstance(heard, SpeechHeard)
            text = heard.text
        answering, begun, goes_on = conversation._answering, threading.Event(), threading.Event()
        reply = answering._reply

        def slow(*arguments: Any) -> Any:
            begun.set()
            goes_on.wait(60)
            return reply(*arguments)

        monkeypatch.setattr(answering, "_reply", slow)
        told: list[Event] = []
        asks = threading.Thread(
            target=lambda: told.extend(conversation.ask(text, "network", heard_before=heard_before))
        )
        asks.start()
        assert begun.wait(60)
        daemon.do("forget", everything=True)
        goes_on.set()
        asks.join()
        assert isinstance(told[-1], TurnAnswered)
        assert daemon.status()["last_turns"] == []

    def test_forget_that_forgets_what_was_typed(self, start: Start, folder: Path) -> None:
        daemon = start()
        say(daemon, f"my secret is {SECRET}")
        assert say(daemon, "forget that") == "I forget it now."
        receipts = folder / "state" / "receipts"
        assert eventually(lambda: (receipts / "0001.json").exists())
        assert json.loads((receipts / "0001.json").read_text())["turns"] == 1
        assert eventually(lambda: containing(folder / "state", b"marmalade") == [])

    def test_nothing_is_withdrawn_for_a_turn_that_nobody_learnt_from(
        self, start: Start, folder: Path
    ) -> None:
        """Of an earlier release, which did not note what it learnt from."""
        write_base(folder / "state" / "generations")
        root, weights = folder / "state" / "generations", folder / "weights"
        weights.write_bytes(b"x")
        card = Card(number=1, parent=0, created_at="2026", recipe="of an earlier release")
        write_generation(
            root, 1, card, {"projector.onnx": weights, "projector.safetensors": weights}
        )
        promote(root, 1)
        daemon = start()
        hear(daemon, tone(1.0, 440))
        assert say(daemon, "that was not for you") == "I forget it now."
        assert eventually(lambda: daemon.status()["counts"]["utterances"] == 0)
        assert (root / "0001").exists()
        heard = hear(daemon, tone(1.0, 450))
        daemon.app.parts.store.add_label(str(heard.utterance), "what was said", "corrected")
        assert say(daemon, "forget that").startswith("Shall I forget it, and what I learnt")

    def test_the_last_turn_is_the_one_that_was_shown(self, start: Start) -> None:
        daemon = start()
        say(daemon, "first thing")
        [plan] = daemon.do("forget", turn=0, only_plan=True)
        say(daemon, "second thing")
        daemon.do("forget", turn=plan["turn"])
        left = [turn["heard"] for turn in daemon.status()["last_turns"]]
        assert left == ["second thing"]

    def test_by_voice_it_waits_for_nothing_that_waits_for_the_turn(
        self, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Models that are opened anew wait for the turn, which holds them."""
        daemon = start()
        enroll(daemon, folder, 3)
        models = daemon.app.parts.models
        say(daemon, "forget everything")
        answering = daemon.app.parts.conversation._answering
        act = answering._act

        def reopening(*arguments: Any) -> Any:
            threading.Thread(target=models.reopen, daemon=True).start()
            time.sleep(0.3)
            return act(*arguments)

        monkeypatch.setattr(answering, "_act", reopening)
        assert say(daemon, "yes") == "I forget it now."
        assert eventually(lambda: daemon.status()["counts"]["utterances"] == 0)


def test_what_is_forgotten_by_voice_is_noted_before_that_is_said(state: State) -> None:
    """A round may go on for a minute, and the power may fail meanwhile."""

    @contextmanager
    def never() -> Iterator[None]:
        threading.Event().wait()
        yield

    with closing(Store(state.folder)) as store:
        forgetting = state.forgetting(store, no_round=never)
        forgetting.forget_soon(Scope(word="marmalade"))
        assert store.utterance(state.secret) is None
        generation(state.places.generations, 4, 3, state.secret)  # the round ends after all
        assert state.forgetting(store).finish_left() == 1  # as at the next start
        assert state.left() == []
        assert [one.number for one in list_generations(state.places.generations)] == [0, 1]


class TestRounds:
    def test_none_begins_until_it_is_forgotten(
        self, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_base(folder / "state" / "generations")
        daemon = start()
        enroll(daemon, folder)
        [victim] = daemon.do("kept", word="number 7")[0]["utterances"]
        looks, goes_on = threading.Event(), threading.Event()

        def slow(root: Path) -> Any:
            looks.set()
            goes_on.wait(60)
            return list_generations(root)

        planned = daemon.app.parts.inputs._job

        def slow_job(*arguments: Any) -> Any:
            job = planned(*arguments)
            time.sleep(1.0)
            return job

        monkeypatch.setattr(daemon.app.parts.inputs, "_job", slow_job)
        daemon.app.parts.scheduler.run_now()  # it is being prepared when forgetting begins
        time.sleep(0.3)
        monkeypatch.setattr(module, "list_generations", slow)
        done: list[Any] = []
        asks = threading.Thread(
            target=lambda: done.extend(daemon.do("forget", utterances=[victim["utterance"]]))
        )
        asks.start()
        assert looks.wait(60)
        goes_on.set()
        asks.join()
        daemon.do("adapt")
        cards = list((folder / "state" / "generations").glob("*/card.json"))
        learnt = [json.loads(read_file(card))["learnt_from"] or [] for card in cards]
        assert max(map(len, learnt)) == 19
        assert all(victim["utterance"] not in ids for ids in learnt)
        assert containing(folder / "state", b'number 7"') == []


class TestConsent:
    def test_an_enrolment_ends_when_its_user_agrees_no_longer(
        self, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from daemon.control import enrolment

        daemon = start()
        keep, rows = enrolment._keep, 0

        def counted(*arguments: Any) -> Any:
            nonlocal rows
            rows += 1
            if rows == 3:
                daemon.app.parts.status.keeping.consent.decide(False, "command line")
            return keep(*arguments)

        monkeypatch.setattr(enrolment, "_keep", counted)
        with pytest.raises(AttuneError, match="nobody has agreed"):
            enroll(daemon, folder)
        assert daemon.status()["counts"]["utterances"] == 3

    def test_nothing_is_enrolled_or_corrected_in_private(self, start: Start, folder: Path) -> None:
        daemon = start()
        hear(daemon, tone(1.0, 440))
        say(daemon, "private mode for an hour")
        with pytest.raises(AttuneError, match="private mode"):
            enroll(daemon, folder, 3)
        with pytest.raises(AttuneError, match="private mode"):
            daemon.do("correct", text="something else")

    def test_what_was_joined_to_something_private_is_private(self, start: Start) -> None:
        daemon = start()
        daemon.app.parts.status.keeping.private.begin(3600)
        first = hear(daemon, tone(1.0, 440))
        daemon.app.parts.status.keeping.private.end()
        both = np.concatenate([tone(1.0, 440), tone(0.5, 440)])
        assert hear(daemon, both, replaces=first.turn, may_keep=False).utterance is None
        assert daemon.status()["last_turns"] == []

    def test_who_goes_on_speaking_agrees_to_nothing(self, start: Start) -> None:
        """An answer that is taken back leaves the user no less private than before."""
        daemon = start()
        keeping, abilities = daemon.app.parts.status.keeping, daemon.app.parts.conversation
        answer = abilities._answering._abilities.answer
        stop = answer(["stop learning for good"])
        assert stop is not None
        assert stop.answer.undo is None
        keeping.private.begin(50 * 60)
        longer = answer(["private mode for two hours"])
        assert longer is not None
        assert longer.answer.undo is None


class TestWhatElseLies:
    def test_what_a_killed_writer_left(self, state: State) -> None:
        left = state.places.generations / ".0004.abcd"
        left.mkdir()
        (left / "card.json").write_text(json.dumps({"requests": [SECRET]}))
        forget(state, Scope(utterances=(state.secret,)))
        assert state.left() == []

    def test_an_alarm_that_nobody_heard(self, state: State) -> None:
        with closing(Store(state.folder)) as store, store.writing() as connection:
            connection.execute(
                "INSERT INTO missed_alarms (text, added_at) VALUES (?, 1.0)", (f"Call {SECRET}.",)
            )
        forget(state, Scope(word="marmalade"))
        assert state.left() == []

    def test_cards_that_show_the_words_of_a_recording_that_went_before(self, state: State) -> None:
        with closing(Store(state.folder)) as store:
            store.forget(store.audio_folder / f"{state.secret}.flac")  # by age, say
        shown = [path for path in state.left() if "generations" in path.parts]
        assert shown
        assert forget(state, Scope(word="marmalade")).withdrawn == (2, 3)
        assert [path for path in state.left() if "generations" in path.parts] == []

    def test_the_users_own_wake_word_with_everything(self, start: Start, folder: Path) -> None:
        daemon = start()
        path = own_phrase_path(folder / "state")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"hey marmalade")
        say(daemon, "something")
        daemon.do("forget", turn=0)
        assert path.exists()
        say(daemon, "something")
        daemon.do("forget", everything=True)
        assert not path.exists()

    def test_a_list_of_withdrawn_generations_that_rotted_stops_nobody(self, state: State) -> None:
        (state.places.generations / "withdrawn").write_bytes(b"\xff\xfe 0001\n\xc2\xb2 x\n")
        assert forget(state, Scope(utterances=(state.secret,))).serves == 1


def test_words_are_the_same_however_they_are_written(state: State) -> None:
    with closing(Store(state.folder)) as store:
        store.add_label(state.secret, "Call Rene\u0301e, don\u2019t wait", "corrected")
        for word in ("ren\u00e9e", "dont wait", "don't"):
            assert find(store, Scope(word=word)).utterances == (state.secret,)
