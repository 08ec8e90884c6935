"""Every setting of Attune: its name, type, range, default and what it means. Knows no file and no
environment.

`daemon/config/sources.py` fills these models from files, environment and flags;
docs/configuration.md lists the same keys, and a test compares the two.
"""

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from engines.audio.segmenter import SegmenterLimits
from engines.device.memory import total_bytes
from engines.schema import Frozen
from engines.wake.words import ReadyMade
from engines.whisper.transcript_confidence import LABEL_CONFIDENCE

from .hours import Hours
from .places import (
    Place,
    PlaceOrNone,
    Socket,
    default_cache_dir,
    default_socket,
    default_state_dir,
)

_SYSTEM_PROMPT = "You are Attune, a helpful voice assistant. Answer in one short sentence."
_QUESTION_TOKENS = 64
"""Tokens that are reserved for what surrounds the words of a turn, and for a short question."""
_CHARACTERS_PER_TOKEN = 8
"""More characters than a token of any usual text has. Opening the language model tells whether the
system prompt really fits."""


def _time_zone(name: str) -> str:
    if name:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"there is no time zone {name!r}; give one such as Europe/Berlin"
            ) from (error)
    return name


class AudioSettings(Frozen):
    device: str = Field(
        "",
        description="Name of the microphone, or a part of it. Empty: the system's default input.",
    )
    source: PlaceOrNone = Field(
        "",
        description=(
            "A recording to hear instead of the microphone. Empty: the microphone. `none`: neither."
        ),
    )
    speed: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Playback speed of `audio.source`. 1 is real time; 0 is as fast as possible.",
    )
    keep: bool = Field(
        True,
        description="Store the audio of what was said. Without it, Attune learns nothing from use.",
    )


class ConversationSettings(Frozen):
    mode: Literal["assistant", "repeat", "dictate"] = Field(
        "assistant",
        description=(
            "What is done with what is heard. `assistant`: it is answered. `repeat`: it is said "
            "again in a clear voice, for whoever is opposite. `dictate`: it is only written."
        ),
    )
    route: Literal["auto", "cascade", "aligned"] = Field(
        "auto",
        description=(
            "How speech reaches the language model. `auto` uses the aligned route once your own "
            "recordings show that it is better than the cascade, which takes less memory."
        ),
    )
    when_unsure: Literal["auto", "cascade", "ask", "answer"] = Field(
        "auto",
        description=(
            "What to do when Attune is not sure what it heard: use the cascade's words in place of "
            "the aligned route's, ask back, or answer anyway. `auto` asks back; but it uses the "
            "cascade's words first where the cascade works for this user."
        ),
    )
    system_prompt: str = Field(
        _SYSTEM_PROMPT,
        max_length=4000,
        description="Instruction that the language model gets at the start of every conversation.",
    )
    answer_questions: Literal["auto"] | bool = Field(
        "auto",
        description=(
            "Let the language model answer questions about the world, and say that it did things. "
            "Without it, Attune says that it does not know, and what it can do. `auto`: only a "
            "language model with at least 500 million parameters may."
        ),
    )
    max_reply_tokens: int = Field(
        96,
        ge=1,
        le=4096,
        description="Longest reply, in tokens.",
    )
    max_reply_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Longest reply, in seconds of processor time. The reply ends there.",
    )
    forget_after_seconds: float = Field(
        120.0,
        ge=0,
        description=(
            "Pause, in seconds, after which a new conversation begins. 0: every turn is a new "
            "conversation."
        ),
    )
    speculate: bool = Field(
        True,
        description=(
            "Begin to answer at the first pause that may be the end of what you say. If you go on, "
            "that work is dropped. It costs processor time and makes replies come sooner."
        ),
    )
    barge_in: Literal["auto"] | bool = Field(
        "auto",
        description=(
            "End the running reply when somebody begins to speak. `auto`: where the echo of the "
            "loudspeaker can be taken out of what the microphone hears. `true` is also for "
            "headphones."
        ),
    )


