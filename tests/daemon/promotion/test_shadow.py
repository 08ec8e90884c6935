"""Shadow mode of a whole daemon on tiny engines: a candidate hears along, and takes over or does
not."""

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from daemon.clocks import Clocks
from daemon.config.settings import Settings
from daemon.serving.models import ServingModels
from daemon.store.shadow_readings import ShadowReadings
from daemon.training.idle import decide
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.generations.folder import Generation
from engines.generations.pointers import current, promote, shadow
from engines.interfaces import Step, unwatched
from engines.types import Float32, SoftTokens, Transcript
from engines.whisper.phrases import NO_PHRASES, PhraseBook
from tests.support.fakes import (
    EchoLanguageModel,
    PitchRoute,
    fake_models,
    pitch_of,
    tone,
    write_base,
)
from tests.support.idle_limits import limits
from tests.support.running_daemon import Daemon, Start, enroll, folder, make_settings, start

__all__ = ["folder", "start"]

TURNS = 6


@dataclass
class Deafness:
    """Generation 1 hears only tones of at least `below_hz`."""

    below_hz: int = 0
    opened: int = 0
    broken: bool = False

    def voice(self, settings: Settings) -> ServingModels:
        def aligned(generation: Generation, _unsure: bool) -> PitchRoute:
            if generation.number == 0:
                return PitchRoute("aligned")
            if self.broken:
                raise AttuneError("generation 0001 cannot be opened")
            self.opened += 1
            return _Deaf("aligned", self)

        return ServingModels(**{**vars(fake_models(settings)), "aligned": aligned})


