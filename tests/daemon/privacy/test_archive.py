"""An export, taken up elsewhere: the same data and the same answers. What was tampered with is
refused, with nothing written."""

import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pyrage
import pytest

from daemon.config.installation_key import open_state
from daemon.config.settings import Settings
from daemon.privacy.archive import ArchiveError
from daemon.privacy.export import export_archive, export_plain
from daemon.privacy.importing import finish_import, import_archive, refuse_used
from daemon.privacy.take_over import take_over
from daemon.store.store import Store
from engines.audio.recordings import read_audio
from engines.encryption.folders import ring_of
from engines.errors import AttuneError
from engines.files import one_at_a_time
from engines.generations.folder import withdrawn
from tests.daemon.privacy.test_encryption import SECRET, lived_in, readable_in
from tests.support.running_daemon import Daemon, Start, folder, make_settings, start

__all__ = ["folder", "start"]

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def exported(start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Daemon, Path]:
    """A daemon that was lived with, and its export."""
    # Each time that a passphrase is tried takes a second or two, as it should.
    monkeypatch.setattr("pyrage.passphrase.decrypt", cache(pyrage.passphrase.decrypt))
    daemon = lived_in(start, folder)
    path = folder / "export.attune"
    export_archive(daemon.settings, [], path, PASSPHRASE)
    return daemon, path


