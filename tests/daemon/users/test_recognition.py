"""Whose voice was heard decides what is learnt. Real voiceprints of computer-made voices."""

from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from calibration.bench.speakers import SECOND_VOICE
from calibration.corpus.demo_speakers import ATYPICAL_VOICE
from calibration.corpus.judged_requests import ENROLLED
from calibration.corpus.synthesis import Voice, speak
from daemon.attention import Attention
from daemon.clocks import REAL_TIME
from daemon.store.records import FIRST_USER
from daemon.store.store import Store
from daemon.training.round_examples import round_examples
from daemon.training.selection import bounds_of
from daemon.users.moving import assign, merge, split
from daemon.users.recognition import VoiceRecognition
from daemon.users.users import Users
from engines.errors import AttuneError
from engines.jobs.messages import Example, Origin
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.voiceprint.attribution import Heard
from tests.support.simulated_time import Time

GUEST = Voice("flite", "slt")
TEXTS = [
    text
    for room in ENROLLED.rooms
    for text in (f"Turn on the light in the {room}.", f"It is too warm in the {room}, I think.")
]


@cache
def said(text: str, voice: Voice) -> Float32:
    return speak(text, voice)


class House:
    def __init__(self, folder: Path, time: Time | None = None) -> None:
        self.store = Store(folder, time.clocks if time is not None else REAL_TIME)
        self.users = Users(self.store)
        self.recognition = VoiceRecognition(self.store, self.users, Attention())

    def hear(
        self,
        texts: list[str],
        voice: Voice,
        origin: Origin | None = None,
        served: int = FIRST_USER,
    ) -> list[str]:
        """Store what a voice says, with a label of that origin."""
        ids = []
        for text in texts:
            stored = self.store.add_utterance(said(text, voice), "microphone", served=served)
            if origin is not None:
                self.store.add_label(stored.id, text, origin, 0.99)
            ids.append(stored.id)
        return ids

    def whose(self, utterances: list[str]) -> list[tuple[int | None, str | None]]:
        known = self.store.users_of(utterances)
        return [known[name] for name in utterances]

    def learnt(self, user: int = FIRST_USER) -> list[Example]:
        return round_examples(self.store, bounds_of(180.0), 0.85, user)[0]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    with closing(made.store):
        yield made


def test_only_the_voice_that_was_enrolled_is_learnt(house: House) -> None:
    enrolled = house.hear(TEXTS[:5], ATYPICAL_VOICE, "enrolled")
    own = house.hear(TEXTS[5:9], ATYPICAL_VOICE, "recognised")
    guest = house.hear(TEXTS[:4], GUEST, "recognised")
    corrected = house.hear(TEXTS[4:6], GUEST, "corrected")
    assert house.store.counts(0.85).new_labels == len(enrolled)
    house.recognition.tell()
    assert house.whose(own) == [(FIRST_USER, "voice")] * len(own)
    assert house.whose(guest + corrected) == [(None, "voice")] * 6
    assert {example.id for example in house.learnt()} == {*enrolled, *own}
    assert house.store.counts(0.85).new_labels == len(enrolled + own)
    assert house.recognition.tell() == 0


def test_a_hundred_utterances_of_another_leave_what_is_learnt_as_it_is(house: House) -> None:
    house.hear(TEXTS[:6], ATYPICAL_VOICE, "enrolled")
    house.hear(TEXTS[6:10], ATYPICAL_VOICE, "recognised")
    house.recognition.tell()
    before = house.learnt()
    for number in range(100):
        origin: Origin = "corrected" if number % 3 == 0 else "recognised"
        house.hear([f"{TEXTS[number % len(TEXTS)]} {number}"], GUEST, origin)
    house.recognition.tell()
    assert house.learnt() == before
    assert house.store.counts(0.85).new_labels == len(before)
    assert house.store.missing_labels() == []


def test_nothing_recognised_is_learnt_before_a_voice_is_known(house: House) -> None:
    recognised = house.hear(TEXTS[:2], ATYPICAL_VOICE, "recognised")
    corrected = house.hear(TEXTS[2:4], ATYPICAL_VOICE, "corrected")
    house.recognition.tell()
    assert house.whose(recognised) == [(None, "unclear")] * 2
    assert {example.id for example in house.learnt()} == set(corrected), "the user said so"
    # Without enrolment, the user's corrections make the voice known.
    more = house.hear(TEXTS[4:6], ATYPICAL_VOICE, "corrected")
    house.recognition.tell()
    assert house.whose(recognised) == [(FIRST_USER, "voice")] * 2
    assert {example.id for example in house.learnt()} == {*recognised, *corrected, *more}


