"""Joins the microphone, the conversation and the voice: what is heard without echo, when a turn
ends, and who may interrupt whom.

Makes the parts and wires them, as `daemon/app.py` does for the rest.
"""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from engines.errors import AttuneError
from engines.wake.detector import WakeDetector, own_detector, ready_made_detector
from engines.wake.own_phrase import read_phrase
from engines.wake.words import BUTTON, NONE, OWN

from .attention import Attention
from .config.settings import Settings
from .conversation.conversation import Conversation
from .conversation.speech_input import hand_on
from .conversation.turn_pace import TurnPace
from .conversation.turn_taking import GOES_ON_SECONDS, GOES_ON_UNHEARD_SECONDS, TurnTaking
from .conversation.turns_under_way import TurnsUnderWay
from .events.bus import Events
from .events.users import UserServed
from .events.wake import Called, CallEnded
from .listening.echo import ECHO_SECONDS, plan_echo
from .listening.input import AudioInput, AudioSources
from .listening.takes import TakeRecorder
from .listening.wake import WakeGate, WakePlan
from .speaking.speaker import Speaker
from .store.store import Store
from .systemd import Watchdog
from .users.users import Users

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpokenTurns:
    """The running parts."""

    audio_input: AudioInput
    recorder: TakeRecorder
    wake: WakePlan | None
    """What has to be said before anything is heard; None if everything is."""
    pace: TurnPace
    interrupt: Callable[[], None]
    """To be called when somebody begins a new turn. It ends the current reply, if that is
    wanted."""


def start_spoken_turns(
    stack: ExitStack,
    settings: Settings,
    sources: AudioSources,
    watchdog: Watchdog,
    conversation: Conversation,
    speaker: Speaker | None,
    store: Store,
    users: Users,
    attention: Attention,
    events: Events,
) -> SpokenTurns:
    """Start listening to the microphone, or to the recording in its place. `speaker` is None if
    replies are only written. Raises AttuneError if the settings name a recording that cannot be
    read."""
    played = speaker.played if speaker is not None else None
    echo = plan_echo(played, settings.conversation.barge_in)

    def interrupt() -> None:
        if echo.barge_in:
            conversation.stop_reply()
            if speaker is not None:
                speaker.stop()

    noticed = (
        # A recording can wait for an answer, and knows no pauses; a person does not, and has some.
        hand_on(attention, events, interrupt, lambda segment: conversation.hear(segment, wait=True))
        if settings.audio.source
        else _turn_taking(conversation, speaker, attention, events, interrupt).noticed
    )
    limits = settings.segmenter.limits()
    under_way = TurnsUnderWay(noticed, events, speaks=speaker is not None)
    stack.callback(under_way.end)
    recorder = TakeRecorder(under_way.noticed)
    wake = None if settings.audio.source else plan_wake(settings, under_way, events)
    audio_input = AudioInput(
        sources, settings.audio, limits, recorder.noticed, watchdog, echo, interrupt, wake
    )
    audio_input.start()
    stack.callback(audio_input.stop)
    pace = _turn_pace(settings, store, users, attention, audio_input)
    pace.start()
    stack.callback(events.subscribe(UserServed, lambda event: pace.set()))
    stack.callback(pace.stop)
    return SpokenTurns(audio_input, recorder, wake, pace, interrupt)


def plan_wake(settings: Settings, turns: TurnsUnderWay, events: Events) -> WakePlan | None:
    """Open what listens for the wake word that the settings name. If that fails, only a button
    calls: a microphone that was to be deaf must not hear everything."""
    word = settings.wake.word
    if word == NONE:
        return None

    def changed(by: str | None) -> None:
        events.publish(CallEnded() if by is None else Called(by=by))

    gate = WakeGate(
        lambda: turns.speaking,
        lambda: turns.answering,
        settings.wake.follow_up_seconds,
        changed,
    )
    try:
        detector, phrase = open_wake_word(settings)
        return WakePlan(gate, word, detector, phrase)
    except AttuneError as error:
        logger.warning(
            "the wake word is not heard, only `attune call` opens the microphone: %s", error
        )
        return WakePlan(gate, word, None, problem=str(error))


def open_wake_word(settings: Settings) -> tuple[WakeDetector | None, str]:
    """Return what listens for the wake word that the settings name, None if there is none, and what
    the user calls it if it is their own. Raises AttuneError if it cannot be opened."""
    word = settings.wake.word
    threshold = None if settings.wake.threshold == "auto" else settings.wake.threshold
    if word in (NONE, BUTTON):
        return None, ""
    if word == OWN:
        phrase = read_phrase(own_phrase_path(settings.state_dir))
        return own_detector(phrase, threshold), phrase.text
    return ready_made_detector(word, threshold), ""


def own_phrase_path(state_dir: Path) -> Path:
    """Where the phrase is kept by which the user calls."""
    return state_dir / "wake" / "own.safetensors"


def _turn_taking(
    conversation: Conversation,
    speaker: Speaker | None,
    attention: Attention,
    events: Events,
    interrupt: Callable[[], None],
) -> TurnTaking:
    """Make what decides when somebody at the microphone has finished. Without a voice, a reply is
    read, and nobody can tell when."""
    if speaker is None:
        return TurnTaking(
            conversation, attention, events, interrupt, goes_on_seconds=GOES_ON_UNHEARD_SECONDS
        )

    def over_reply(seconds: float) -> bool:
        return speaker.played.sounded_since(time.monotonic() - seconds - ECHO_SECONDS)

    return TurnTaking(
        conversation,
        attention,
        events,
        interrupt,
        goes_on_seconds=GOES_ON_SECONDS,
        silence=speaker.stop,
        reply_began_at=lambda: speaker.reply_began_at,
        over_reply=over_reply,
    )


def _turn_pace(
    settings: Settings, store: Store, users: Users, attention: Attention, audio_input: AudioInput
) -> TurnPace:
    """Make what learns the pauses of who is served, and sets the silence that ends a turn."""
    is_recording = bool(settings.audio.source)  # which has no turns to be learnt or begun early
    setting = settings.segmenter.end_silence_seconds
    return TurnPace(
        store,
        attention,
        settings.segmenter.limits().end_silence_seconds if is_recording else setting,
        settings.conversation.speculate and not is_recording,
        audio_input.end_turns_after,
        lambda: users.served.id,
    )
