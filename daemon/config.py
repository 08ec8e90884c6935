"""Every setting of Attune: its name, type, range, default and one line of meaning. Knows no file
and no environment.

`config_sources.py` fills these models from files, environment and flags; docs/configuration.md
lists the same keys, and a test holds the two together.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from engines.audio.segmenter import SegmenterLimits
from engines.device.memory import total_bytes
from engines.schema import Frozen

_SYSTEM_PROMPT = "You are Attune, a helpful voice assistant. Answer in one short sentence."


_SOCKET_BYTES = 107
"""Longest path that a UNIX socket can have."""
_QUESTION_TOKENS = 64
"""Room for what surrounds the words of a turn, and for a short question."""
_CHARACTERS_PER_TOKEN = 8
"""More than a token of any usual text has: whether the rest fits is known when the language model
is opened."""


def absolute(text: str) -> str:
    """`text`, a path of a setting, without `~` and from the root on. Raises ValueError for a home
    that cannot be found."""
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError as error:
        raise ValueError(
            "it names the home of a user that is not known; give a path from the root on"
        ) from error


def _given(path: object) -> object:
    if isinstance(path, str) and not path.strip():
        raise ValueError("a path is needed, and this is none; give one, or leave the key out")
    return path


_Place = Annotated[
    Path, BeforeValidator(_given), AfterValidator(lambda path: Path(absolute(str(path))))
]
_PlaceOrNone = Annotated[
    str, AfterValidator(lambda text: text if text in ("", "none") else absolute(text))
]


def _fits_a_socket(path: Path) -> Path:
    if len(os.fsencode(path)) > _SOCKET_BYTES:
        raise ValueError(
            f"the path of a socket has at most {_SOCKET_BYTES} bytes, not {len(os.fsencode(path))};"
            " give a shorter one"
        )
    return path


def hours_of(text: str) -> tuple[int, int] | None:
    """Two minutes of the day from "22:00-06:30"; None for an empty text. Raises ValueError for
    anything else."""
    if not text:
        return None
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)", text)
    if found is None or (found[1], found[2]) == (found[3], found[4]):
        raise ValueError(
            "give two different times of the day, as in 22:00-06:30, or nothing for any time"
        )
    first_hour, first_minute, last_hour, last_minute = map(int, found.groups())
    return 60 * first_hour + first_minute, 60 * last_hour + last_minute


def _checked_hours(text: str) -> str:
    hours_of(text)
    return text


_Hours = Annotated[str, AfterValidator(_checked_hours)]


_MACHINE_SOCKET = Path("/run/attune/attune.sock")


def _own_socket() -> Path:
    return (
        Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
        / "attune"
        / "attune.sock"
    )


def _of_the_machine() -> bool:
    """Whether the Attune that the machine runs is meant: by root, and by a user who has none of
    their own where there is one."""
    return os.geteuid() == 0 or (_is_there(_MACHINE_SOCKET) and not _is_there(_own_socket()))


def _is_there(path: Path) -> bool:
    return os.access(path, os.F_OK)  # also where it may not be looked at, as in a service's sandbox


def _default_state_dir() -> Path:
    return Path("/var/lib/attune") if _of_the_machine() else platformdirs.user_state_path("attune")


def _default_cache_dir() -> Path:
    return (
        Path("/var/cache/attune") if _of_the_machine() else platformdirs.user_cache_path("attune")
    )


def _default_socket() -> Path:
    return _MACHINE_SOCKET if _of_the_machine() else _own_socket()


class AudioSettings(Frozen):
    device: str = Field(
        "",
        description=(
            "Name (or part of it) of the microphone to open; empty for the system's default input."
        ),
    )
    source: _PlaceOrNone = Field(
        "",
        description=(
            "A recording to hear in place of the microphone; empty for the microphone, `none` for"
            " neither."
        ),
    )
    speed: float = Field(
        1.0,
        ge=0,
        le=1000,
        description=(
            "How many times faster than real time `audio.source` is played; 0 for no waiting."
        ),
    )
    keep: bool = Field(
        True,
        description=(
            "Whether the audio of utterances is stored: without it nothing is learnt from what is"
            " said."
        ),
    )


class ConversationSettings(Frozen):
    route: Literal["auto", "cascade", "aligned"] = Field(
        "auto",
        description=(
            "How speech reaches the language model; `auto` takes the aligned route once a"
            " generation has earned it."
        ),
    )
    when_unsure: Literal["auto", "cascade", "ask", "answer"] = Field(
        "auto",
        description=(
            "What follows when the aligned route doubts what it heard: the cascade's words instead,"
            " a question back, or an answer all the same; `auto` takes the cascade's words where it"
            " hears this user well, else asks back."
        ),
    )
    system_prompt: str = Field(
        _SYSTEM_PROMPT,
        max_length=4000,
        description="What the language model is told before every conversation.",
    )
    max_reply_tokens: int = Field(96, ge=1, le=4096, description="Longest reply, in tokens.")
    max_reply_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description=(
            "Longest reply, in seconds of processor time; what was said by then is the reply."
        ),
    )
    forget_after_seconds: float = Field(
        120.0,
        ge=0,
        description=(
            "A pause, in seconds, after which a new conversation begins; 0 makes every turn a new"
            " one."
        ),
    )
    barge_in: bool = Field(
        False, description="Whether new speech ends the reply that is being given."
    )


class SegmenterSettings(Frozen):
    start_seconds: float = Field(
        0.1, gt=0, le=2, description="Speech, in seconds, that opens a segment."
    )
    end_silence_seconds: float = Field(
        0.6, gt=0, le=5, description="Silence, in seconds, that closes a segment."
    )
    max_seconds: float = Field(
        29.0, gt=1, le=29.5, description="Longest segment, in seconds; longer speech is cut."
    )
    pre_roll_seconds: float = Field(
        0.2, ge=0, le=2, description="Audio, in seconds, kept from before the speech was noticed."
    )
    post_roll_seconds: float = Field(
        0.1, ge=0, le=5, description="Silence, in seconds, kept at the end of a segment."
    )
    min_speech_seconds: float = Field(
        0.2, ge=0, le=5, description="Segments with less speech than this, in seconds, are dropped."
    )
    start_threshold: float = Field(
        0.5, gt=0, lt=1, description="Speech probability of a chunk from which it counts as speech."
    )
    stop_threshold: float = Field(
        0.35,
        gt=0,
        lt=1,
        description="Speech probability of a chunk below which it counts as silence.",
    )

    @model_validator(mode="after")
    def _agree(self) -> "SegmenterSettings":
        self.limits()
        return self

    def limits(self) -> SegmenterLimits:
        """These settings as the segmenter takes them. Raises ValueError where they contradict each
        other."""
        try:
            return SegmenterLimits(**self.model_dump())
        except ValueError as error:
            raise ValueError(
                f"the settings of [segmenter] contradict each other: {error}"
            ) from None


class EngineSettings(Frozen):
    whisper: str = Field(
        "whisper-tiny.en",
        description="Model (a name of `attune models list`) whose encoder and decoder hear speech.",
    )
    encoder_precision: Literal["auto", "float32", "float16", "int8"] = Field(
        "auto",
        description=(
            "Precision of the speech encoder on a GPU: `auto` is float16; one that did not pass its"
            " gate is not used."
        ),
    )
    language_model: str = Field(
        "smollm2-135m-instruct-q4_1",
        description="Model (a name of `attune models list`) that answers.",
    )
    threads: int = Field(2, ge=1, le=64, description="Threads that each engine may use.")


class LanguageModelSettings(Frozen):
    context_tokens: int = Field(
        2048,
        ge=256,
        le=131072,
        description="Tokens of conversation that the language model holds; the oldest turns go.",
    )


class IdleSettings(Frozen):
    enabled: bool = Field(
        True, description="Whether rounds of training start by themselves when nobody is talking."
    )
    quiet_seconds: float = Field(
        600.0, ge=0, description="Silence, in seconds, before a round may start."
    )
    min_new_utterances: int = Field(
        20,
        ge=1,
        description="Labelled utterances, new since the last round, before a round may start.",
    )
    min_minutes_between_rounds: float = Field(
        60.0, ge=0, description="Minutes from the end of one round to the start of the next."
    )
    hours: _Hours = Field(
        "",
        description=(
            "When rounds may start by themselves, by the clock on the wall, as in `22:00-06:30`;"
            " empty for any time."
        ),
    )
    max_temperature: float = Field(
        80.0, gt=0, description="Hottest sensor, in degrees Celsius, at which training may run."
    )
    min_available_bytes: int = Field(
        1_500_000_000,
        ge=0,
        description="Available memory, in bytes, without which no round starts.",
    )
    max_gpu_load_percent: float = Field(
        50.0,
        ge=0,
        le=100,
        description="Load of an integrated GPU, in percent, above which no round starts.",
    )
    on_battery: bool = Field(False, description="Whether training may run without mains power.")


class AdaptSettings(Frozen):
    training_seconds: float = Field(
        180.0,
        gt=0,
        le=36_000,
        description=(
            "Longest training in a round, in seconds of processor time per thread: pauses do not"
            " count. A round learns from four utterances for each of them at most."
        ),
    )
    hand_over: _PlaceOrNone = Field(
        "",
        description=(
            "Folder in which the jobs of rounds are left for a unit of systemd's to run; empty: the"
            " daemon runs them."
        ),
    )
    learning_rate: float = Field(2e-4, gt=0, lt=1, description="Step size of the optimiser.")
    distil_seconds: float = Field(
        0.0,
        ge=0,
        le=36_000,
        description=(
            "How long, in such seconds, the language model then learns to read what the projector"
            " makes; 0: not at all."
        ),
    )
    shadow_turns: int = Field(
        0,
        ge=0,
        le=10_000,
        description=(
            "Spoken turns that a better candidate hears, and answers silently, before it takes"
            " over; 0: it does at once."
        ),
    )
    shadow_days: float = Field(
        7.0, gt=0, description="Days after which it takes over though fewer turns were spoken."
    )
    roll_back: bool = Field(
        True,
        description=(
            "Whether a generation that is corrected more often than what was before it gives way by"
            " itself."
        ),
    )
    reply_utterances: int = Field(
        16,
        ge=0,
        description="Held-out utterances of each set that are judged by their replies too.",
    )
    min_confidence: float = Field(
        0.85, ge=0, le=1, description="Confidence below which a recognised label is not trained on."
    )
    threads: int = Field(2, ge=1, le=64, description="Threads that the training child may use.")


class BudgetSettings(Frozen):
    bytes: int = Field(
        0,
        ge=0,
        description=(
            "Memory that all of Attune may take while it learns; 0 for half of what the machine"
            " has."
        ),
    )
    unload: bool = Field(
        False,
        description=(
            "Whether the models that serve may be unloaded for a round that would not fit"
            " otherwise; speech loads them."
        ),
    )

    @property
    def allowed_bytes(self) -> int:
        """What `bytes` comes to on this machine."""
        return self.bytes or total_bytes() // 2


class StorageSettings(Frozen):
    audio_bytes: int = Field(
        4_000_000_000,
        ge=0,
        description=(
            "What utterances may take: the oldest that nobody enrolled or corrected go first, and"
            " those never."
        ),
    )
    features_bytes: int = Field(
        2_000_000_000,
        ge=0,
        description="What encoder frames and lessons may take; they can be made again.",
    )
    generations: int = Field(
        8,
        ge=1,
        description=(
            "How many generations are kept beside the base, the current and the previous one."
        ),
    )
    days_of_turns: float = Field(
        365.0, ge=0, description="How long what was said and answered is kept, in days."
    )


class ControlSettings(Frozen):
    socket: Annotated[_Place, AfterValidator(_fits_a_socket)] = Field(
        default_factory=_default_socket,
        description="UNIX socket through which commands reach the daemon.",
    )


class Settings(Frozen):
    """The whole configuration, checked. Immutable: a changed file takes effect when it is read
    again, at a start or a reload."""

    state_dir: _Place = Field(
        default_factory=_default_state_dir,
        description="Folder of what was heard and learnt; back this one up.",
    )
    cache_dir: _Place = Field(
        default_factory=_default_cache_dir,
        description="Folder of models and of what can be computed again.",
    )
    audio: AudioSettings = AudioSettings()
    conversation: ConversationSettings = ConversationSettings()
    segmenter: SegmenterSettings = SegmenterSettings()
    engines: EngineSettings = EngineSettings()
    llm: LanguageModelSettings = LanguageModelSettings()
    idle: IdleSettings = IdleSettings()
    adapt: AdaptSettings = AdaptSettings()
    budget: BudgetSettings = BudgetSettings()
    storage: StorageSettings = StorageSettings()
    control: ControlSettings = ControlSettings()

    @model_validator(mode="after")
    def _shadows_need_audio(self) -> "Settings":
        if self.adapt.shadow_turns and not self.audio.keep:
            raise ValueError(
                "adapt.shadow_turns needs the audio of turns: set audio.keep = true, or"
                " adapt.shadow_turns = 0"
            )
        return self

    @model_validator(mode="after")
    def _shadows_outlast_quotas(self) -> "Settings":
        if self.adapt.shadow_turns and self.storage.days_of_turns < self.adapt.shadow_days:
            raise ValueError(
                f"storage.days_of_turns = {self.storage.days_of_turns} removes turns before"
                f" adapt.shadow_days = {self.adapt.shadow_days} are over; keep turns for longer, or"
                " set adapt.shadow_turns = 0"
            )
        return self

    @model_validator(mode="after")
    def _replies_fit_the_context(self) -> "Settings":
        reply, prompt = (
            self.conversation.max_reply_tokens,
            len(self.conversation.system_prompt) // _CHARACTERS_PER_TOKEN,
        )
        if reply + prompt + _QUESTION_TOKENS > self.llm.context_tokens:
            raise ValueError(
                f"llm.context_tokens = {self.llm.context_tokens} has no room for"
                f" conversation.max_reply_tokens = {reply}, conversation.system_prompt (at least"
                f" {prompt} tokens) and a question of {_QUESTION_TOKENS} tokens; raise the first or"
                " lower the others"
            )
        return self

    @property
    def generations(self) -> Path:
        return self.state_dir / "generations"


def described_keys() -> dict[str, str]:
    """Every key, dotted as in `conversation.route`, with its description, in the order of the
    models."""
    keys: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Frozen):
            keys |= {
                f"{name}.{inner}": part.description or ""
                for inner, part in section.model_fields.items()
            }
        else:
            keys[name] = field.description or ""
    return keys


def value_of(settings: Settings, key: str) -> object:
    """The value of a dotted key."""
    value: object = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value