def test_what_is_enrolled_later_tells_what_was_said_before(house: House) -> None:
    own = house.hear(TEXTS[:3], ATYPICAL_VOICE)
    guest = house.hear(TEXTS[:3], GUEST)
    house.recognition.tell()
    assert house.whose(own + guest) == [(None, "unclear")] * 6
    house.hear(TEXTS[5:9], ATYPICAL_VOICE, "enrolled")
    house.recognition.tell()
    assert house.whose(own + guest) == [(FIRST_USER, "voice")] * 3 + [(None, "voice")] * 3


def test_what_is_too_short_to_tell_counts_if_the_user_corrected_it(house: House) -> None:
    house.hear(TEXTS[:5], ATYPICAL_VOICE, "enrolled")
    short = house.store.add_utterance(said(TEXTS[0], GUEST)[: SAMPLE_RATE_HZ // 2], "microphone").id
    house.recognition.tell()
    assert house.whose([short]) == [(None, "unclear")]
    house.store.add_label(short, "turn", "corrected")
    assert short in {example.id for example in house.learnt()}


def test_a_household_is_told_apart(house: House) -> None:
    ann, ben = house.users.served, house.users.add("Ben")
    house.hear(TEXTS[:5], ATYPICAL_VOICE, "enrolled")
    house.hear(TEXTS[:5], SECOND_VOICE, "enrolled", ben.id)
    anns = house.hear(TEXTS[5:8], ATYPICAL_VOICE, "recognised", ben.id)
    bens = house.hear(TEXTS[5:8], SECOND_VOICE, "recognised")
    house.recognition.tell()
    assert house.whose(anns + bens) == [(ann.id, "voice")] * 3 + [(ben.id, "voice")] * 3
    for user, voice in ((ann.id, ATYPICAL_VOICE), (ben.id, SECOND_VOICE)):
        assert house.recognition.whose(said(TEXTS[9], voice)).user == user
    for user, ids in ((ann.id, anns), (ben.id, bens)):
        assert set(ids) < {example.id for example in house.learnt(user)}
        assert len(house.learnt(user)) == 8
        assert (
            house.recognition.whose(said(TEXTS[9], (ATYPICAL_VOICE, SECOND_VOICE)[user - 1])).user
            == user
        )
    assert house.recognition.whose(said(TEXTS[9], GUEST)).user is None


def test_two_users_become_one_and_one_becomes_two(house: House) -> None:
    ann = house.users.served
    mixed = house.hear(TEXTS[:5], ATYPICAL_VOICE, "enrolled")
    others = house.hear(TEXTS[:5], SECOND_VOICE, "enrolled")
    house.recognition.tell()
    with pytest.raises(AttuneError, match="is no recording that"):
        split(house.store, ann, ["0" * 32], lambda: house.users.add("Ben").id)
    assert len(house.users.all) == 1
    assert split(house.store, ann, others[:1], lambda: house.users.add("Ben").id) == len(others)
    ben = house.users.named("ben")
    assert house.whose(mixed + others) == [(ann.id, "enrolled")] * 5 + [(ben.id, "hand")] * 5
    with pytest.raises(AttuneError, match="would be left"):
        split(house.store, ann, mixed[:3], lambda: 0)
    bens = house.hear(TEXTS[6:8], SECOND_VOICE)
    house.recognition.tell()
    assert house.whose(bens) == [(ben.id, "voice")] * 2
    assert merge(house.store, house.users, ben, ann) == 7
    assert [user.name for user in house.users.all] == [ann.name]
    assert {user for user, _ in house.whose(mixed + others)} == {ann.id}


def test_a_person_knows_better(house: House) -> None:
    house.hear(TEXTS[:5], ATYPICAL_VOICE, "enrolled")
    [own, guest] = house.hear([TEXTS[6]], ATYPICAL_VOICE) + house.hear([TEXTS[6]], GUEST)
    assign(house.store, [guest], FIRST_USER)
    assign(house.store, [own], None)
    house.recognition.tell()
    assert house.whose([own, guest]) == [(None, "hand"), (FIRST_USER, "hand")]
    with pytest.raises(AttuneError, match="there is no recording"):
        assign(house.store, ["0" * 32], FIRST_USER)


def test_a_recording_of_another_among_the_enrolled_is_named(house: House) -> None:
    house.hear(TEXTS[:6], ATYPICAL_VOICE, "enrolled")
    [stranger] = house.hear(TEXTS[7:8], GUEST, "enrolled")
    house.recognition.tell()
    assert house.recognition.doubtful(FIRST_USER) == (stranger,)


def test_a_recording_that_cannot_be_read_is_passed_over(house: House) -> None:
    house.hear(TEXTS[:4], ATYPICAL_VOICE, "enrolled")
    [broken] = house.hear([TEXTS[5]], ATYPICAL_VOICE)
    stored = house.store.utterance(broken)
    assert stored is not None
    stored.audio.write_bytes(b"nothing")
    house.recognition.tell()
    assert house.whose([broken]) == [(None, "unclear")]
    assert house.recognition.tell() == 0


def test_voiceprints_go_with_their_utterance(house: House) -> None:
    house.hear(TEXTS[:4], ATYPICAL_VOICE, "enrolled")
    house.recognition.tell()
    assert house.store.rows("SELECT count(*) FROM voiceprints") == [(12,)]
    for path in list(house.store.audio_folder.iterdir()):
        house.store.forget(path)
    assert house.store.rows("SELECT count(*) FROM voiceprints") == [(0,)]


def test_who_only_corrects_stays_known(house: House) -> None:
    """What made the voice known is told by the voice then, and makes it known all the same."""
    corrected = house.hear(TEXTS[:6], ATYPICAL_VOICE, "corrected")
    recognised = house.hear(TEXTS[6:8], ATYPICAL_VOICE, "recognised")
    for _ in range(3):
        house.recognition.tell()
        assert house.whose(corrected + recognised) == [(FIRST_USER, "voice")] * 8


def test_a_guest_is_not_learnt_while_somebody_else_is_not_known_yet(house: House) -> None:
    house.hear(TEXTS[:5], ATYPICAL_VOICE, "enrolled")
    ben = house.users.add("Ben")
    guest = house.hear(TEXTS[5:9], GUEST, "corrected")
    bens = house.hear(TEXTS[5:9], SECOND_VOICE, "corrected", ben.id)
    house.recognition.tell()
    assert house.whose(guest) == [(None, "voice")] * 4
    assert {example.id for example in house.learnt()}.isdisjoint(guest + bens)
    assert {example.id for example in house.learnt(ben.id)} == set(bens)


def test_what_a_person_says_meanwhile_holds(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.hear(TEXTS[:5], ATYPICAL_VOICE, "enrolled")
    ben = house.users.add("Ben")
    [first, second] = house.hear(TEXTS[6:8], GUEST)

    def meanwhile(*arguments: Any) -> list[Heard]:
        assign(house.store, [first], FIRST_USER)
        return [Heard(ben.id, clear=True, confidence=1.0) for _ in arguments[0]]

    monkeypatch.setattr("daemon.users.recognition.attribute", meanwhile)
    with house.store.writing() as connection:
        connection.execute("DELETE FROM users WHERE id = ?", (ben.id,))
    house.recognition.tell()
    assert house.whose([first, second]) == [(FIRST_USER, "hand"), (None, None)]


def test_whoever_speaks_meanwhile_leaves_what_is_known(tmp_path: Path) -> None:
    attention = Attention()
    house = House(tmp_path)
    with closing(house.store):
        house.recognition = VoiceRecognition(house.store, house.users, attention)
        house.hear(TEXTS[:5], ATYPICAL_VOICE, "enrolled")
        own = house.hear(TEXTS[5:7], ATYPICAL_VOICE)
        house.recognition.tell()
        house.hear(TEXTS[7:8], ATYPICAL_VOICE, "enrolled")
        attention.begin()
        house.recognition.tell()
        assert house.whose(own) == [(FIRST_USER, "voice")] * 2
        assert list(house.recognition.profiles) == [FIRST_USER]


def test_everything_is_told_however_much_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.users.recognition._JUDGED_TOGETHER", 3)
    house.hear(TEXTS[:4], ATYPICAL_VOICE, "enrolled")
    house.recognition.tell()
    said = house.hear(TEXTS[5:8], GUEST) + house.hear(TEXTS[5:12], ATYPICAL_VOICE)
    house.recognition.tell()
    assert [by for _, by in house.whose(said)] == ["voice"] * len(said)


def test_nothing_is_looked_at_that_the_user_does_not_want_kept(tmp_path: Path) -> None:
    house, agreed = House(tmp_path), [True]
    with closing(house.store):
        house.recognition = VoiceRecognition(
            house.store, house.users, Attention(), lambda: agreed[0], lambda: withdrawing
        )
        house.hear(TEXTS[:4], ATYPICAL_VOICE, "enrolled")

        def withdrawing(samples: Float32) -> Float32 | None:
            agreed[0] = False
            return None

        house.recognition.tell()
        assert house.store.rows("SELECT count(DISTINCT utterance) FROM voiceprints") == [(1,)]


def test_others_are_kept_for_a_week_from_when_they_are_told(tmp_path: Path) -> None:
    time = Time()
    house = House(tmp_path, time)
    with closing(house.store):
        house.hear(TEXTS[:5], ATYPICAL_VOICE, "enrolled")
        [guest] = house.hear(TEXTS[6:7], GUEST)
        [corrected] = house.hear(TEXTS[7:8], GUEST, "corrected")
        time.passes(8 * 86_400.0)
        house.recognition.tell()
        assert house.store.strangers_audio(7 * 86_400.0) == []
        time.passes(8 * 86_400.0)
        assert [path.stem for path in house.store.strangers_audio(7 * 86_400.0)] == [guest]
        assert house.whose([corrected]) == [(None, "voice")]
