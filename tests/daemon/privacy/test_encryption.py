"""What a daemon stores is encrypted, all of it; it is read by who has the key alone; and another
key takes its place while the daemon serves."""

import json
import os
import random
import shutil
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from daemon.config.installation_key import open_state, protect_state
from daemon.privacy.encrypted_files import encrypted_files
from daemon.privacy.rotation import KeyRotation
from daemon.store.store import DATABASE, Store
from engines.audio.recordings import write_flac
from engines.encryption.files import UnreadableError, key_id_of, read_file
from engines.encryption.folders import ring_of
from engines.encryption.key_file import KEYS
from engines.errors import AttuneError
from engines.generations.folder import list_generations
from tests.support.content import containing
from tests.support.fakes import tone, write_base
from tests.support.running_daemon import Daemon, Start, enroll, folder, make_settings, start

__all__ = ["folder", "start"]

REPLACE = os.replace
SECRET = "my aunt keeps seventeen xylophones"


def lived_in(start: Start, folder: Path) -> Daemon:
    """A daemon that heard, answered, was corrected, and learnt."""
    write_base(folder / "state" / "generations")
    daemon = start()
    enroll(daemon, folder)
    daemon.do("ask", text=f"remember that {SECRET}")
    write_flac(folder / "said.flac", tone(1.0, 700))
    daemon.do("ask", audio=folder / "said.flac")
    daemon.do("correct", text="turn the xylophone down")
    daemon.do("vocabulary", add=[{"text": "seventeen xylophones"}])
    assert daemon.do("adapt")[-1]["outcome"] == "promoted"
    return daemon