class _Deaf(PitchRoute):
    def __init__(self, name: str, deafness: Deafness) -> None:
        super().__init__(name)
        self._deafness = deafness

    def hear(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript | SoftTokens:
        heard = Transcript("what?")
        return heard if pitch_of(samples) < self._deafness.below_hz else super().hear(samples)


@dataclass
class Later:
    """The clocks of this machine, as far ahead as a test says."""

    seconds: float = 0.0

    def clocks(self) -> Clocks:
        return Clocks(lambda: time.time() + self.seconds, lambda: time.monotonic() + self.seconds)


@dataclass
class Home:
    """A daemon whose generation 1 is in shadow."""

    daemon: Daemon
    folder: Path
    later: Later

    @property
    def generations(self) -> Path:
        return self.folder / "state" / "generations"

    def say(self, first_hz: int, count: int) -> None:
        for index in range(count):
            write_flac(self.folder / "said.flac", tone(1.0, first_hz + 20 * index))
            self.daemon.do("ask", audio=self.folder / "said.flac", route="aligned")

    def step(self) -> None:
        """Nobody speaks for ten minutes."""
        self.later.seconds += 600
        self.daemon.app.parts.shadow.step()

    def pointed(self) -> tuple[int | None, int | None]:
        found = current(self.generations), shadow(self.generations)
        return found[0].number if found[0] else None, found[1].number if found[1] else None


@pytest.fixture
def later() -> Later:
    return Later()


def put(start: Start, folder: Path, later: Later, deafness: Deafness | None = None) -> Home:
    write_base(folder / "state" / "generations")
    promote(folder / "state" / "generations", 0)
    voice = (deafness or Deafness()).voice
    daemon = start(
        open_models=voice, clocks=later.clocks(), adapt__shadow_turns=TURNS, idle__quiet_seconds=0
    )
    enroll(daemon, folder)
    last = daemon.do("adapt")[-1]
    assert last["outcome"] == "shadowed", last
    assert str(last["last_reason"]).startswith(
        "good enough to hear 6 turns in shadow before it is promoted: 10.0 % word error"
    )
    return Home(daemon, folder, later)


def test_a_candidate_that_hears_as_well_takes_over_after_its_turns(
    start: Start, folder: Path, later: Later
) -> None:
    home = put(start, folder, later)
    assert home.pointed() == (0, 1)
    home.say(300, TURNS - 1)
    home.step()
    assert home.pointed() == (0, 1)
    status = home.daemon.status()
    assert status["shadow"] == {"generation": 1, "turns": 5, "of": 6, "otherwise": 0}
    assert (status["generation"], status["counts"]["new_labels"]) == (0, 0)
    home.say(800, 3)
    home.step()
    assert home.pointed() == (1, None)
    status = home.daemon.status()
    assert (status["generation"], status["shadow"]) == (1, None)
    [why] = home.daemon.do("why")
    assert why["round"]["outcome"] == "promoted"
    assert why["moves"][0]["reason"] == "its time in shadow was over"
    assert why["shadow"] == {"turns": 6, "otherwise": []}


def test_one_that_mishears_is_refused_and_why_shows_what(
    start: Start, folder: Path, later: Later
) -> None:
    home = put(start, folder, later, Deafness(below_hz=1000))
    home.say(300, TURNS)
    with home.daemon.app.parts.events.follow() as events:
        home.step()
        told = []
        while not events.empty():
            told.append(events.get().message())
    [ended] = [event for event in told if event["event"] == "shadow_ended"]
    assert (ended["generation"], ended["outcome"]) == (1, "refused")
    assert not [event for event in told if event["event"] in ("token", "turn")], (
        "it answers silently"
    )
    assert home.pointed() == (0, None)
    [why] = home.daemon.do("why")
    assert why["round"]["outcome"] == "refused"
    assert "6 only wrong now, 0 only right now" in str(why["round"]["reason"])
    first = why["shadow"]["otherwise"][0]
    assert (first["heard"], first["shadow_heard"], first["shadow_reply"]) == (
        "soft soft soft soft",
        "what?",
        "0 what?",
    )
    assert home.daemon.do("ask", text="hello")[-1]["reply"] == "0 hello", (
        "the conversation knows nothing of it"
    )


def test_its_silent_reply_gives_way_to_speech(start: Start, folder: Path, later: Later) -> None:
    """Nobody waits for it, and whoever speaks would wait for the models."""
    home = put(start, folder, later, Deafness(below_hz=1000))
    home.say(300, TURNS)
    model, attention = (
        home.daemon.app.parts.models.lender._language_model,
        home.daemon.app.parts.attention,
    )
    assert isinstance(model, EchoLanguageModel)
    model.began.clear()
    model.hold.clear()
    stepping = threading.Thread(target=home.step, daemon=True)
    stepping.start()
    assert model.began.wait(120)
    attention.begin()
    model.hold.set()
    stepping.join(120)
    assert not stepping.is_alive()
    assert home.daemon.status()["shadow"]["turns"] == 0
    attention.end()
    home.step()
    assert home.pointed() == (0, None), "it is heard, and refused, when it is quiet again"


def test_it_hears_only_while_it_is_quiet(start: Start, folder: Path, later: Later) -> None:
    home = put(start, folder, later)
    home.say(300, 2)
    home.daemon.app.parts.shadow.step()
    assert home.daemon.status()["shadow"]["turns"] == 0
    home.step()
    assert home.daemon.status()["shadow"]["turns"] == 2


def test_no_round_starts_by_itself_meanwhile(start: Start, folder: Path, later: Later) -> None:
    home = put(start, folder, later)
    snapshot = home.daemon.app.parts.inputs.snapshot()
    eager = limits(quiet_seconds=0, min_new_utterances=0, min_minutes_between_rounds=0)
    assert "0001 is in shadow" in decide(snapshot, eager).reason
    assert decide(replace(snapshot, in_shadow=None), eager).run


def test_days_end_it_too(start: Start, folder: Path, later: Later) -> None:
    home = put(start, folder, later)
    home.say(300, 1)
    later.seconds += 7 * 86_400
    home.step()
    assert home.pointed() == (1, None)


def test_what_was_promoted_by_hand_leaves_the_shadow(
    start: Start, folder: Path, later: Later
) -> None:
    home = put(start, folder, later)
    home.daemon.do("generations", action="promote", number=1)
    home.step()
    assert home.pointed() == (1, None)
    told: Any = home.daemon.do("why")[0]
    assert told["round"]["reason"] == "promoted by hand, before its time in shadow was over"


def test_a_kill_between_promotion_and_word_is_made_good(
    start: Start, folder: Path, later: Later
) -> None:
    home = put(start, folder, later)
    home.say(300, TURNS)
    with pytest.raises(KeyboardInterrupt):
        _killed_after_promotion(home)
    assert home.pointed() == (1, 1)
    home.step()
    assert home.pointed() == (1, None)
    reason = str(home.daemon.do("why")[0]["round"]["reason"])
    assert reason.startswith("promoted: of 6 turns in shadow 0 were heard differently")


def _killed_after_promotion(home: Home) -> None:
    shadow_of_app = home.daemon.app.parts.shadow
    kept, shadow_of_app._readings = shadow_of_app._readings, _Gone(shadow_of_app._readings.store)
    try:
        home.step()
    finally:
        shadow_of_app._readings = kept


class _Gone(ShadowReadings):
    def end(self, generation: int, outcome: str, reason: str) -> None:
        raise KeyboardInterrupt


def test_another_round_takes_its_place(start: Start, folder: Path, later: Later) -> None:
    home = put(start, folder, later)
    assert home.daemon.do("adapt")[-1]["outcome"] == "shadowed"
    home.step()
    assert home.pointed() == (0, 2)
    assert home.daemon.app.parts.shadow._readings.standing() == [2]


def test_it_goes_on_after_a_restart(start: Start, folder: Path, later: Later) -> None:
    home = put(start, folder, later)
    home.say(300, 4)
    home.step()
    home.daemon.app.__exit__()
    home.daemon = start(clocks=later.clocks(), adapt__shadow_turns=TURNS)
    assert home.daemon.status()["shadow"] == {"generation": 1, "turns": 4, "of": 6, "otherwise": 0}
    home.say(800, 2)
    home.step()
    assert home.pointed() == (1, None)


def test_a_damaged_one_leaves_the_shadow(start: Start, folder: Path, later: Later) -> None:
    home = put(start, folder, later)
    (home.generations / "0001" / "projector.onnx").write_bytes(b"not what was written")
    home.step()
    assert home.pointed() == (0, None)
    [why] = home.daemon.do("why")
    assert "left the shadow" in str(why["round"]["reason"])
    assert "0001 is damaged" in str(why["problem"])


def test_one_that_cannot_be_opened_costs_no_answer(
    start: Start, folder: Path, later: Later
) -> None:
    home = put(start, folder, later, Deafness(broken=True))
    home.say(300, TURNS)
    home.step()
    assert home.pointed() == (0, 1)
    assert home.daemon.do("ask", text="hello")[-1]["event"] == "turn"


def test_it_needs_the_audio_of_turns(folder: Path) -> None:
    with pytest.raises(AttuneError, match="audio.keep = true, or adapt.shadow_turns = 0"):
        make_settings(folder, adapt__shadow_turns=3, audio__keep=False)
