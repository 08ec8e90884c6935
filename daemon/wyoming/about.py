"""What Attune offers to Wyoming's clients. Costs nothing: Home Assistant asks every half minute."""

from collections.abc import Sequence
from typing import Any

from wyoming.info import (
    AsrModel,
    AsrProgram,
    Attribution,
    HandleModel,
    HandleProgram,
    Info,
    IntentModel,
    IntentProgram,
    TtsProgram,
    TtsVoice,
    WakeModel,
    WakeProgram,
)

from engines.voices.catalogue import ListedVoice
from engines.wake.words import READY_MADE

from ..installation import version

NAME = "attune"
_BY = Attribution("Attune", "")


def info(language: str, voices: Sequence[ListedVoice], wake_word: str, phrase: str) -> Info:
    """What is offered in `language`: all `voices` that are ready, and the wake word, if there is
    one."""
    release = version()
    about: Any = {"attribution": _BY, "installed": True, "version": release}
    return Info(
        asr=[
            AsrProgram(
                name=NAME,
                description="learns the voice of its user, and waits until they have finished",
                models=[
                    AsrModel(
                        name=NAME,
                        description="what the current generation hears",
                        languages=[language],
                        **about,
                    )
                ],
                requires_external_vad=False,
                supports_transcript_streaming=True,
                prefers_auto_gain_enabled=False,
                prefers_noise_reduction_enabled=False,
                **about,
            )
        ],
        intent=[
            IntentProgram(
                name=NAME,
                description="has Home Assistant do what it can do itself",
                models=[
                    IntentModel(
                        name=NAME,
                        description="lights, heating and timers",
                        languages=[language],
                        **about,
                    )
                ],
                **about,
            )
        ],
        handle=[
            HandleProgram(
                name=NAME,
                description="answers, and asks back where it is in doubt",
                models=[
                    HandleModel(
                        name=NAME,
                        description="the language model in use",
                        languages=[language],
                        **about,
                    )
                ],
                **about,
            )
        ],
        tts=[
            TtsProgram(
                name=NAME,
                description="says texts while they are written",
                voices=[
                    TtsVoice(name=one.name, description=one.about, languages=[language], **about)
                    for one in voices
                    if not one.missing
                ],
                supports_synthesize_streaming=True,
                **about,
            )
        ],
        wake=[
            WakeProgram(
                name=NAME,
                description="hears when it is called",
                models=[
                    WakeModel(
                        name=wake_word,
                        description="the user's own phrase" if phrase else "ready-made",
                        phrase=phrase or wake_word.replace("_", " "),
                        languages=[language],
                        **about,
                    )
                ],
                **about,
            )
        ]
        if wake_word in READY_MADE or phrase
        else [],
    )
