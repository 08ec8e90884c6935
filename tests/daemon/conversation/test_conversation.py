"""Turns: what is heard is answered, stored, and never dropped silently."""

import math
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.abilities.abilities import Abilities
from daemon.attention import Attention
from daemon.clients import Client
from daemon.clocks import Clocks
from daemon.config.settings import ConversationSettings
from daemon.control.server import Message
from daemon.conversation.conversation import Conversation
from daemon.conversation.tool_use import Tools
from daemon.events.bus import Events
from daemon.events.event import Event
from daemon.serving.lease import LoadedRoute, ModelLender
from daemon.store.store import Store
from engines.errors import AttuneError
from engines.interfaces import Step, unwatched
from engines.routes import CascadeRoute
from engines.types import Float32, Segment, SoftTokens, Transcript
from engines.whisper.phrases import NO_PHRASES, PhraseBook
from engines.whisper.transcript_confidence import TranscriptConfidence
from tests.support.database import connect
from tests.support.fake_child import eventually
from tests.support.fakes import EchoLanguageModel, FakeTranscriber, PitchRoute, tone, words_of
from tests.support.stored_labels import labelled


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class House:
    """A conversation and everything it speaks to."""

    def __init__(
        self,
        folder: Path,
        alive: Callable[[], None] = unwatched,
        keeps_audio: bool = True,
        abilities: Abilities | None = None,
        may_keep: Callable[[], bool] = lambda: True,
        tools: Tools | None = None,
        language_model: EchoLanguageModel | None = None,
        served: Any = None,
        **settings: float | bool,
    ) -> None:
        self.clock = Clock()
        self.store = Store(folder)
        self.events = Events()
        self.attention = Attention(self.clock)
        self.language_model = language_model or EchoLanguageModel()
        asked = {
            "max_reply_tokens": 50,
            "forget_after_seconds": 60,
            "max_reply_seconds": 3600,
            **settings,
        }
        self.lender = ModelLender(
            {"cascade": loaded("cascade"), "aligned": loaded("aligned")},
            "cascade",
            self.language_model,
        )
        self.conversation = Conversation(
            self.lender,
            self.store,
            self.events,
            self.attention,
            ConversationSettings.model_validate(asked),
            keeps_audio=keeps_audio,
            clocks=Clocks(monotonic=self.clock, processor=partial(next, count(1.0))),
            alive=alive,
            abilities=abilities,
            tools=tools,
            served=served,
            may_keep=may_keep,
        )

    def close(self) -> None:
        self.language_model.hold.set()
        self.conversation.close()
        self.store.close()


def loaded(name: str, generation: int = 0) -> LoadedRoute:
    return LoadedRoute(PitchRoute(name), words_of, generation if name == "aligned" else None)


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., House]]:
    houses: list[House] = []

    def make(**settings: Any) -> House:
        houses.append(House(tmp_path, **settings))
        return houses[-1]

    yield make
    for house in houses:
        house.close()


def told(events: Iterator[Event]) -> list[Message]:
    return [event.message() for event in events]


def last(events: Iterator[Event]) -> Message:
    return told(events)[-1]


def test_a_spoken_turn_is_heard_answered_and_stored(build: Callable[..., House]) -> None:
    house = build()
    events = told(house.conversation.ask(tone(1.0, 300), "file"))
    assert [event["event"] for event in events] == ["heard"] + ["token"] * 5 + ["turn"]
    assert events[0]["text"] == "a tone of 300"
    assert events[-1]["reply"] == "0 a tone of 300"
    assert events[-1]["route"] == "cascade"
    assert 0 < events[-1]["first_token_ms"] <= events[-1]["reply_ms"]
    [turn] = house.store.history.last_turns(5)
    assert (turn.heard, turn.reply, turn.generation) == ("a tone of 300", "0 a tone of 300", None)
    assert turn.utterance is not None
    stored = house.store.utterance(turn.utterance)
    assert stored is not None
    assert stored.seconds == 1.0
    assert stored.audio.is_file()


