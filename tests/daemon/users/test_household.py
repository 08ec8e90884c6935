"""Several users of one daemon: each is served by their own generation, chosen by hand or by voice.
Tones are voices here."""

import json
from pathlib import Path

import numpy as np
import pytest

from daemon.config.installation_key import open_state
from daemon.control.server import Message
from daemon.privacy.export import export_archive, export_plain
from daemon.privacy.importing import import_archive
from daemon.privacy.scope import Scope
from daemon.privacy.take_over import take_over
from daemon.store.records import Round
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.generations.card import Card
from engines.generations.folder import read_generation, write_generation
from engines.generations.pointers import usable
from engines.types import Float32
from engines.voiceprint.cohort import of_length_1, read_cohort
from tests.support.fakes import pitch_of, tone, write_base
from tests.support.running_daemon import Daemon, Start, folder, make_settings, start

__all__ = ["folder", "start"]

ANN_HZ, BEN_HZ, GUEST_HZ = 300, 500, 900


def print_of(samples: Float32) -> Float32 | None:
    """A voiceprint that depends on the hundred of the pitch: a voice of the cohort's."""
    hundred = pitch_of(samples) // 100
    rng = np.random.default_rng(int(pitch_of(samples)))
    centre = np.roll(read_cohort().centres[hundred, 0], 17 * hundred)
    return of_length_1((centre + rng.normal(0, 0.005, centre.shape)).astype(np.float32))