class AbilitySettings(Frozen):
    enabled: bool = Field(
        True,
        description=(
            "Tell the time, keep timers, alarms and lists, calculate and so on, without the "
            "language model. Otherwise it answers everything."
        ),
    )
    without: str = Field(
        "",
        max_length=1000,
        pattern=r"^([a-z_]+(, *[a-z_]+)*)?$",
        description="Names of abilities to leave out, with commas between them, such as `lists`.",
    )
    place: str = Field(
        "",
        max_length=80,
        description="Where you are, in words, such as `Berlin`: the language model is told.",
    )
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(
        "",
        description="Your time zone, such as `Europe/Berlin`. Empty: the system's.",
    )

    @property
    def left_out(self) -> list[str]:
        """Each of `without`."""
        return self.without.replace(",", " ").split()


class HouseSettings(Frozen):
    url: str = Field(
        "",
        max_length=255,
        pattern=r"^(https?://[^\s/?#@]+/?)?$",
        description=(
            "Address of Home Assistant, such as `http://homeassistant.local:8123`, whose lights "
            "and other devices Attune then reaches. Empty: none."
        ),
    )
    token_file: PlaceOrNone = Field(
        "",
        description=(
            "File with a long-lived access token of Home Assistant, which nobody else may read."
        ),
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> "HouseSettings":
        if self.url and not self.token_file:
            raise ValueError("house.url needs house.token_file, the file with the token")
        return self


class ToolSettings(Frozen):
    servers: PlaceOrNone = Field(
        "",
        description=(
            "File that lists MCP servers and the tools of them that the language model may call; "
            "nobody else may read it. Empty: none."
        ),
    )
    use: bool | Literal["auto"] = Field(
        "auto",
        description=(
            "Whether the language model may call tools, also those of clients over HTTP. `auto`: "
            "if it chooses the right one in 95 of 100 cases, which is tried while nobody talks."
        ),
    )


class SpeakingSettings(Frozen):
    voice: str = Field(
        "auto",
        description=(
            "Voice that says the replies to what was spoken: a name from `attune voices list`. "
            "`auto`: the most natural one that this device computes fast enough. `none`: replies "
            "are only written."
        ),
    )
    device: str = Field(
        "",
        description=(
            "Name of the loudspeaker, or a part of it. Empty: the system's default output."
        ),
    )
    speed: float = Field(
        1.0,
        ge=0.5,
        le=2,
        description="Pace of the voice. 0.5 is half as fast as usual, 2 twice as fast.",
    )
    volume: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Loudness of the voice, from 0 to 1.",
    )
    command: str = Field(
        "",
        max_length=1000,
        description=(
            "Command that the voice `command` is. It reads a text on its standard input, and writes"
            " a WAV file to its standard output."
        ),
    )
    sounds: bool = Field(
        False,
        description=(
            "Play a short sound when Attune begins to listen, while an answer takes more than two "
            "seconds, and when it understood nothing."
        ),
    )


class UserSettings(Frozen):
    by_voice: bool = Field(
        True,
        description=(
            "Serve the user whose voice is heard, if it is clear. With `false` only `attune users "
            "switch`, or saying it, changes who is served."
        ),
    )


class WakeSettings(Frozen):
    word: Literal["none", "button", "own"] | ReadyMade = Field(
        "none",
        description=(
            "What has to be said before Attune hears anything. `none`: everything is heard. A name "
            "from `attune wake list`: that wake word. `own`: your own phrase, from `attune wake "
            "record`. `button`: only `attune call` opens the microphone."
        ),
    )
    follow_up_seconds: float = Field(
        8.0,
        ge=0,
        le=120,
        description="Time after a reply in which nobody has to call again, in seconds.",
    )
    threshold: Literal["auto"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        "auto",
        description=(
            "How sure a wake word has to be. For a ready-made one the least probability, 0.5 with "
            "`auto`; for your own phrase the largest distance, which `auto` takes from its "
            "recordings and from other speech."
        ),
    )


_SEGMENTER = SegmenterLimits()
"""The segmenter's default limits, which are the defaults of the settings."""