def test_on_the_aligned_route_the_transcript_follows_the_reply(build: Callable[..., House]) -> None:
    house = build()
    house.lender.use({"cascade": loaded("cascade"), "aligned": loaded("aligned", 7)}, "aligned")
    events = told(house.conversation.ask(tone(1.0), "file"))
    assert "heard" not in [event["event"] for event in events]
    assert events[-1]["heard"] == "soft soft soft soft"
    assert events[-1]["reply"] == "0 4 tokens"
    assert (events[-1]["route"], events[-1]["generation"]) == ("aligned", 7)
    assert last(house.conversation.ask(tone(1.0), "file", route="cascade"))["route"] == "cascade"
    with pytest.raises(AttuneError, match="no sideways route here; routes are: aligned, cascade"):
        next(house.conversation.ask("hello", "text", route="sideways"))


def test_a_typed_turn_shares_the_conversation_and_has_no_utterance(
    build: Callable[..., House],
) -> None:
    house = build()
    last(house.conversation.ask("hello there", "text"))
    turn = last(house.conversation.ask("again", "text"))
    assert turn["reply"] == "1 again"
    assert (turn["route"], turn["utterance"]) == ("text", None)


def test_each_client_has_a_conversation_of_its_own(build: Callable[..., House]) -> None:
    """The stand-in says how many of its replies it remembers before what it was told."""
    house = build()

    def say(words: str, conversation: str) -> str:
        events = house.conversation.ask(words, "network", conversation=conversation)
        return str(last(events)["reply"])

    assert [say("one", "kitchen"), say("two", "kitchen")] == ["0 one", "1 two"]
    assert say("three", "bedroom") == "0 three"
    assert str(last(house.conversation.ask("here", "text"))["reply"]) == "0 here"
    assert [say("four", "kitchen"), say("five", "bedroom")] == ["2 four", "1 five"]
    for number in range(40):
        say("other", str(number))
    assert [say("six", "bedroom"), say("seven", "bedroom")] == ["0 six", "1 seven"]
    assert str(last(house.conversation.ask("still here", "text"))["reply"]) == "1 still here"