@pytest.fixture
def house(start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """Ann and Ben, both enrolled and known by their voices; Ann is served."""
    monkeypatch.setattr("daemon.users.recognition.with_noise", lambda samples, noise: samples)
    write_base(folder / "state" / "generations")
    daemon = start(open_voiceprints=lambda: print_of)
    daemon.do("users", action="rename", name="first user", to="Ann")
    enrol(daemon, folder, ANN_HZ)
    daemon.do("users", action="add", name="Ben")
    daemon.do("users", action="serve", name="Ben")
    enrol(daemon, folder, BEN_HZ)
    daemon.do("users", action="serve", name="Ann")
    daemon.app.parts.recognition.tell()
    return daemon


def enrol(daemon: Daemon, folder: Path, pitch_hz: int) -> Message:
    rows = []
    for number in range(6):
        write_flac(folder / f"{pitch_hz}-{number}.flac", tone(1.5, pitch_hz + 10 * number))
        rows.append({"audio": f"{pitch_hz}-{number}.flac", "text": f"sentence {number}"})
    manifest = folder / f"{pitch_hz}.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return daemon.enroll(manifest)[-1]


def users(daemon: Daemon) -> dict[str, Message]:
    [listed] = daemon.do("users")
    return {user["name"]: user for user in listed["users"]}


def served(daemon: Daemon) -> str:
    return next(name for name, user in users(daemon).items() if user["served"])


def say(daemon: Daemon, folder: Path, pitch_hz: int) -> list[Message]:
    write_flac(folder / "said.flac", tone(1.5, pitch_hz))
    return daemon.do("ask", audio=folder / "said.flac")


def test_they_are_listed_with_what_is_known_of_them(house: Daemon, folder: Path) -> None:
    found = users(house)
    assert list(found) == ["Ann", "Ben"]
    assert [user["enrolled"] for user in found.values()] == [6, 6]
    assert enrol(house, folder, ANN_HZ)["user"] == "Ann"
    assert all(user["known_by_voice"] for user in found.values())
    assert house.status()["user"] == "Ann"


def test_the_voice_chooses_who_is_served_and_a_guest_changes_nothing(
    house: Daemon, folder: Path
) -> None:
    say(house, folder, BEN_HZ + 55)
    assert served(house) == "Ben"
    say(house, folder, GUEST_HZ)
    assert served(house) == "Ben"
    say(house, folder, ANN_HZ + 55)
    assert served(house) == "Ann"
    house.do("ask", text="hello")
    assert served(house) == "Ann"
    house.app.parts.recognition.tell()
    [listed] = house.do("users")
    assert [user["by_voice"] for user in listed["users"]] == [1, 1]
    assert listed["strangers"] == 1
    kept = house.do("kept")[0]["utterances"]
    assert {one.get("user") for one in kept[:3]} == {"Ann", "Ben", "another voice"}


def test_the_one_who_is_named_is_served_from_the_next_turn_on(house: Daemon) -> None:
    [*_, turn] = house.do("ask", text="This is Ben.")
    assert turn["reply"] == "Hello Ben."
    assert served(house) == "Ben"
    [*_, turn] = house.do("ask", text="Who am I?")
    assert turn["reply"] == "I take you for Ben."
    [*_, turn] = house.do("ask", text="This is nice.")
    assert served(house) == "Ben"


def test_by_hand_alone_where_the_settings_want_it(
    start: Start, folder: Path, house: Daemon
) -> None:
    house.app.__exit__()
    other = start(open_voiceprints=lambda: print_of, users__by_voice=False)
    other.app.parts.recognition.tell()
    say(other, folder, BEN_HZ + 55)
    assert served(other) == "Ann"
    other.do("users", action="serve", name="Ben")
    assert served(other) == "Ben"


def generation(house: Daemon, number: int, user: int, *requests: str) -> None:
    card = Card(
        number=number,
        parent=0,
        user=user,
        created_at="",
        recipe="t",
        learnt_from=(),
        requests=requests,
    )
    weights = house.settings.state_dir.parent / "weights"
    weights.write_bytes(b"weights")
    files = {"projector.onnx": weights, "projector.safetensors": weights}
    write_generation(house.settings.generations, number, card, files)


def test_each_has_generations_of_their_own(house: Daemon, folder: Path) -> None:
    generation(house, 1, 1)
    generation(house, 2, 2)
    house.do("generations", action="promote", number=1)
    with pytest.raises(AttuneError, match="has learnt the voice of another user"):
        house.do("generations", action="promote", number=2)
    house.do("users", action="serve", name="Ben")
    assert house.status()["generation"] == 0
    house.do("generations", action="promote", number=2)
    assert house.status()["generation"] == 2
    say(house, folder, ANN_HZ + 55)
    assert house.status()["generation"] == 1
    assert [user["generation"] for user in users(house).values()] == [1, 2]
    house.app.__exit__()
    assert usable(house.settings.generations)[0].number == 1  # type: ignore[union-attr]


def test_a_round_learns_the_voice_of_one_of_them_and_serves_them(
    house: Daemon, folder: Path
) -> None:
    house.do("users", action="serve", name="Ben")
    assert house.do("adapt")[-1]["outcome"] == "promoted"
    found = users(house)
    learnt = [found[name]["generation"] for name in ("Ann", "Ben")]
    assert sorted(learnt) == [0, 1]
    assert house.do("adapt")[-1]["outcome"] == "promoted", "the other's voice is new still"
    assert sorted(user["generation"] for user in users(house).values()) == [1, 2]


def test_they_are_the_same_elsewhere(house: Daemon, start: Start, folder: Path) -> None:
    generation(house, 1, 2)
    house.do("users", action="serve", name="Ben")
    house.do("generations", action="promote", number=1)
    before = house.do("users")
    path = folder / "export.attune"
    export_archive(house.settings, [], path, "correct horse battery staple")
    house.app.__exit__()
    other = make_settings(folder, state_dir=folder / "o" / "state")
    take_over(other, open_state(other))
    with path.open("rb") as source:
        import_archive(other, source, "the archive", "correct horse battery staple")
    assert (other.state_dir / "users/2/current").readlink() == Path("generations/0001")
    write_base(other.generations)
    again = start(agreed=False, state_dir=other.state_dir, open_voiceprints=lambda: print_of)
    again.app.parts.recognition.tell()
    assert again.do("users") == before
    say(again, folder, ANN_HZ + 55)
    assert again.status()["generation"] == 0


def test_a_plain_export_keeps_them_apart(house: Daemon, folder: Path) -> None:
    say(house, folder, GUEST_HZ)
    house.app.parts.recognition.tell()
    export_plain(house.settings, folder / "plain")
    lines = (folder / "plain" / "details.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    found = {(row["audio"].split("/")[0], row["user"]) for row in rows}
    assert found == {("1", "Ann"), ("2", "Ben"), ("0", "")}


def test_one_who_is_killed_while_others_are_forgotten_is_forgotten_at_the_next_start(
    house: Daemon, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation(house, 1, 2)
    house.do("users", action="serve", name="Ben")
    house.do("generations", action="promote", number=1)

    def killed(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("daemon.privacy.forgetting._clear", killed)
        with pytest.raises(KeyboardInterrupt):
            house.app.parts.forgetting.forget(Scope(user=2))
    house.app.__exit__()
    again = start(open_voiceprints=lambda: print_of)
    assert list(users(again)) == ["Ann"]
    assert again.status()["generation"] == 0
    assert not list((folder / "state" / "users").glob("*"))
    assert not (again.settings.generations / "0001").exists()


def test_one_is_forgotten_with_all_that_was_learnt(house: Daemon, folder: Path) -> None:
    generation(house, 1, 2)
    house.do("users", action="serve", name="Ben")
    house.do("generations", action="promote", number=1)
    say(house, folder, BEN_HZ + 55)
    forgotten = house.do("forget", user="Ben")[-1]
    assert (forgotten["utterances"], forgotten["withdrawn"]) == (7, [1])
    assert list(users(house)) == ["Ann"]
    assert served(house) == "Ann"
    assert house.status()["generation"] == 0
    assert not list((folder / "state" / "users").glob("*"))
    assert not (house.settings.generations / "0001").exists()
    with pytest.raises(AttuneError, match="there is no user Ben"):
        house.do("forget", user="Ben")


def test_everything_forgotten_leaves_one_user_without_a_name(house: Daemon) -> None:
    house.do("forget", everything=True)
    assert list(users(house)) == ["first user"]


def test_the_first_user_is_forgotten_and_keeps_no_name(house: Daemon) -> None:
    with pytest.raises(AttuneError, match="what a user without a name is called"):
        house.do("users", action="rename", name="Ben", to="First User")
    house.do("forget", user="Ann")
    assert list(users(house)) == ["first user", "Ben"]
    assert [user["enrolled"] for user in users(house).values()] == [0, 6]


def test_what_was_typed_goes_with_who_was_served(house: Daemon) -> None:
    house.do("ask", text="hello from Ann")
    house.do("users", action="serve", name="Ben")
    house.do("ask", text="hello from Ben")
    house.do("forget", user="Ben")
    assert [turn["heard"] for turn in house.status()["last_turns"]] == ["hello from Ann"]


def test_what_nothing_has_looked_at_is_forgotten_too(house: Daemon, folder: Path) -> None:
    say(house, folder, GUEST_HZ)  # not told yet
    assert house.do("forget", strangers=True)[-1]["utterances"] == 1


def test_one_says_what_others_say_and_only_theirs_is_forgotten(house: Daemon) -> None:
    generation(house, 1, 1, "sentence 1")
    house.do("generations", action="promote", number=1)
    house.do("forget", user="Ben")
    assert house.status()["generation"] == 1


def test_a_user_who_is_added_has_learnt_nothing(house: Daemon, folder: Path) -> None:
    """Also where a database was lost, and the pointers were not."""
    generation(house, 1, 3)
    pointers = folder / "state" / "users" / "3"
    pointers.mkdir(parents=True)
    (pointers / "current").symlink_to("generations/0001")
    house.do("users", action="add", name="Cid")
    assert users(house)["Cid"]["generation"] == 0


def test_corrections_of_one_say_nothing_of_another(house: Daemon, folder: Path) -> None:
    history = house.app.parts.store.history
    say(house, folder, ANN_HZ + 55)
    say(house, folder, BEN_HZ + 55)
    house.do("correct", text="something else")
    house.app.parts.recognition.tell()
    counted = [[(use.turns, use.corrected) for use in history.use(9, user)] for user in (1, 2)]
    assert counted == [[(0, 0), (1, 0)], [(0, 0), (1, 1)]]


def test_a_shadow_waits_while_somebody_else_is_served(house: Daemon) -> None:
    generation(house, 1, 1)
    parts = house.app.parts
    parts.models.moves_of(1).put_in_shadow(read_generation(house.settings.generations / "0001"))
    parts.store.history.add_round(Round(0.0, 1.0, 1, "shadowed", "", 0))
    house.do("users", action="serve", name="Ben")
    parts.shadow.step()
    outcomes = parts.store.rows("SELECT outcome FROM rounds WHERE generation = 1")
    assert outcomes == [("shadowed",)]
    assert house.status()["shadow"] is None
    house.do("users", action="serve", name="Ann")
    assert house.status()["shadow"]["generation"] == 1
    assert parts.inputs.snapshot().in_shadow is None, "Ben may learn meanwhile"
    assert parts.inputs.user == 2


def test_the_same_recordings_are_whose_who_enrolled_them_last(house: Daemon, folder: Path) -> None:
    house.do("users", action="serve", name="Ben")
    enrol(house, folder, ANN_HZ)
    assert [user["enrolled"] for user in users(house).values()] == [0, 12]


def test_others_are_forgotten_alone(house: Daemon, folder: Path) -> None:
    say(house, folder, GUEST_HZ)
    house.app.parts.recognition.tell()
    assert house.do("forget", strangers=True)[-1]["utterances"] == 1
    assert [user["enrolled"] for user in users(house).values()] == [6, 6]


def test_two_become_one(house: Daemon) -> None:
    with pytest.raises(AttuneError, match="is the first user, who stays"):
        house.do("users", action="merge", name="Ann", to="Ben")
    house.do("users", action="serve", name="Ben")
    house.do("ask", text="hello")
    [moved] = house.do("users", action="merge", name="Ben", to="Ann")
    assert (moved["name"], moved["count"]) == ("Ann", 6)
    assert users(house)["Ann"]["enrolled"] == 12
    assert house.app.parts.store.rows("SELECT DISTINCT served FROM turns") == [(1,)]
    assert served(house) == "Ann"