class SegmenterSettings(Frozen):
    start_seconds: float = Field(
        _SEGMENTER.start_seconds,
        gt=0,
        le=2,
        description="Speech, in seconds, that opens a segment.",
    )
    end_silence_seconds: Literal["auto"] | Annotated[float, Field(gt=0, le=5)] = Field(
        "auto",
        description=(
            "Silence, in seconds, that ends what is said. `auto` is learnt from your pauses: short "
            "for a quick speaker, long for somebody who pauses within sentences."
        ),
    )
    max_seconds: float = Field(
        _SEGMENTER.max_seconds,
        gt=1,
        le=29.5,
        description="Longest segment, in seconds. Longer speech is cut into several segments.",
    )
    pre_roll_seconds: float = Field(
        _SEGMENTER.pre_roll_seconds,
        ge=0,
        le=2,
        description="Audio, in seconds, that is kept from before the speech was noticed.",
    )
    post_roll_seconds: float = Field(
        _SEGMENTER.post_roll_seconds,
        ge=0,
        le=5,
        description="Silence, in seconds, that is kept at the end of a segment.",
    )
    min_speech_seconds: float = Field(
        _SEGMENTER.min_speech_seconds,
        ge=0,
        le=5,
        description="Segments with less speech than this, in seconds, are dropped.",
    )
    start_threshold: float = Field(
        _SEGMENTER.start_threshold,
        gt=0,
        lt=1,
        description="Probability of speech at which silence turns into speech.",
    )
    stop_threshold: float = Field(
        _SEGMENTER.stop_threshold,
        gt=0,
        lt=1,
        description="Probability of speech below which speech turns into silence.",
    )

    @model_validator(mode="after")
    def _agree(self) -> "SegmenterSettings":
        self.limits()
        return self

    def limits(self) -> SegmenterLimits:
        """Return these settings in the form that the segmenter takes. Raises ValueError if they
        contradict each other."""
        given = self.model_dump()
        if self.end_silence_seconds == "auto":
            del given["end_silence_seconds"]  # the default, until the person's own is known
        try:
            return SegmenterLimits(**given)
        except ValueError as error:
            raise ValueError(
                f"the settings of [segmenter] contradict each other: {error}"
            ) from None


class EngineSettings(Frozen):
    whisper: str = Field(
        "whisper-tiny.en",
        description=(
            "Speech recogniser: a name from `attune models list`. Both routes use its encoder."
        ),
    )
    language: str = Field(
        "en",
        pattern=r"^[a-z]{2,3}$",
        description=(
            "Language that is spoken, as a code such as `de`. Recognisers whose name ends in `.en` "
            "know English alone."
        ),
    )
    encoder_precision: Literal["auto", "float32", "float16", "int8"] = Field(
        "auto",
        description=(
            "Precision of the speech encoder on a GPU. `auto` is float16. A precision that failed"
            " its accuracy test is not used."
        ),
    )
    language_model: str = Field(
        "smollm2-135m-instruct-q4_1",
        description=(
            "Language model that replies: a name from `attune models list`. `attune models use"
            " NAME` sets it."
        ),
    )
    aligned_language_model: str = Field(
        "smollm2-135m-instruct-q4_1",
        description=(
            "Language model whose vocabulary the projector has learnt, and which ranks what was"
            " heard. A base projector ships for the default; train one to set another."
        ),
    )
    threads: int = Field(
        2,
        ge=1,
        le=64,
        description="Threads for each engine.",
    )


class LanguageModelSettings(Frozen):
    context_tokens: int = Field(
        2048,
        ge=256,
        le=131072,
        description=(
            "Length of the conversation that the language model sees, in tokens. The oldest turns"
            " are left out first."
        ),
    )


class IdleSettings(Frozen):
    enabled: bool = Field(
        True,
        description="Start rounds of training automatically when nobody is talking.",
    )
    quiet_seconds: float = Field(
        600.0,
        ge=0,
        description="Silence, in seconds, before a round may start.",
    )
    min_new_utterances: int = Field(
        20,
        ge=1,
        description="New labelled utterances that a round needs to start.",
    )
    min_minutes_between_rounds: float = Field(
        60.0,
        ge=0,
        description="Shortest time between two rounds, in minutes.",
    )
    hours: Hours = Field(
        "",
        description=(
            "Time of day in which rounds may start automatically, such as `22:00-06:30`. Empty: "
            "any time."
        ),
    )
    max_temperature: float = Field(
        80.0,
        gt=0,
        description=(
            "Highest temperature of any sensor, in degrees Celsius, at which a round may start."
        ),
    )
    min_available_bytes: int = Field(
        1_500_000_000,
        ge=0,
        description="Free memory, in bytes, that a round needs to start.",
    )
    max_gpu_load_percent: float = Field(
        50.0,
        ge=0,
        le=100,
        description="Highest load of an integrated GPU, in percent, at which a round may start.",
    )
    on_battery: bool = Field(
        False,
        description="Train without mains power.",
    )


