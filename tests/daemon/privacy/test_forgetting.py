"""What is forgotten is in no file afterwards, and nothing that had learnt from it is served."""

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from daemon.privacy.forgetting import Forgetting, Places, finish, withdrawing
from daemon.privacy.receipts import Receipts, read_receipt
from daemon.privacy.scope import Scope, find
from daemon.privacy.take_over import BACKUP
from daemon.serving.moves import Moves
from daemon.store.records import Turn
from daemon.store.store import DATABASE, Store
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.generations.card import Card
from engines.generations.folder import next_number, read_generation, write_generation
from engines.generations.pointers import current, previous, promote
from tests.support.ability_world import BERLIN, AbilityWorld
from tests.support.content import containing
from tests.support.fakes import tone, write_base
from tests.support.running_daemon import Daemon, Start, enroll, folder, start
from tests.support.stored_labels import said_by_first_user

__all__ = ["folder", "start"]

SECRET, OTHER = "xylophone marmalade", "ordinary words"


def named(folder: Path, name: str) -> list[Path]:
    return [path for path in folder.rglob("*") if name in path.name]


def generation(root: Path, number: int, parent: int, *learnt_from: str) -> None:
    weights = root.parent / "weights"
    weights.write_bytes(b"weights" * number)
    card = Card(
        number=number,
        parent=parent,
        created_at="2026-01-01T00:00:00+00:00",
        recipe="fake",
        learnt_from=tuple(sorted(learnt_from)),
        requests=(SECRET,) if number > 1 else (),
    )
    files = {"projector.onnx": weights, "projector.safetensors": weights}
    write_generation(root, number, card, files)
    promote(root, number)