def test_only_who_needs_the_language_model_goes_back_into_it(
    build: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To go on with a conversation after another takes the language model as long as to read it."""
    house, goes_back = build(), []
    resume = house.language_model.resume

    def counted(suspended: object, step: Step = unwatched) -> None:
        goes_back.append(suspended)
        resume(suspended, step)

    monkeypatch.setattr(house.language_model, "resume", counted)

    def say(words: str, conversation: str) -> str:
        events = house.conversation.ask(words, "network", conversation=conversation)
        return str(last(events)["reply"])

    assert [say("one", "kitchen"), say("one", "bedroom")] == ["0 one", "0 one"]
    for _ in range(3):
        assert say("normal mode", "kitchen") == say("normal mode", "bedroom")
    assert not goes_back
    assert [say("two", "kitchen"), say("three", "kitchen")] == ["1 two", "2 three"]
    assert len(goes_back) == 1


def test_a_yes_answers_the_question_of_the_same_conversation(build: Callable[..., House]) -> None:
    house = build()
    doubtful(house)
    asked = last(house.conversation.ask(tone(1.0), "network", conversation="kitchen"))
    assert asked["asked_back"]
    other = last(house.conversation.ask("yes", "network", conversation="bedroom"))
    assert other["reply"] == "0 yes"
    right = last(house.conversation.ask("yes", "network", conversation="kitchen"))
    assert right["reply"] == f"0 {asked['heard']}"


def test_every_conversation_begins_in_the_mode_of_the_settings(build: Callable[..., House]) -> None:
    house = build(mode="repeat")
    modes = {}
    for name in ("", "kitchen"):
        turn = last(house.conversation.ask("hello there", "network", conversation=name))
        modes[name] = turn["mode"], turn["reply"]
    assert modes[""] == modes["kitchen"]
    assert modes[""][0] == "repeat"
    house.conversation.set_mode("assistant")
    turns = [
        last(house.conversation.ask("and again", "network", conversation=name))
        for name in ("", "kitchen")
    ]
    assert [turn.get("mode", "assistant") for turn in turns] == ["assistant", "repeat"]


def test_a_pause_begins_a_new_conversation(build: Callable[..., House]) -> None:
    house = build(forget_after_seconds=60)
    last(house.conversation.ask("one", "text"))
    house.clock.now += 59
    assert last(house.conversation.ask("two", "text"))["reply"] == "1 two"
    house.clock.now += 60
    assert last(house.conversation.ask("three", "text"))["reply"] == "0 three"


def test_zero_seconds_make_every_turn_new(build: Callable[..., House]) -> None:
    house = build(forget_after_seconds=0)
    assert [last(house.conversation.ask("x", "text"))["reply"] for _ in range(3)] == ["0 x"] * 3


class SlowRoute(PitchRoute):
    """Hears in steps, and takes `most` of them."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self.began = threading.Event()
        self.hold = threading.Event()

    def hear(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript | SoftTokens:
        for number in range(self._most):
            step()
            if number == 2:
                self.began.set()
                assert self.hold.wait(120)
        return super().hear(samples, step)


class TestWhileItHears:
    """A long recording takes seconds, in which others must not wait for nothing and a watchdog must
    not bark."""

    def test_each_step_is_a_sign_of_life(self, build: Callable[..., House]) -> None:
        signs: list[int] = []
        house = build(alive=lambda: signs.append(1))
        route = SlowRoute(500)
        route.hold.set()
        house.lender.use({"cascade": LoadedRoute(route, words_of, None)}, "cascade")
        assert last(house.conversation.ask(tone(1.0, 300), "file"))["heard"] == "a tone of 300"
        assert len(signs) >= 500

    def test_a_turn_whose_client_left_is_heard_no_further(
        self, build: Callable[..., House]
    ) -> None:
        house, client, route = build(), Client(), SlowRoute(10**9)
        house.lender.use({"cascade": LoadedRoute(route, words_of, None)}, "cascade")
        with house.events.follow() as happening:
            asking = threading.Thread(
                target=lambda: suppressed(house.conversation.ask(tone(1.0), "file", client=client))
            )
            asking.start()
            assert route.began.wait(120)
            client.leave()
            route.hold.set()
            asking.join(120)
            assert happening.get(timeout=120).message()["event"] == "turn_failed"
        assert not house.attention.needed
        assert house.store.counts().utterances == 0

    def test_a_stop_ends_it_and_keeps_what_was_said(self, build: Callable[..., House]) -> None:
        house, route = build(), SlowRoute(10**9)
        house.lender.use({"cascade": LoadedRoute(route, words_of, None)}, "cascade")
        house.conversation.hear(Segment(tone(1.0), 0.0))
        assert route.began.wait(120)
        closing = threading.Thread(target=house.conversation.close)
        closing.start()
        route.hold.set()
        closing.join(120)
        assert not closing.is_alive()
        assert house.store.counts().utterances == 1


def suppressed(events: Iterator[Event]) -> None:
    with suppress(AttuneError):
        list(events)


def test_dictation_tells_what_is_said_so_far(build: Callable[..., House]) -> None:
    house = build(mode="dictate")
    with house.events.follow() as happening:
        house.conversation.hear_so_far(Segment(tone(1.0, 300), 0.0))
        assert happening.get(timeout=120).message() == {
            "event": "heard_so_far",
            "text": "a tone of 300",
        }
        house.conversation.set_mode("assistant")
        house.conversation.hear_so_far(Segment(tone(1.0, 400), 0.0))
        house.conversation.hear(Segment(tone(1.0, 500), 0.0))
        kinds = [happening.get(timeout=120).message()["event"]]
        while kinds[-1] != "turn":
            kinds.append(happening.get(timeout=120).message()["event"])
        assert set(kinds) == {"heard", "token", "turn"}
    assert house.store.counts().utterances == 1


def test_a_turn_does_not_wait_for_what_was_said_so_far(build: Callable[..., House]) -> None:
    house, route = build(mode="dictate"), SlowRoute(10**9)
    house.lender.use({"cascade": LoadedRoute(route, words_of, None)}, "cascade")
    house.conversation.hear_so_far(Segment(tone(1.0, 300), 0.0))
    assert route.began.wait(120)
    quick = LoadedRoute(PitchRoute("cascade"), words_of, None)
    with house.events.follow() as happening:
        house.conversation.hear(Segment(tone(1.0, 400), 0.0))
        house.lender.use({"cascade": quick}, "cascade")
        route.hold.set()
        assert happening.get(timeout=120).message()["text"] == "a tone of 400"


def test_nothing_heard_is_not_answered(build: Callable[..., House]) -> None:
    house = build()
    house.lender.use({"aligned": loaded("aligned")}, "aligned")
    turn = last(house.conversation.ask(tone(0.1), "file"))
    assert (turn["reply"], turn["first_token_ms"]) == ("", None)
    assert house.language_model.remembered == []


def doubtful(house: House, asks_back: bool = True) -> None:
    """From now on tones below 500 Hz are doubted on the aligned route."""
    house.lender.use(
        {
            "aligned": LoadedRoute(
                PitchRoute("aligned", doubts_below_hz=500), words_of, 3, asks_back
            )
        },
        "aligned",
    )


def test_what_is_doubted_is_asked_back_and_a_yes_answers_it(build: Callable[..., House]) -> None:
    house = build()
    doubtful(house)
    asked = last(house.conversation.ask(tone(1.0, 300), "file"))
    assert asked["reply"] == "I am not sure that I heard you. Did you say: soft soft soft soft"
    assert (asked["asked_back"], asked["sure"], asked["confidence"]) == (True, False, 0.1)
    assert house.language_model.remembered == []
    assert last(house.conversation.ask("Yes.", "text"))["reply"] == "0 soft soft soft soft"
    [label] = [
        example for example in labelled(house.store, 0.0) if example.id == asked["utterance"]
    ]
    assert (label.text, label.origin) == ("soft soft soft soft", "corrected")
    # Nothing is asked any more.
    assert last(house.conversation.ask("Yes.", "text"))["reply"] == "1 Yes."


def test_what_the_cascade_doubts_is_asked_back_too(build: Callable[..., House]) -> None:
    house = build()
    doubt = TranscriptConfidence(offset=-1.0, slope=1.0, threshold=0.5)
    route = CascadeRoute(FakeTranscriber(), doubt)
    house.lender.use({"cascade": LoadedRoute(route, words_of, None, asks_back=True)}, "cascade")
    asked = last(house.conversation.ask(tone(1.0, 300), "file"))
    assert asked["reply"] == "I am not sure that I heard you. Did you say: a tone of 300"
    assert (asked["route"], asked["asked_back"], asked["sure"]) == ("cascade", True, False)
    assert asked["confidence"] == pytest.approx(1 / (1 + math.e))
    assert last(house.conversation.ask("Yes.", "text"))["reply"] == "0 a tone of 300"
    [label] = labelled(house.store, 0.0)
    assert (label.text, label.origin) == ("a tone of 300", "corrected")
    assert [turn.sure for turn in house.store.history.last_turns(5)] == [None, False]


def test_a_no_drops_it_and_another_request_is_answered_for_itself(
    build: Callable[..., House],
) -> None:
    house = build()
    doubtful(house)
    last(house.conversation.ask(tone(1.0, 300), "file"))
    assert last(house.conversation.ask("No!", "text"))["reply"] == "Then please say it again."
    last(house.conversation.ask(tone(1.0, 300), "file"))
    assert last(house.conversation.ask("What time is it?", "text"))["reply"] == "0 What time is it?"
    assert last(house.conversation.ask("yes", "text"))["reply"] == "1 yes"
    assert not labelled(house.store, 0.0)


def test_what_was_really_said_is_answered_and_labels_what_was_heard(
    build: Callable[..., House],
) -> None:
    house = build()
    heard = last(house.conversation.ask(tone(1.0, 300), "file"))
    corrected = last(house.conversation.ask("No, I said a tone of 310.", "text"))
    assert corrected["reply"] == "1 a tone of 310."
    assert house.store.confirmed_text(str(heard["utterance"])) == "a tone of 310."
    # One that cannot be what was said in a second is answered, and no label.
    heard = last(house.conversation.ask(tone(1.0, 320), "file"))
    last(house.conversation.ask(f"No, I said a tone of {'w' * 300}.", "text"))
    assert house.store.confirmed_text(str(heard["utterance"])) is None


def test_a_correction_that_was_heard_in_doubt_is_asked_about(build: Callable[..., House]) -> None:
    house = build()
    heard = last(house.conversation.ask(tone(1.0, 300), "file"))
    route = loaded("cascade")

    def hear(samples: Float32, step: Step = unwatched, phrases: object = None) -> Transcript:
        return Transcript("No, I said 310.")

    route.route.hear = hear  # type: ignore[method-assign]
    house.lender.use({"cascade": route}, "cascade")
    asked = last(house.conversation.ask(tone(1.0, 700), "file"))
    assert asked["reply"] == "I am not sure that I heard you. Did you say: 310."
    assert house.store.confirmed_text(str(heard["utterance"])) is None
    last(house.conversation.ask("yes", "text"))
    assert house.store.confirmed_text(str(heard["utterance"])) == "310."
    assert house.store.confirmed_text(str(asked["utterance"])) is None


def test_a_question_does_not_stand_for_ever(build: Callable[..., House]) -> None:
    house = build(forget_after_seconds=0)  # which is about the conversation, not about the question
    doubtful(house)
    last(house.conversation.ask(tone(1.0, 300), "file"))
    house.clock.now += 59
    assert last(house.conversation.ask("Yes.", "text"))["reply"] == "0 soft soft soft soft"
    last(house.conversation.ask(tone(1.0, 300), "file"))
    house.clock.now += 60
    assert last(house.conversation.ask("Yes.", "text"))["reply"] == "0 Yes."


def test_doubtful_noise_without_words_is_not_asked_about(build: Callable[..., House]) -> None:
    house = build()
    doubtful(house)
    turn = last(house.conversation.ask(tone(0.1, 300), "file"))
    assert (turn["reply"], turn["asked_back"], turn["sure"]) == ("", False, False)
    assert house.language_model.remembered == []


def test_what_is_sure_or_not_to_be_asked_is_answered(build: Callable[..., House]) -> None:
    house = build()
    doubtful(house)
    sure = last(house.conversation.ask(tone(1.0, 800), "file"))
    assert (sure["reply"], sure["asked_back"], sure["confidence"]) == ("0 4 tokens", False, 0.9)
    doubtful(house, asks_back=False)
    answered = last(house.conversation.ask(tone(1.0, 300), "file"))
    assert (answered["reply"], answered["sure"]) == ("1 4 tokens", False)


def test_a_yes_is_no_label_where_audio_is_not_kept(build: Callable[..., House]) -> None:
    house = build(keeps_audio=False)
    doubtful(house)
    last(house.conversation.ask(tone(1.0, 300), "file"))
    assert last(house.conversation.ask("that's right", "text"))["reply"] == "0 soft soft soft soft"
    assert not labelled(house.store, 0.0)


@pytest.mark.parametrize(
    ("words", "line"), [("too long", "do not fit; say less"), ("defect", "log says where")]
)
def test_a_turn_that_fails_says_so_and_the_next_one_is_answered(
    build: Callable[..., House], words: str, line: str
) -> None:
    house = build()
    with pytest.raises(AttuneError, match=line):
        told(house.conversation.ask(words, "text"))
    assert last(house.conversation.ask("fine", "text"))["reply"] == "0 fine"
    assert not house.attention.needed


def test_audio_is_not_kept_where_settings_say_so(build: Callable[..., House]) -> None:
    house = build(keeps_audio=False)
    assert last(house.conversation.ask(tone(1.0), "file"))["utterance"] is None
    assert house.store.counts().utterances == 0
    assert house.store.counts().turns == 1


def test_a_full_disk_does_not_silence_the_reply(build: Callable[..., House]) -> None:
    house = build()
    pages = house.store._database.connection.execute("PRAGMA page_count").fetchone()[0]
    house.store._database.connection.execute(f"PRAGMA max_page_count = {pages}")
    long_words = "word " * 40_000
    turn = last(house.conversation.ask(long_words, "text"))
    assert str(turn["reply"]).startswith("0 word")
    assert "cannot be used" in str(turn["warning"])
    house.store._database.connection.execute("PRAGMA max_page_count = 1000000")
    assert last(house.conversation.ask("fine", "text"))["id"] is not None


def test_speech_in_excess_is_kept_and_told(build: Callable[..., House]) -> None:
    house = build()
    house.language_model.hold.clear()
    with house.events.follow() as events:
        house.conversation.hear(Segment(tone(0.3, 200), 0.0))
        assert house.language_model.began.wait(120)
        for index in range(40):
            house.conversation.hear(Segment(tone(0.3, 300 + 10 * index), 0.0))
        house.language_model.hold.set()
        outcomes: list[Message] = []
        while len(outcomes) < 41:
            event = events.get(timeout=120).message()
            if event["event"] in ("turn", "turn_failed"):
                outcomes.append(event)
    failed = [event for event in outcomes if event["event"] == "turn_failed"]
    assert len(failed) == 8
    assert all("what was said is kept" in str(event["problem"]) for event in failed)
    assert house.store.counts().utterances == 41


def test_stopping_keeps_what_waits_and_ends_the_running_reply(build: Callable[..., House]) -> None:
    house = build()
    house.language_model.hold.clear()
    with house.events.follow() as events:
        for pitch in (200, 300, 400):
            house.conversation.hear(Segment(tone(0.3, pitch), 0.0))
        assert house.language_model.began.wait(120)
        house.conversation.stop_answering()
        house.close()
        kinds = [events.get_nowait().message()["event"] for _ in range(events.qsize())]
    assert kinds == ["heard", "turn_failed", "turn_failed", "turn_failed"], (
        "nothing of the reply was said yet"
    )
    reopened = Store(house.store.path.parent)
    assert reopened.counts().utterances == 3
    reopened.close()


def test_a_reply_that_is_stopped_ends_and_is_remembered_so_far(build: Callable[..., House]) -> None:
    house = build()
    house.language_model.hold.clear()
    events = house.conversation.ask("one two three", "text")
    next(events)  # heard
    assert house.language_model.began.wait(120)
    house.conversation.stop_reply()
    house.language_model.hold.set()
    rest = told(events)
    assert len([event for event in rest if event["event"] == "token"]) == 1
    assert rest[-1]["interrupted"] is True
    assert house.language_model.remembered == ["0"]


def test_stopping_keeps_what_was_said_of_a_reply(build: Callable[..., House]) -> None:
    house = build()
    events = house.conversation.ask("one two three", "text")
    house.language_model.hold_after = 2
    house.language_model.hold.clear()
    assert [next(events).message()["event"] for _ in range(3)] == ["heard", "token", "token"]
    house.conversation.stop_answering()
    house.language_model.hold.set()
    turn = last(events)
    assert (turn["event"], turn["reply"], turn["interrupted"]) == ("turn", "0 one", True)
    house.conversation.close()
    with pytest.raises(AttuneError, match="the daemon is stopping"):
        next(house.conversation.ask("too late", "text"))
    house.conversation.hear(Segment(tone(0.3), 0.0))
    assert house.store.counts().utterances == 1, "the microphone's last words are kept"
    assert not house.attention.needed


class TestClientsThatLeave:
    def test_a_reply_ends_with_the_token_that_is_computed(
        self, build: Callable[..., House]
    ) -> None:
        house, client = build(), Client()
        house.language_model.hold_after = 2
        house.language_model.hold.clear()
        events = house.conversation.ask("one two three four five", "text", client=client)
        assert [next(events).message()["event"] for _ in range(3)] == ["heard", "token", "token"]
        client.leave()
        house.language_model.hold.set()
        turn = last(events)
        assert (turn["reply"], turn["interrupted"]) == ("0 one", True)
        assert last(house.conversation.ask("next", "text"))["reply"] == "1 next"

    @pytest.mark.parametrize("closes", [True, False])
    def test_turns_that_wait_are_dropped_with_what_was_said(
        self, build: Callable[..., House], closes: bool
    ) -> None:
        house = build()
        house.language_model.hold.clear()
        house.conversation.hear(Segment(tone(0.3, 200), 0.0))
        assert house.language_model.began.wait(120)
        clients = [Client() for _ in range(32)]
        outcomes: queue.SimpleQueue[str] = queue.SimpleQueue()
        asked = [
            house.conversation.ask(tone(0.3, 300), "file", client=client) for client in clients
        ]

        def ask(events: Generator[Event, None, None]) -> None:
            try:
                outcomes.put(str(last(events)["event"]))
            except AttuneError as error:
                outcomes.put(str(error))

        with house.events.follow() as happening:
            for events in asked:
                threading.Thread(target=ask, args=(events,), daemon=True).start()
            for client in clients:
                client.leave()
            assert [outcomes.get(timeout=120) for _ in clients] == ["the client has left"] * 32
            assert [happening.get(timeout=120).message()["event"] for _ in clients] == [
                "turn_failed"
            ] * 32
        house.language_model.hold.set()
        assert last(house.conversation.ask("next", "text"))["reply"] == "1 next"
        assert house.store.counts().utterances == 1, "only what the microphone heard"
        assert not house.attention.needed

    def test_a_client_that_had_left_before_it_asked(self, build: Callable[..., House]) -> None:
        house, client = build(), Client()
        client.leave()
        with pytest.raises(AttuneError, match="has left"):
            told(house.conversation.ask("hello", "text", client=client))
        assert last(house.conversation.ask("next", "text"))["reply"] == "0 next"

    def test_closing_the_events_is_leaving(self, build: Callable[..., House]) -> None:
        house = build()
        house.language_model.hold_after = 1
        house.language_model.hold.clear()
        events = house.conversation.ask("one two three", "text")
        assert [next(events).message()["event"] for _ in range(2)] == ["heard", "token"]
        events.close()
        house.language_model.hold.set()
        assert last(house.conversation.ask("next", "text"))["reply"] == "1 next"
        assert house.language_model.remembered[0] == "0"

    def test_who_waits_for_room_waits_no_longer(self, build: Callable[..., House]) -> None:
        house, left = build(), threading.Event()
        house.language_model.hold.clear()
        house.conversation.hear(Segment(tone(0.3, 200), 0.0))
        assert house.language_model.began.wait(120)
        for _ in range(32):
            house.conversation.hear(Segment(tone(0.3, 300), 0.0), wait=True)
        waits = threading.Thread(
            target=lambda: house.conversation.hear(
                Segment(tone(0.3), 0.0), "file", wait=True, abandoned=left
            ),
            daemon=True,
        )
        waits.start()
        house.conversation.abandon(left)
        waits.join(120)
        assert not waits.is_alive()
        house.language_model.hold.set()


def test_a_reply_that_takes_too_much_processor_time_ends(build: Callable[..., House]) -> None:
    house = build(max_reply_seconds=1.5)
    turn = last(house.conversation.ask("one two three four", "text"))
    assert (turn["reply"], turn["interrupted"]) == ("0 one", True), "a second a look at the clock"


DOINGS = st.lists(
    st.sampled_from(
        [
            "ask",
            "speak",
            "too long",
            "defect",
            "leaves",
            "closes",
            "full disk",
            "barges in",
            "flood",
            "unservable",
        ]
    ),
    max_size=8,
)


def defect(_: bool) -> None:
    raise ZeroDivisionError("a watcher has a defect")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DOINGS, st.booleans())
def test_attention_ends_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, doings: list[str], stops: bool
) -> None:
    house = House(tmp_path_factory.mktemp("h"), barge_in=True)
    model = house.language_model
    changes: list[bool] = []
    house.attention.changes.subscribe(changes.append)
    house.attention.changes.subscribe(defect)
    for doing in doings:
        model.hold.set()
        if doing in ("ask", "too long", "defect", "unservable"):
            house.lender.wake_by(lambda: None)
            if doing == "unservable":
                house.lender.rest()
            with suppress(AttuneError):
                told(house.conversation.ask(doing, "text"))
            house.lender.use({"cascade": loaded("cascade")}, "cascade", model)
        elif doing == "speak":
            house.conversation.hear(Segment(tone(0.3), 0.0))
        elif doing == "flood":
            model.hold.clear()
            for _ in range(35):
                house.conversation.hear(Segment(tone(0.1), 0.0))
        elif doing == "full disk":
            house.store._database.connection.execute("PRAGMA max_page_count = 1")
            house.conversation.hear(Segment(tone(0.3), 0.0))
        elif doing == "barges in":
            house.conversation.stop_reply()
        else:
            client = Client()
            events = house.conversation.ask(tone(0.3), "file", client=client)
            with suppress(AttuneError):
                next(events)
            client.leave()
            if doing == "closes":
                events.close()
    model.hold.set()
    assert stops or eventually(lambda: not house.attention.needed)
    house.close()
    assert not house.attention.needed
    assert changes == [True, False] * (len(changes) // 2)


def test_attention_lasts_from_the_first_reason_to_the_last(tmp_path: Path) -> None:
    clock = Clock()
    attention = Attention(clock)
    seen: list[bool] = []
    attention.changes.subscribe(seen.append)
    clock.now += 5
    assert attention.quiet_seconds() == 5
    attention.begin()
    attention.begin()
    attention.end()
    assert attention.needed
    assert attention.quiet_seconds() == 0
    attention.end()
    clock.now += 3
    assert attention.quiet_seconds() == 3
    assert seen == [True, False]


def test_the_database_is_what_sqlite_reads(build: Callable[..., House]) -> None:
    house = build()
    last(house.conversation.ask("hello", "text"))
    with connect(house.store.path, read_only=True) as other:
        assert other.execute("SELECT heard FROM turns").fetchall() == [("hello",)]
    other.close()


def test_speech_passes_through_its_generations_adapter(build: Callable[..., House]) -> None:
    """Set before the first soft tokens that need it, and left in place: text does not pass through
    it anyway."""
    house = build()
    first, second = Path("0001/adapter.gguf"), Path("0002/adapter.gguf")

    def use(adapter: Path | None) -> None:
        aligned = LoadedRoute(PitchRoute("aligned"), words_of, 1, adapter=adapter)
        house.lender.use({"cascade": loaded("cascade"), "aligned": aligned}, "aligned")

    def say(words: Float32 | str, route: str | None = None) -> None:
        last(house.conversation.ask(words, "test", route))

    for adapter in (None, first, second, None):
        use(adapter)
        say("typed")
        say(tone(1.0), "cascade")
        before = list(house.language_model.adapters)
        say(tone(1.0))
        say(tone(1.0))
        assert house.language_model.adapters == [
            *before,
            *([] if adapter is None and not before else [adapter]),
        ]
    assert house.language_model.adapters == [first, second, None]


def test_what_was_said_is_repeated_or_written_down(build: Callable[..., House]) -> None:
    house = build(mode="repeat")
    turn = last(house.conversation.ask(tone(1.0, 300), "file"))
    assert (turn["reply"], turn["mode"]) == ("a tone of 300", "repeat")
    house.conversation.set_mode("dictate")
    turn = last(house.conversation.ask(tone(1.0, 400), "file"))
    assert (turn["heard"], turn["reply"], turn["mode"]) == ("a tone of 400", "", "dictate")
    assert turn["first_token_ms"] is None
    switched = last(house.conversation.ask("stop dictation", "text"))
    assert switched["reply"] == "I answer you again."
    assert house.conversation.mode == "assistant"
    assert last(house.conversation.ask("hello", "text"))["reply"] == "0 hello"
    assert last(house.conversation.ask("Stop!", "text"))["reply"] == ""
    assert [turn.heard for turn in house.store.history.last_turns(2)] == ["Stop!", "hello"]