@pytest.fixture
def archive(
    start: Start,
    folder: Path,
    shared_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Such an export, made once."""
    monkeypatch.setattr("pyrage.passphrase.decrypt", cache(pyrage.passphrase.decrypt))
    path = shared_folder / "export.attune"
    with one_at_a_time(shared_folder / "export.lock"):
        if not path.exists():
            made = lived_in(start, folder)
            export_archive(made.settings, [], path, PASSPHRASE)
            made.app.__exit__()
    return path


def elsewhere(folder: Path) -> Settings:
    return make_settings(
        folder, state_dir=folder / "other" / "state", control__socket=folder / "other.sock"
    )


def taken_up(settings: Settings, content: bytes, passphrase: str = PASSPHRASE) -> None:
    take_over(settings, open_state(settings))
    import_archive(settings, io.BytesIO(content), "the archive", passphrase)


def known(daemon: Daemon) -> dict[str, object]:
    """What a daemon knows and answers."""
    status = daemon.status()
    told = ("generation", "route", "counts", "last_turns", "problems", "vocabulary")
    return {
        **{name: status.get(name) for name in told},
        "kept": daemon.do("kept", most=100),
        "why": daemon.do("why"),
        "phrases": daemon.do("vocabulary"),
        "generations": [daemon.do("kept", word="number 7")[0]],
    }


def test_it_is_the_same_elsewhere(
    exported: tuple[Daemon, Path], start: Start, folder: Path
) -> None:
    daemon, path = exported
    before = known(daemon)
    said = folder / "said.flac"
    heard = daemon.do("ask", audio=said)[-1]["heard"]
    daemon.app.__exit__()
    assert path.stat().st_mode & 0o777 == 0o600
    patterns = [b"fLaC", SECRET.encode(), b"number 7", b"SQLite", b"learnt_from"]
    assert not any(pattern in path.read_bytes() for pattern in patterns)
    settings = elsewhere(folder)
    taken_up(settings, path.read_bytes())
    again = start(
        agreed=False, state_dir=settings.state_dir, control__socket=settings.control.socket
    )
    assert known(again) == before
    assert again.do("ask", audio=said)[-1]["heard"] == heard
    assert readable_in(settings.state_dir, *patterns) == []
    ring, old = (ring_of(one / "audio") for one in (settings.state_dir, folder / "state"))
    assert ring is not None
    assert old is not None
    assert ring.current != old.current
    assert again.do("adapt")[-1]["outcome"] == "promoted"
    with pytest.raises(AttuneError, match=r"holds 2\d utterances, .* already; import into another"):
        import_archive(settings, io.BytesIO(path.read_bytes()), "the archive", PASSPHRASE)


def test_it_opens_with_age_and_tar_alone(archive: Path) -> None:
    content = archive.read_bytes()
    first, length, rest = content.split(b"\n", 2)
    assert first == b"attune export 1"
    identity = pyrage.x25519.Identity.from_str(
        pyrage.passphrase.decrypt(rest[: int(length)], PASSPHRASE).decode()
    )
    plain = pyrage.decrypt(rest[int(length) :], [identity])
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        names = tar.getnames()
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        listed = json.loads(manifest.read())["files"]
        assert ["manifest.json", *(one["name"] for one in listed)] == names
        for one in listed:
            file = tar.extractfile(one["name"])
            assert file is not None
            assert hashlib.sha256(file.read()).hexdigest() == one["sha256"]
    assert {name.split("/")[0] for name in names} >= {"audio", "generations", "database.db"}
    assert not any(name.startswith("generations/0000") for name in names)


def test_a_flipped_bit_anywhere_is_refused_and_nothing_is_written(
    archive: Path, folder: Path
) -> None:
    content = archive.read_bytes()
    settings = elsewhere(folder)
    take_over(settings, open_state(settings))
    before = sorted(settings.state_dir.rglob("*"))
    dice = random.Random(1)
    places = [*range(0, 23, 2), *(dice.randrange(24, len(content)) for _ in range(24))]
    places += [len(content) - 1, 30, 200]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << dice.randrange(8)
        with pytest.raises(ArchiveError):
            import_archive(settings, io.BytesIO(damaged), "the archive", PASSPHRASE)
        assert sorted(settings.state_dir.rglob("*")) == before
    for wrong in (content[:-1], content[:1000], b"", content + b"x", b"PK\3\4" + content):
        with pytest.raises(ArchiveError):
            import_archive(settings, io.BytesIO(wrong), "the archive", PASSPHRASE)
        assert sorted(settings.state_dir.rglob("*")) == before
    with pytest.raises(ArchiveError, match="the passphrase is wrong, or the file is damaged"):
        import_archive(settings, io.BytesIO(content), "the archive", PASSPHRASE + "r")


Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]


def forged(path: Path, change: Change) -> bytes:
    """The archive with other files in it, encrypted by somebody who knows the passphrase."""
    _, length, rest = path.read_bytes().split(b"\n", 2)
    locked, content = rest[: int(length)], rest[int(length) :]
    identity = pyrage.x25519.Identity.from_str(
        pyrage.passphrase.decrypt(locked, PASSPHRASE).decode()
    )
    members = []
    with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt(content, [identity]))) as tar:
        for about in tar:
            file = tar.extractfile(about)
            members.append((about, b"" if file is None else file.read()))
    change(members)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for about, data in members:
            about.size = len(data) if about.isreg() else 0
            tar.addfile(about, io.BytesIO(data))
    again = pyrage.encrypt(target.getvalue(), [identity.to_public()])
    return b"".join([b"attune export 1\n", length, b"\n", locked, bytes(again)])


def listing(members: list[tuple[tarfile.TarInfo, bytes]], **more: object) -> None:
    """List the members in the manifest, as they are, with other values."""
    about, content = members[0]
    manifest = json.loads(content) | more
    manifest["files"] = [
        {
            "name": one.name,
            "size_bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for one, data in members[1:]
    ]
    members[0] = about, json.dumps(manifest).encode()


def renamed(name: str) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[2][0].name = name
        listing(members)

    return change


def linked(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    about = members[2][0]
    about.type, about.linkname = tarfile.SYMTYPE, "/etc/passwd"


def unlisted(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.append((tarfile.TarInfo("audio/" + 32 * "0" + ".flac"), b"x"))


def promised(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    about, content = members[0]
    manifest = json.loads(content)
    manifest["files"][0]["size_bytes"] = 10**18
    members[0] = about, json.dumps(manifest).encode()


def swapped(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[1] = members[1][0], b"no database" * 1000
    listing(members)


def damaged(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    place = next(i for i, (one, _) in enumerate(members) if one.name.endswith("projector.onnx"))
    members[place] = members[place][0], b"other weights"
    listing(members)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (renamed("../../.ssh/authorized_keys"), "'../../.ssh/authorized_keys' is no name"),
        (renamed("/etc/cron.d/x"), "'/etc/cron.d/x' is no name"),
        (renamed("audio/../../x.flac"), "is no name for a file"),
        (renamed("generations/0000/projector.onnx"), "is no name for a file"),
        (renamed("generations/0001/../../current"), "is no name for a file"),
        (renamed("keys.json"), "is no name for a file"),
        (renamed("attune.key"), "is no name for a file"),
        (linked, "is no plain file"),
        (unlisted, "is not in its manifest"),
        (promised, "has 1000000000000000000 bytes"),
        (swapped, "its database cannot be opened"),
        (damaged, "is not what was written"),
        (lambda members: listing(members, pointers={"current": 7}), "it has no generation 7"),
        (lambda members: listing(members, pointers={"../x": 1}), "there is no pointer"),
        (lambda members: listing(members, pointers={"users/../current": 1}), "is no pointer"),
        (lambda members: listing(members, pointers={"users/2/generations": 1}), "is no pointer"),
        (lambda members: listing(members, invented=1), "may be of a newer Attune"),
        (lambda members: members.__delitem__(slice(3, None)), "damaged, cut off"),
        (lambda members: members.reverse(), "does not begin with its manifest"),
    ],
)
def test_what_no_archive_holds_is_refused(
    archive: Path, folder: Path, change: Change, told: str
) -> None:
    settings = elsewhere(folder)
    take_over(settings, open_state(settings))
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    with pytest.raises(ArchiveError, match=f"the archive is refused: .*{told}"):
        import_archive(settings, io.BytesIO(forged(archive, change)), "the archive", PASSPHRASE)
    after = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    assert after.keys() == before.keys()
    assert {p for p in after if after[p] != before[p] and "other" in p.parts} == set()


class Killed(BaseException):
    """The process is gone."""


def steps_of_moving(
    settings: Settings, archive: Path, patched: pytest.MonkeyPatch, most: int
) -> int:
    """Import, and kill it before the step number `most` that changes what is there, counted from
    the moment that all is ready. Returns how many steps were done."""
    done, ready = [0], [False]

    def counted(name: str) -> None:
        real = getattr(os, name)

        def step(*arguments: Any, **more: Any) -> Any:
            if ready[0]:
                if done[0] >= most:
                    raise Killed
                done[0] += 1
            found = real(*arguments, **more)
            ready[0] = ready[0] or str(arguments[-1]).endswith(".import-ready")
            return found

        patched.setattr(f"os.{name}", step)

    for name in ("rename", "replace", "unlink", "rmdir", "symlink"):
        counted(name)
    with suppress(Killed):
        import_archive(settings, io.BytesIO(archive.read_bytes()), "it", PASSPHRASE)
    return done[0]


def test_an_import_that_is_killed_while_it_moves_is_finished_at_the_next_start(
    archive: Path, folder: Path
) -> None:
    def settings_of(number: int) -> Settings:
        settings = make_settings(folder, state_dir=folder / f"s{number}" / "state")
        take_over(settings, open_state(settings))
        return settings

    with pytest.MonkeyPatch.context() as patched:
        every = steps_of_moving(settings_of(10_000), archive, patched, 10_000)
    assert every > 25
    for steps in range(0, every, 2):
        settings = settings_of(steps)
        with pytest.MonkeyPatch.context() as patched:
            assert steps_of_moving(settings, archive, patched, steps) == steps
        finish_import(settings.state_dir)  # as at the next start
        finish_import(settings.state_dir)
        assert len(list((settings.state_dir / "audio").glob("*.flac"))) == 21, steps
        assert (settings.state_dir / "current").readlink().name == "0001"
        with closing(Store(settings.state_dir)) as store:
            assert store.counts().utterances == 21, steps
        assert not list(settings.state_dir.glob(".*port*"))


@pytest.mark.parametrize("steps", [0, 3, 30])
def test_one_that_is_killed_before_is_as_if_it_had_not_begun(
    archive: Path, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    settings = elsewhere(folder)
    take_over(settings, open_state(settings))
    left = [steps]

    def cut(*_: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("engines.files.os.fsync", cut)
        with suppress(Killed):
            import_archive(settings, io.BytesIO(archive.read_bytes()), "it", PASSPHRASE)
    (settings.state_dir / ".export-killed").mkdir()
    again = start(
        agreed=False, state_dir=settings.state_dir, control__socket=settings.control.socket
    )
    assert again.status()["counts"]["utterances"] == 0
    assert not list(settings.state_dir.glob(".*port*"))


def test_what_this_installation_proves_stays(archive: Path, folder: Path) -> None:
    settings = elsewhere(folder)
    take_over(settings, open_state(settings))
    state = settings.state_dir
    (state / "receipts").mkdir()
    (state / "generations").mkdir()
    (state / "receipts" / "0001.json").write_text("mine")
    (state / "receipts.key").write_bytes(b"my own key")
    (state / "generations" / "withdrawn").write_text("0007 abc\n")

    def given(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members.append((tarfile.TarInfo("receipts/0001.json"), b"theirs"))
        members.append((tarfile.TarInfo("generations/withdrawn"), b"0008 def\n"))
        listing(members)

    taken_up(settings, forged(archive, given))
    assert (state / "receipts" / "0001.json").read_text() == "mine"
    assert (state / "receipts" / "imported-0001.json").read_text() == "theirs"
    assert (state / "receipts.key").read_bytes() == b"my own key"
    assert withdrawn(settings.generations) == {7: "abc", 8: "def"}


def test_what_an_earlier_release_stored_and_the_folder_of_others_are_left_alone(
    archive: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = elsewhere(folder)
    with closing(Store(settings.state_dir)):
        pass  # plain, as an earlier release leaves it
    with pytest.raises(AttuneError, match="what an earlier release stored"):
        refuse_used(settings.state_dir)
    assert not (settings.state_dir / "before-encryption").exists()
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(AttuneError, match="belongs to another account"):
        refuse_used(settings.state_dir)


def test_a_plain_export_is_enrolled_again(
    exported: tuple[Daemon, Path], start: Start, folder: Path
) -> None:
    daemon, _ = exported
    done = export_plain(daemon.settings, folder / "plain")
    assert done.files == 21
    lines = (folder / "plain" / "details.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["origin"] for row in rows} == {"enrolled", "corrected"}
    for row in rows:
        assert len(read_audio(folder / "plain" / row["audio"])) == round(16000 * row["seconds"])
    texts = (folder / "plain" / "1" / "1" / "1-1.trans.txt").read_text().splitlines()
    assert texts[7] == "1-1-0007 NUMBER 7"
    assert (folder / "plain" / "1" / "1" / "1-1-0007.flac").is_file()
    daemon.app.__exit__()
    again = start(state_dir=folder / "fresh" / "state", control__socket=folder / "f.sock")
    assert again.enroll(folder / "plain" / "manifest.jsonl")[-1]["enrolled"] == 21
    with pytest.raises(AttuneError, match="exists; give the name of a new one"):
        export_plain(daemon.settings, folder / "plain")


def test_what_is_damaged_is_left_out_and_the_rest_is_taken_along(
    exported: tuple[Daemon, Path], folder: Path
) -> None:
    daemon, _ = exported
    state = folder / "state"
    damaged = next(iter((state / "audio").glob("*.flac")))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (state / "audio" / "holiday.flac").write_bytes(b"fLaC")
    (state / "generations" / "0001" / ".partial-9-projector.onnx").write_bytes(b"half")
    export_archive(daemon.settings, [], folder / "rest", PASSPHRASE)
    settings = elsewhere(folder)
    taken_up(settings, (folder / "rest").read_bytes())
    assert len(list((settings.state_dir / "audio").glob("*.flac"))) == 20
    assert export_plain(daemon.settings, folder / "plain").files == 20
    (state / "generations" / "0001" / "projector.onnx").unlink()
    export_archive(daemon.settings, [], folder / "less", PASSPHRASE)
    other = make_settings(folder, state_dir=folder / "third" / "state")
    taken_up(other, (folder / "less").read_bytes())
    assert not (other.generations / "0001").exists()
    assert not list(folder.glob(".*"))


def test_where_nothing_is_stored_there_is_nothing_to_export(folder: Path) -> None:
    with pytest.raises(AttuneError, match="there is nothing to export"):
        export_archive(make_settings(folder), [], folder / "x", PASSPHRASE)
    with pytest.raises(AttuneError, match="there is nothing to export"):
        export_plain(make_settings(folder), folder / "x")