class State:
    """The state of a daemon that has learnt twice: from OTHER, and then from SECRET as well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = Places(
            folder / "generations",
            folder / "jobs",
            folder / "cache" / "features",
            folder / "wake" / "own.safetensors",
            folder / BACKUP,
            folder / "users",
        )
        write_base(self.places.generations)
        with closing(Store(folder)) as store:
            self.secret, self.other = (
                self._said(store, pitch, text) for pitch, text in ((440, SECRET), (300, OTHER))
            )
        generation(self.places.generations, 1, 0, self.other)
        generation(self.places.generations, 2, 1, self.other, self.secret)
        generation(self.places.generations, 3, 2, self.other, self.secret)
        job = self.places.jobs / "0004"
        job.mkdir(parents=True)
        example = {"id": self.secret, "text": SECRET}
        (job / "job.json").write_text(json.dumps({"parent": 3, "examples": [example]}))
        (job / "checkpoint").write_bytes(self.sound)
        lessons = self.places.features / "lessons"
        lessons.mkdir(parents=True)
        (lessons / "ab.lesson.safetensors").write_text(SECRET)
        for name, sound, text in (
            (self.secret, self.sound, SECRET),
            (self.other, b"other sound", OTHER),
        ):
            (self.places.features / f"{name}.key.npy").write_bytes(sound)
            (self.places.features / f"{name}.1.key.draft4.json").write_text(text)

    @property
    def sound(self) -> bytes:
        return tone(1.0, 440)[4000:4100].tobytes()

    def _said(self, store: Store, pitch: float, text: str) -> str:
        utterance = store.add_utterance(tone(1.0, pitch), "microphone").id
        store.add_label(utterance, "a label that was wrong " + text, "recognised")
        store.add_label(utterance, text, "corrected")
        turn = Turn(utterance, "cascade", text, f"You said {text}.", 1.0, 2.0, None, 100.0)
        store.history.add_turn(turn)
        said_by_first_user(store)
        return utterance

    def forgetting(
        self, store: Store, no_round: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> Forgetting:
        moves = Moves(self.places.generations, lambda _: None, store.history.add_move)
        receipts = Receipts(self.folder)
        return Forgetting(store, self.places, receipts, withdrawing(moves), no_round, lambda: None)

    def finish(self) -> int:
        """Start again, as far as forgetting is concerned; returns how many were left to do."""
        with closing(Store(self.folder)) as store:
            moves = Moves(self.places.generations, lambda _: None, store.history.add_move)
            receipts = Receipts(self.folder)
            return len(finish(store, self.places, receipts, withdrawing(moves)))

    def left(self) -> list[Path]:
        """The files in which there is anything of SECRET, or that bear its name."""
        receipts = self.folder / "receipts"
        found = containing(self.folder, SECRET.encode(), self.sound, self.secret.encode())
        found += named(self.folder, self.secret)
        return sorted({path for path in found if receipts not in path.parents})


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def forget(state: State, scope: Scope) -> Any:
    with closing(Store(state.folder)) as store:
        return state.forgetting(store).forget(scope)


def test_it_is_in_no_file_any_more_while_the_database_is_open(state: State) -> None:
    assert len(state.left()) > 5
    with closing(Store(state.folder)) as store:
        receipt = state.forgetting(store).forget(Scope(utterances=(state.secret[:8],)))
        assert state.left() == []
        assert (state.folder / f"{DATABASE}-wal").exists()
        assert store.text_of(state.other) == OTHER
    assert receipt is not None
    assert (receipt.utterances, receipt.turns, receipt.withdrawn) == (1, 1, (2, 3))
    assert containing(state.folder, OTHER.encode())
    assert named(state.folder, state.other)


def test_the_newest_that_had_not_learnt_from_it_serves_and_the_others_never_again(
    state: State, tmp_path: Path
) -> None:
    root = state.places.generations
    shutil.copytree(root / "0003", tmp_path / "copy")
    receipt = forget(state, Scope(utterances=(state.secret,)))
    served = current(root)
    assert served is not None
    assert served.number == receipt.serves == 1
    assert previous(root) is None
    with pytest.raises(AttuneError, match="0003"):
        promote(root, 3)
    shutil.copytree(tmp_path / "copy", root / "0003")
    with pytest.raises(AttuneError, match="was withdrawn"):
        read_generation(root / "0003")
    shutil.rmtree(root / "0003")
    assert next_number(root) == 4
    generation(root, 4, 1, state.other)
    assert read_generation(root / "0004").number == 4


def test_what_the_base_cannot_know_and_what_nobody_knows(state: State) -> None:
    root = state.places.generations
    forget(state, Scope(utterances=(state.other,)))
    served = current(root)
    assert served is not None
    assert served.number == 0
    card = Card(number=5, parent=0, created_at="2026", recipe="of an earlier release")
    write_generation(root, 5, card, {})
    promote(root, 5)
    assert forget(state, Scope(utterances=(state.secret,))).withdrawn == (5,)


def test_a_round_without_it_is_due(state: State) -> None:
    with closing(Store(state.folder)) as store:
        last = store.counts().last_label
        with store.writing() as connection:
            for number in (1, 3):
                connection.execute(
                    "INSERT INTO rounds (started_at, ended_at, generation, outcome, reason, labels)"
                    " VALUES (1, 2, ?, 'promoted', '', ?)",
                    (number, last),
                )
        assert store.counts().new_labels == 0
        state.forgetting(store).forget(Scope(utterances=(state.other,)))
        assert store.counts().new_labels == 1
        # A new label may get the number of one that was forgotten, and is new all the same.
        state.forgetting(store).forget(Scope(everything=True))
        utterance = store.add_utterance(tone(1.0, 500), "microphone")
        store.add_label(utterance.id, "something new", "corrected")
        said_by_first_user(store)
        assert store.counts().new_labels == 1


def test_everything_is_everything(state: State) -> None:
    with closing(Store(state.folder)) as store, store.writing() as connection:
        connection.execute(
            "INSERT INTO phrases VALUES (?, 1.0, '[]', 1.0, 1.0)", (f"{SECRET} the phrase",)
        )
        connection.execute(
            "INSERT INTO list_items (list, text, added_at) VALUES ('shopping', ?, 1.0)", (SECRET,)
        )
        connection.execute(
            "INSERT INTO missed_alarms (text, added_at) VALUES (?, 1.0)", (f"{SECRET} rang",)
        )
    (state.folder / "attune.db-wal.lost-1").write_text(SECRET)
    (state.folder / "audio" / ".part.flac").write_bytes(state.sound)
    receipt = forget(state, Scope(everything=True))
    assert (receipt.utterances, receipt.turns, receipt.others) == (2, 2, 3)
    assert receipt.withdrawn == (1, 2, 3)
    assert state.left() == []
    assert containing(state.folder, OTHER.encode()) == []
    assert list((state.folder / "audio").iterdir()) == []
    assert forget(state, Scope(everything=True)) is None


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        (Scope(word="Marmalade"), "secret"),
        (Scope(word="xylophone, marmalade!"), "secret"),
        (Scope(word="marm"), ""),
        (Scope(word="words"), "other"),
        (Scope(turn=1), "secret"),
        (Scope(turn=0), "other"),
        (Scope(since=0.0, until=50.0), ""),
        (Scope(since=50.0), "both"),
        (Scope(everything=True), "both"),
    ],
)
def test_what_lies_in_a_scope(state: State, scope: Scope, found: str) -> None:
    wanted = {
        "": set(),
        "secret": {state.secret},
        "other": {state.other},
        "both": {state.secret, state.other},
    }[found]
    with closing(Store(state.folder)) as store:
        there = find(store, scope)
        assert set(there.utterances) == wanted
        assert len(there.turns) == len(wanted)
        assert there.seconds == pytest.approx(len(wanted))


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        (Scope(utterances=("ffff",)), "there is no utterance ffff"),
        (Scope(turn=77), "there is no turn 77"),
        (Scope(word="?!"), "has a letter"),
    ],
)
def test_what_is_not_there_is_told(state: State, scope: Scope, told: str) -> None:
    with closing(Store(state.folder)) as store, pytest.raises(AttuneError, match=told):
        find(store, scope)


def test_a_typed_turn_is_forgotten_and_no_generation_with_it(state: State) -> None:
    with closing(Store(state.folder)) as store:
        typed = Turn(None, "text", "a typed secret", "Yes.", 1.0, 2.0, None, 100.0)
        store.history.add_turn(typed)
        receipt = state.forgetting(store).forget(Scope(turn=0))
    assert receipt is not None
    assert (receipt.turns, receipt.withdrawn, receipt.serves) == (1, (), 3)
    assert containing(state.folder, b"typed secret") == []


@pytest.mark.parametrize("seed", range(30))
def test_killed_at_any_moment_it_ends_complete_at_the_next_start(state: State, seed: int) -> None:
    """Killed by a signal before a random line of any module that takes part."""
    lines = forgotten_in_a_child(state.__class__(state.folder.parent / "other"), sys.maxsize)
    assert lines > 300
    first = 1 if seed < 6 else lines // 2  # by then the transaction is over, more or less
    forgotten_in_a_child(state, random.Random(seed).randrange(first, lines))
    begun = SECRET.encode() not in (state.folder / DATABASE).read_bytes() or bool(state.finish())
    state.finish()
    if not begun:  # killed before its transaction: nothing happened
        assert len(state.left()) > 5
        forget(state, Scope(utterances=(state.secret,)))
    assert state.finish() == 0
    assert state.left() == []
    served = current(state.places.generations)
    assert served is not None
    assert served.number == 1
    [receipt] = (state.folder / "receipts").glob("*.json")
    assert read_receipt(receipt).withdrawn == (2, 3)


def forgotten_in_a_child(state: State, kill_at: int) -> int:
    """Forget SECRET in a process that is killed before its line number `kill_at`. Returns how many
    lines it came to, at most 60,000."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        passed = 0

        def trace(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal passed
            if "/daemon/" not in frame.f_code.co_filename and "/engines/" not in (
                frame.f_code.co_filename
            ):
                return None
            if event == "line":
                passed += 1
                if passed >= kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        with closing(Store(state.folder)) as store:
            forgetting = state.forgetting(store)
            sys.settrace(trace)
            forgetting.forget(Scope(utterances=(state.secret,)))
            sys.settrace(None)
        os.write(writer, passed.to_bytes(4, "big"))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return int.from_bytes(told, "big")


def test_a_receipt_is_checked(state: State, tmp_path: Path) -> None:
    receipt = forget(state, Scope(word="marmalade"))
    path = state.folder / "receipts" / f"{receipt.number:04d}.json"
    assert read_receipt(path) == receipt
    assert receipt.public_key == Receipts(state.folder).public_key()
    assert (state.folder / "receipts.key").stat().st_mode & 0o777 == 0o600
    changed = json.loads(path.read_text())
    for field, value in (("utterances", 2), ("withdrawn", []), ("signature", "00"), ("what", "x")):
        (tmp_path / "changed.json").write_text(json.dumps({**changed, field: value}))
        with pytest.raises(AttuneError, match="as it was signed"):
            read_receipt(tmp_path / "changed.json")
    (tmp_path / "changed.json").write_text("{}")
    with pytest.raises(AttuneError, match="no receipt"):
        read_receipt(tmp_path / "changed.json")


class TestADaemon:
    def learnt(self, start: Start, folder: Path) -> Daemon:
        write_base(folder / "state" / "generations")
        daemon = start()
        enroll(daemon, folder)
        assert daemon.do("adapt")[-1]["outcome"] == "promoted"
        return daemon

    def test_it_serves_what_did_not_learn_from_it_at_once(self, start: Start, folder: Path) -> None:
        daemon = self.learnt(start, folder)
        assert daemon.status()["generation"] == 1
        listed = daemon.do("kept", word="number 7")[0]
        [one] = listed["utterances"]
        assert (one["text"], one["origin"], listed["more"]) == ("number 7", "enrolled", 0)
        plan, done = daemon.do("forget", utterances=[one["utterance"]])
        assert (plan["utterances"], plan["generations"]) == (1, [1])
        assert (done["utterances"], done["withdrawn"], done["serves"]) == (1, [1], 0)
        status = daemon.status()
        assert (status["generation"], status["counts"]["utterances"]) == (0, 19)
        assert status["counts"]["new_labels"] == 19, "a round without it is due"
        with pytest.raises(AttuneError, match="0001"):
            daemon.do("generations", action="promote", number=1)
        assert containing(folder / "state", b"number 7") == []
        assert daemon.do("adapt")[-1]["outcome"] == "promoted"
        assert daemon.status()["generation"] == 2
        card = read_generation(folder / "state" / "generations" / "0002").card
        assert card.learnt_from is not None
        assert len(card.learnt_from) == 19

    def test_a_plan_changes_nothing(self, start: Start, folder: Path) -> None:
        daemon = self.learnt(start, folder)
        [plan] = daemon.do("forget", everything=True, only_plan=True)
        assert (plan["utterances"], plan["generations"]) == (20, [1])
        assert daemon.status()["generation"] == 1
        for wrong in ({}, {"word": "x", "everything": True}, {"utterances": ["../.."]}):
            with pytest.raises(AttuneError):
                daemon.do("forget", **wrong)

    def test_a_round_that_learns_from_it_is_ended(self, start: Start, folder: Path) -> None:
        write_base(folder / "state" / "generations")
        daemon = start(mode="works")
        enroll(daemon, folder)
        daemon.app.parts.scheduler.run_now()
        wait(lambda: daemon.status()["adaptation"]["state"] == "training")
        *_, done = daemon.do("forget", word="number 7")
        assert done["utterances"] == 1
        assert not list((folder / "state" / "jobs").glob("0*"))
        assert containing(folder / "state", b"number 7") == []

    def test_by_voice_it_is_asked_and_done(self, start: Start, folder: Path) -> None:
        daemon = self.learnt(start, folder)
        write_flac(folder / "said.flac", tone(1.0, 440))
        daemon.do("ask", audio=folder / "said.flac", route="cascade")
        daemon.do("ask", text=f"my secret is {SECRET}")

        def say(text: str) -> str:
            return str(daemon.do("ask", text=text)[-1]["reply"])

        asked = say("forget the word marmalade")
        assert asked == "Shall I forget 1 turn? That cannot be undone."
        assert say("no") == "Then I leave it."
        assert containing(folder / "state", b"my secret")
        say("forget the word marmalade")
        assert say("yes") == "I forget it now."
        wait(lambda: containing(folder / "state", b"marmalade") == [])
        asked = say("delete everything you heard in the last hour")
        assert asked.startswith("Shall I forget 21 recordings and ")
        assert asked.endswith(", and what I learnt from it? That cannot be undone.")
        assert say("yes") == "I forget it now. I know again what I knew before."
        wait(lambda: len(list((folder / "state" / "receipts").glob("*"))) == 2)
        status = daemon.status()
        assert (status["generation"], status["counts"]["utterances"]) == (0, 0)
        assert say("forget everything") == "I have kept nothing of that."

    def test_who_said_it_is_not_reminded_of_it(self, start: Start) -> None:
        daemon = start()
        daemon.do("ask", text=f"my secret is {SECRET}")
        daemon.do("forget", word="marmalade")
        assert SECRET not in str(daemon.do("ask", text="what did I just say")[-1]["reply"])


@pytest.mark.parametrize(
    "said",
    [
        "forget everything",
        "Delete all my recordings.",
        "please erase everything you have ever heard from me",
        "Forget me.",
        "delete everything you heard in the last hour",
        "Forget what I said in the last two hours, please.",
        "erase the last ten minutes",
        "forget everything I said today",
        "delete everything you recorded today",
        "Wipe the recordings from this afternoon.",
        "forget the name marmalade",
        "Delete everything with the word marmalade.",
        "We had a bit of a row, so delete everything you heard in the last hour.",
        "I read that you keep recordings, so delete all of mine.",
    ],
)
def test_who_wants_it_forgotten_is_asked_what(tmp_path: Path, said: str) -> None:
    with closing(AbilityWorld(tmp_path)) as world:
        turn = Turn(None, "text", SECRET, "Yes.", 1.0, 2.0, None, world.time.wall - 60)
        world.store.history.add_turn(turn)
        found = world.abilities.answer([said])
        assert found is not None
        assert found.answer.reply == "Shall I forget 1 turn? That cannot be undone."
        assert not found.answer.keeps_turn
        assert found.answer.if_yes is not None
        assert found.answer.if_yes.act is not None
        assert found.answer.if_yes.reply == "I forget it now."
        found.answer.if_yes.act()
        wait(lambda: world.store.counts().turns == 0)


@pytest.mark.parametrize(
    ("said", "began", "ended"),
    [
        ("forget everything I said yesterday", "2026-11-29T00:00", "2026-11-30T00:00"),
        ("Wipe the recording from last night.", "2026-11-29T17:00", "2026-11-30T06:00"),
        ("delete what you heard this morning", "2026-11-30T00:00", "2026-11-30T12:00"),
    ],
)
def test_a_time_of_day_is_that_of_the_user(
    tmp_path: Path, said: str, began: str, ended: str
) -> None:
    with closing(AbilityWorld(tmp_path)) as world:
        first, last = (
            datetime.fromisoformat(one).replace(tzinfo=BERLIN).timestamp() for one in (began, ended)
        )
        for at in (first - 1, first, last - 1, last):
            world.store.history.add_turn(Turn(None, "text", "x", "y", 1.0, 2.0, None, at))
        found = world.abilities.answer([said])
        assert found is not None
        assert found.answer.reply == "Shall I forget 2 turns? That cannot be undone."


def wait(condition: Callable[[], bool]) -> None:
    from tests.support.fake_child import eventually

    assert eventually(condition)


def test_sound_is_searched_for_in_the_form_in_which_it_is_stored(tmp_path: Path) -> None:
    """The search of these tests would find what it looks for."""
    np.save(tmp_path / "a.npy", tone(1.0, 440))
    assert containing(tmp_path, tone(1.0, 440)[4000:4100].tobytes())
