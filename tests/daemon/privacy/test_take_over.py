"""What an earlier release stored without encryption is encrypted once, with a copy, also if the
power fails in the middle."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from daemon.clocks import SECONDS_A_DAY
from daemon.config.installation_key import open_state
from daemon.config.settings import Settings
from daemon.privacy.encrypted_files import encrypted_files
from daemon.privacy.take_over import BACKUP, expire_backup, take_over
from daemon.store.orphans import adopt_orphans
from daemon.store.store import DATABASE, Store
from engines.audio.recordings import read_audio, write_flac
from engines.encryption.files import key_id_of
from engines.errors import AttuneError
from engines.generations.folder import list_generations
from tests.daemon.test_earlier_release import earlier_state
from tests.support.fakes import tone
from tests.support.running_daemon import Start, folder, make_settings, start

__all__ = ["folder", "start"]

PLAIN = (b"turn on the light", b"fLaC", b"SQLite format", b"learnt", b"recipe")


class PowerCut(BaseException):
    """The machine has no power."""


@contextmanager
def power_for(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let `steps` steps that change the disk be done, and no more."""
    left = [steps]

    def counted(name: str) -> None:
        real = getattr(__import__("os"), name)

        def step(*arguments: object, **more: object) -> object:
            if left[0] <= 0:
                raise PowerCut
            left[0] -= 1
            return real(*arguments, **more)

        patched.setattr(f"os.{name}", step)

    with monkeypatch.context() as patched:
        for name in ("replace", "rename", "link", "mkdir", "fsync"):
            counted(name)
        with suppress(PowerCut):
            yield


def earlier(folder: Path) -> Settings:
    """The settings of a state that an earlier release left: with the sound that belongs to it, and
    what was computed of it."""
    state = earlier_state(folder)
    features = folder / "cache" / "features"
    features.mkdir(parents=True)
    (features / "a.whisper.npy").write_bytes(b"learnt frames" * 100)
    (state / "wake").mkdir()
    (state / "wake" / "own.safetensors").write_bytes(b"learnt phrase")
    for number in range(5):
        write_flac(state / "audio" / f"{number}.flac", tone(0.3, 200 + 10 * number))
    return make_settings(folder)


def readable(folder: Path) -> list[Path]:
    """The files that can be read without a key, but for the base and the copy."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not {"0000", BACKUP} & set(path.parts)
        and path.name != "attune.db.sql"  # of which the test has made the database
        and any(pattern in path.read_bytes() for pattern in PLAIN)
    ]


def seen(settings: Settings) -> tuple[object, ...]:
    with closing(Store(settings.state_dir)) as store:
        rows = store.rows("SELECT utterance, text, origin FROM labels ORDER BY id")
        turns = [turn.heard for turn in store.history.last_turns(9)]
    sounds = [len(read_audio(path)) for path in sorted(settings.state_dir.glob("audio/*.flac"))]
    cards = [one.card for one in list_generations(settings.generations)]  # type: ignore[union-attr]
    return rows, turns, sounds, cards


def test_all_is_encrypted_there_and_a_copy_stays_for_a_week(folder: Path) -> None:
    settings = earlier(folder)
    state = settings.state_dir
    before = seen(settings)
    names = {path.name for path in readable(folder)}
    assert names >= {DATABASE, "0.flac", "own.safetensors", "a.whisper.npy", "card.json"}
    assert "is encrypted now; a copy that is not stays" in take_over(settings, open_state(settings))
    assert readable(folder) == []
    assert seen(settings) == before
    assert take_over(settings, open_state(settings)) == ""
    with closing(sqlite3.connect(state / BACKUP / DATABASE)) as copy:
        assert copy.execute("SELECT count(*) FROM utterances").fetchone() == (3,)
    assert (state / BACKUP / "audio" / "0.flac").read_bytes().startswith(b"fLaC")
    assert [expire_backup(state, SECONDS_A_DAY * day) for day in (1, 2, 7.9)] == [False] * 3
    assert expire_backup(state, SECONDS_A_DAY * 8.1)
    assert not (state / BACKUP).exists()


@pytest.mark.parametrize("seed", range(3))
def test_after_power_cuts_in_the_middle_it_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    settings = earlier(folder)
    before = seen(settings)
    dice = random.Random(seed)
    for _ in range(8):
        with power_for(dice.randrange(30), monkeypatch):
            take_over(settings, open_state(settings))
    take_over(settings, open_state(settings))
    assert readable(folder) == []
    assert seen(settings) == before
    ring = open_state(settings).ring
    assert {key_id_of(path) for path in encrypted_files(settings)} == {ring.current.id}
    with closing(Store(settings.state_dir)) as store:
        assert adopt_orphans(store, 0.0) == 0


def test_a_daemon_does_so_says_so_and_serves(start: Start, folder: Path) -> None:
    earlier(folder)
    daemon = start()
    status = daemon.status()
    assert "a copy that is not stays in" in str(status["problems"])
    assert status["generation"] == 1
    assert readable(folder) == []
    assert (folder / "state" / BACKUP).is_dir()
    daemon.do("forget", word="light")
    assert not (folder / "state" / BACKUP).exists(), "it is in the copy, too"


def test_without_room_nothing_is_touched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = earlier(folder)
    before = {path: path.read_bytes() for path in settings.state_dir.rglob("*.flac")}
    with monkeypatch.context() as patched:
        patched.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
        with pytest.raises(AttuneError, match=r"needs .* MB of disk .* free some"):
            take_over(settings, open_state(settings))
    assert {path: path.read_bytes() for path in settings.state_dir.rglob("*.flac")} == before
    assert take_over(settings, open_state(settings))


def test_what_is_put_there_afterwards_is_not_taken_over(folder: Path) -> None:
    settings = make_settings(folder)
    take_over(settings, open_state(settings))
    foreign = settings.state_dir / "audio" / "a.flac"
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_bytes(b"fLaC" * 100)
    assert take_over(settings, open_state(settings)) == ""
    assert foreign.read_bytes() == b"fLaC" * 100
    with closing(Store(settings.state_dir)) as store:
        assert adopt_orphans(store, 0.0) == 0