def readable_in(folder: Path, *patterns: bytes) -> list[Path]:
    """The files in which one of `patterns` can be read without a key."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix != ".key"
        and any(pattern in path.read_bytes() for pattern in patterns)
    ]


def test_nothing_of_it_can_be_read_without_the_key(start: Start, folder: Path) -> None:
    lived_in(start, folder)
    state = folder / "state"
    patterns = [b"fLaC", b"xylophone", b"number 7", b"SQLite format", b"learnt_from", b"holdout"]
    patterns.append(b"projector.onnx" * 10)  # the weights that the child wrote
    assert {path.name for path in containing(state, *patterns)} >= {DATABASE, "card.json"}
    assert [path for path in readable_in(state, *patterns) if "0000" not in path.parts] == []
    plain = {
        path.name
        for path in state.rglob("*")
        if path.is_file() and "0000" not in path.parts and key_id_of(path) is None
    }
    assert plain <= {
        *(DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "attune.lock", "attune.key"),
        *(KEYS, "keys.copy.json", "receipts.key", "withdrawn", "tokens.json", "empty"),
    }


def test_it_serves_on_with_its_key_and_not_with_another(start: Start, folder: Path) -> None:
    daemon = lived_in(start, folder)
    daemon.app.__exit__()
    key = folder / "state" / "attune.key"
    mine = key.read_text()
    key.unlink()
    with pytest.raises(AttuneError, match="there is no key at all"):
        start(control__socket=folder / "b.sock")
    key.write_text("another key, which is as long as a key has to be")
    with pytest.raises(AttuneError, match="put that key back"):
        start(control__socket=folder / "b.sock")
    key.write_text(mine)
    again = start(control__socket=folder / "b.sock").status()
    assert (again["generation"], again["problems"]) == (1, [])
    assert again["counts"]["utterances"] == 21


def test_keys_that_are_lost_are_not_replaced(start: Start, folder: Path) -> None:
    daemon = lived_in(start, folder)
    daemon.app.__exit__()
    state = folder / "state"
    for name in (KEYS, "keys.copy.json"):
        (state / name).rename(folder / name)
    with pytest.raises(AttuneError, match=r"needs keys\.json or its copy, which are gone"):
        start(control__socket=folder / "b.sock")
    shutil.copy(folder / "keys.copy.json", state)
    assert start(control__socket=folder / "b.sock").status()["generation"] == 1


def test_a_key_of_systemd_is_used_from_then_on(
    start: Start, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = lived_in(start, folder)
    daemon.app.__exit__()
    (tmp_path / "attune.key").write_text("what systemd took from the TPM, or from a file of root's")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    start(control__socket=folder / "b.sock").app.__exit__()
    (folder / "state" / "attune.key").unlink()
    again = start(control__socket=folder / "c.sock")
    assert again.status()["generation"] == 1
    again.app.__exit__()
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(AttuneError, match="there is no key at all"):
        start(control__socket=folder / "d.sock")


def test_another_key_takes_its_place_while_it_serves(start: Start, folder: Path) -> None:
    daemon = lived_in(start, folder)
    state = folder / "state"
    old = ring_of(state / DATABASE)
    assert old is not None
    stopping = threading.Event()
    answers: list[str] = []

    def go_on() -> None:
        while not stopping.is_set():
            answers.append(str(daemon.do("ask", text=f"hello {len(answers)}")[-1]["reply"]))

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        for _ in range(3):
            done = daemon.do("rotate_keys")[-1]
            assert int(str(done["files"])) > 21
    finally:
        stopping.set()
        thread.join()
    assert answers
    new = ring_of(state / DATABASE)
    assert new is not None
    assert (len(new.all), new.current == old.current) == (1, False)
    files = list(encrypted_files(daemon.settings))
    assert len(files) > 21
    assert {key_id_of(path) for path in files} == {new.current.id}
    assert daemon.status()["counts"]["turns"] == len(answers) + 2
    assert daemon.do("adapt")[-1]["outcome"] == "promoted"
    daemon.app.__exit__()
    again = start(control__socket=folder / "b.sock")
    assert again.status()["generation"] == 2
    assert again.status()["problems"] == []


def test_a_rotation_that_is_killed_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(folder)
    open_state(settings)
    with closing(Store(settings.state_dir)) as store:
        for number in range(8):
            store.add_utterance(tone(0.3, 200 + 10 * number), "microphone")
    dice = random.Random(3)
    for _ in range(12):
        open_state(settings)
        with closing(Store(settings.state_dir)) as store:
            rotation = KeyRotation(settings, store, threading.Lock)  # type: ignore[arg-type]
            left = [dice.randrange(20)]

            def killed(*arguments: object, left: list[int] = left, **more: object) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
                REPLACE(*arguments, **more)  # type: ignore[arg-type]

            with monkeypatch.context() as patched:
                patched.setattr("os.replace", killed)
                with suppress(KeyboardInterrupt):
                    rotation.rotate()
        keys = open_state(settings)  # as at the next start
        with closing(Store(settings.state_dir)) as store:
            KeyRotation(settings, store, threading.Lock).finish_left()  # type: ignore[arg-type]
            assert store.counts().utterances == 8
            ring = ring_of(store.path)
            assert ring is not None
            assert ring.older == ()
            assert ring.current == keys.ring.current
            for path in encrypted_files(settings):
                assert read_file(path)


def test_keys_of_an_earlier_time_that_are_put_back_lose_nothing(start: Start, folder: Path) -> None:
    daemon = lived_in(start, folder)
    state = folder / "state"
    old = (state / KEYS).read_bytes()
    daemon.do("rotate_keys")
    daemon.app.__exit__()
    (state / KEYS).write_bytes(old)
    again = start(control__socket=folder / "b.sock")
    assert again.status()["counts"]["utterances"] == 21
    assert again.status()["generation"] == 1
    again.do("rotate_keys")
    again.app.__exit__()
    last = start(control__socket=folder / "c.sock")
    assert last.do("adapt")[-1]["outcome"] == "promoted"


def test_no_key_is_dropped_while_a_file_needs_another(start: Start, folder: Path) -> None:
    daemon = lived_in(start, folder)
    state = folder / "state"
    path = next(iter((state / "audio").glob("*.flac")))
    whole = path.read_bytes()
    path.write_bytes(whole[:8] + bytes(8) + whole[16:])
    with pytest.raises(AttuneError, match="needs a data key that is not there, so none is dropped"):
        daemon.do("rotate_keys")
    path.write_bytes(whole)
    daemon.do("rotate_keys")
    ring = ring_of(path)
    assert ring is not None
    assert (len(ring.all), key_id_of(path)) == (1, ring.current.id)


class TestBitFlips:
    """In each kind of file that is stored: noticed, named, and survived."""

    def flip(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) * 2 // 3] ^= 1
        path.write_bytes(content)

    def test_in_a_recording(self, start: Start, folder: Path) -> None:
        daemon = lived_in(start, folder)
        [one] = daemon.do("kept", word="number 7")[0]["utterances"]
        path = folder / "state" / "audio" / f"{one['utterance']}.flac"
        self.flip(path)
        with pytest.raises(UnreadableError, match=f"{path.name} cannot be read: it is damaged"):
            read_file(path)
        assert daemon.do("adapt")[-1]["outcome"] in ("promoted", "refused")

    def test_in_a_generation(self, start: Start, folder: Path) -> None:
        daemon = lived_in(start, folder)
        daemon.app.__exit__()
        for name in ("projector.onnx", "card.json"):
            path = folder / "state" / "generations" / "0001" / name
            whole = path.read_bytes()
            self.flip(path)
            again = start(control__socket=folder / f"{len(name)}.sock")
            status = again.status()
            assert status["generation"] == 0
            assert f"{name} cannot be read: it is damaged" in str(status["problems"])
            again.app.__exit__()
            path.write_bytes(whole)

    def test_in_a_round_that_goes_on(self, start: Start, folder: Path) -> None:
        write_base(folder / "state" / "generations")
        daemon = start(mode="dies")
        enroll(daemon, folder)
        assert daemon.do("adapt")[-1]["outcome"] == "failed"
        job = folder / "state" / "jobs" / "0001" / "job.json"
        if job.exists():
            self.flip(job)
        daemon.app.__exit__()
        again = start(control__socket=folder / "b.sock")
        assert again.do("adapt")[-1]["outcome"] == "promoted"

    def test_in_the_database(self, start: Start, folder: Path) -> None:
        daemon = lived_in(start, folder)
        daemon.app.__exit__()
        self.flip(folder / "state" / DATABASE)
        with pytest.raises(AttuneError, match=r"attune\.db.* is damaged .*move the database aside"):
            start(control__socket=folder / "b.sock")
        (folder / "state" / DATABASE).rename(folder / "aside.db")
        again = start(control__socket=folder / "b.sock", agreed=False)
        assert again.status()["counts"]["utterances"] == 21

    def test_in_the_keys(self, start: Start, folder: Path) -> None:
        daemon = lived_in(start, folder)
        daemon.app.__exit__()
        self.flip(folder / "state" / KEYS)
        assert start(control__socket=folder / "b.sock").status()["generation"] == 1

    def test_in_the_own_phrase_and_in_features(self, start: Start, folder: Path) -> None:
        daemon = lived_in(start, folder)
        from engines.encryption.files import write_file
        from engines.wake.own_phrase import read_phrase

        path = folder / "state" / "wake" / "own.safetensors"
        path.parent.mkdir()
        write_file(path, b"weights" * 100)
        self.flip(path)
        with pytest.raises(AttuneError, match=r"own\.safetensors is damaged"):
            read_phrase(path)
        assert daemon.status()["generation"] == 1


def test_another_process_of_its_user_reads_it_with_the_key(start: Start, folder: Path) -> None:
    daemon = lived_in(start, folder)
    protect_state(daemon.settings)  # as the command line does
    found = list_generations(daemon.settings.generations)
    assert [one.number for one in found] == [0, 1]
    assert json.loads(read_file(found[1].folder / "card.json"))["number"] == 1