class AdaptSettings(Frozen):
    training_seconds: float = Field(
        180.0,
        gt=0,
        le=36_000,
        description=(
            "Longest training in a round, in seconds of processor time per thread; pauses do not "
            "count. A round uses at most four utterances per second."
        ),
    )
    projector: bool = Field(
        True,
        description=(
            "Train the projector of the aligned route in each round. Without it a round is "
            "shorter, and that route keeps the projector that it has."
        ),
    )
    hand_over: PlaceOrNone = Field(
        "",
        description=(
            "Folder in which the daemon leaves training jobs for a systemd unit. Empty: the "
            "daemon runs them itself."
        ),
    )
    learning_rate: float = Field(
        2e-4,
        gt=0,
        lt=1,
        description="Learning rate of the optimiser.",
    )
    recogniser_seconds: float = Field(
        180.0,
        ge=0,
        le=36_000,
        description=(
            "Longest training of the personal recogniser in a round, in seconds of processor time "
            "per thread. 0 turns it off."
        ),
    )
    distil_seconds: float = Field(
        0.0,
        ge=0,
        le=36_000,
        description=(
            "Distillation of the language model after the projector is trained, in seconds of "
            "processor time per thread. 0 turns it off."
        ),
    )
    shadow_turns: int = Field(
        0,
        ge=0,
        le=10_000,
        description=(
            "Spoken turns that a better generation is tried on, in shadow, before it takes over. "
            "0: it takes over at once."
        ),
    )
    shadow_days: float = Field(
        7.0,
        gt=0,
        description=(
            "Days in shadow after which a generation is decided on, even after fewer turns."
        ),
    )
    roll_back: bool = Field(
        True,
        description=(
            "Return to the previous generation automatically if the current one is corrected more"
            " often."
        ),
    )
    reply_utterances: int = Field(
        16,
        ge=0,
        description="Held-out utterances of each set whose replies are judged too.",
    )
    min_confidence: float = Field(
        0.85,
        ge=0,
        le=1,
        description=(
            "Lowest confidence, 0 to 1, at which a recognised text is used for training. Less than "
            "0.85 counts as 0.85, up to which a round shows that such texts are right."
        ),
    )

    @property
    def label_confidence(self) -> float:
        """The least confidence of a recognised text that is learnt from."""
        return max(self.min_confidence, LABEL_CONFIDENCE)

    threads: int = Field(
        2,
        ge=1,
        le=64,
        description="Threads for training.",
    )


class BudgetSettings(Frozen):
    bytes: int = Field(
        0,
        ge=0,
        description=(
            "Most memory that all of Attune may use while it trains, in bytes. 0: half of the "
            "machine's memory."
        ),
    )
    unload: bool = Field(
        False,
        description=(
            "Allow a round that would not fit otherwise to close the models that answer. Speech "
            "opens them again."
        ),
    )

    @property
    def allowed_bytes(self) -> int:
        """Bytes that Attune may use on this machine: `bytes`, or half of the memory if that is
        0."""
        return self.bytes or total_bytes() // 2


class StorageSettings(Frozen):
    audio_bytes: int = Field(
        4_000_000_000,
        ge=0,
        description=(
            "Disk space for recordings, in bytes. When it is full, the oldest are deleted; "
            "enrolled and corrected recordings are never deleted."
        ),
    )
    days_of_audio: float = Field(
        365.0,
        ge=0,
        description=(
            "Days for which recordings are kept that were neither enrolled nor corrected."
        ),
    )
    days_of_strangers: float = Field(
        7.0,
        ge=0,
        description="Days for which recordings of voices are kept that are no user's.",
    )
    features_bytes: int = Field(
        2_000_000_000,
        ge=0,
        description=(
            "Disk space for encoder frames and other results that can be computed again, in bytes."
        ),
    )
    days_of_features: float = Field(
        90.0,
        ge=0,
        description="Days for which such results are kept that nothing has used meanwhile.",
    )
    generations: int = Field(
        8,
        ge=1,
        description="Generations to keep besides the base, the current and the previous one.",
    )
    days_of_turns: float = Field(
        365.0,
        ge=0,
        description="Days for which the texts of turns are kept.",
    )
    key_file: PlaceOrNone = Field(
        "",
        description=(
            "File with the key of what is stored. Empty: the credential `attune.key` of systemd; "
            "or else `attune.key` in the user's folder of settings, or in a state folder elsewhere."
        ),
    )


def _checked_address(address: str) -> str:
    """`HOST:PORT`, or empty."""
    host, _, port = address.rpartition(":")
    if address and not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("an address is HOST:PORT, such as 127.0.0.1:10300, or empty")
    return address


class WyomingSettings(Frozen):
    address: Annotated[str, AfterValidator(_checked_address)] = Field(
        "",
        max_length=255,
        description=(
            "Address at which Home Assistant and other clients of Wyoming's are served, such as "
            "`127.0.0.1:10300`. Wyoming knows no passwords: whoever reaches the address can use "
            "it. Empty: nowhere."
        ),
    )
    announce: bool = Field(
        True,
        description=(
            "Announce the address on the network (zeroconf), so that Home Assistant finds it. Not "
            "done for addresses of this machine alone, and for names."
        ),
    )


class TraceSettings(Frozen):
    endpoint: str = Field(
        "",
        max_length=255,
        pattern=r"^(https?://[^\s?#@]+)?$",
        description=(
            "Address of a collector of OpenTelemetry that takes OTLP by HTTP, such as "
            "`http://127.0.0.1:4318`. It gets the times of each turn, and nothing of what was "
            "said. Empty: none."
        ),
    )


class HttpSettings(Frozen):
    address: Annotated[str, AfterValidator(_checked_address)] = Field(
        "",
        max_length=255,
        description=(
            "Address at which OpenAI's clients, health checks and metrics are served, such as "
            "`127.0.0.1:8080`. From other machines every client needs a token; from this one as "
            "soon as there is one (`attune tokens add`). Empty: nowhere."
        ),
    )
    names: str = Field(
        "",
        max_length=2000,
        pattern=r"^([A-Za-z0-9._-]+(, *[A-Za-z0-9._-]+)*)?$",
        description=(
            "Further names by which clients may call this machine, with commas between them, such "
            "as `attune.lan, kitchen.lan`. Its own name and all addresses are known."
        ),
    )
    origins: str = Field(
        "",
        max_length=2000,
        pattern=r"^(https?://[^/, ]+(, *https?://[^/, ]+)*)?$",
        description=(
            "Origins of web pages that may use the address, with commas between them, such as "
            "`https://chat.lan`. Other pages are refused."
        ),
    )

    @property
    def all_names(self) -> list[str]:
        """Each of `names`."""
        return self.names.replace(",", " ").split()

    @property
    def all_origins(self) -> list[str]:
        """Each of `origins`."""
        return self.origins.replace(",", " ").split()


class ControlSettings(Frozen):
    socket: Socket = Field(
        default_factory=default_socket,
        description="UNIX socket through which commands reach the daemon.",
    )


class Settings(Frozen):
    """The whole configuration, checked. Immutable: a changed file takes effect when it is read
    again, at a start or a reload."""

    state_dir: Place = Field(
        default_factory=default_state_dir,
        description="Folder for recordings and everything that was learned. Back this folder up.",
    )
    cache_dir: Place = Field(
        default_factory=default_cache_dir,
        description="Folder for models and results that can be computed again.",
    )
    audio: AudioSettings = AudioSettings()
    conversation: ConversationSettings = ConversationSettings()
    abilities: AbilitySettings = AbilitySettings()
    house: HouseSettings = HouseSettings()
    tools: ToolSettings = ToolSettings()
    speaking: SpeakingSettings = SpeakingSettings()
    wake: WakeSettings = WakeSettings()
    users: UserSettings = UserSettings()
    segmenter: SegmenterSettings = SegmenterSettings()
    engines: EngineSettings = EngineSettings()
    llm: LanguageModelSettings = LanguageModelSettings()
    idle: IdleSettings = IdleSettings()
    adapt: AdaptSettings = AdaptSettings()
    budget: BudgetSettings = BudgetSettings()
    storage: StorageSettings = StorageSettings()
    wyoming: WyomingSettings = WyomingSettings()
    http: HttpSettings = HttpSettings()
    traces: TraceSettings = TraceSettings()
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
    """Return every key, dotted as in `conversation.route`, with its description, in the order of
    the models."""
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
    """Return the value of a dotted key."""
    value: object = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value
