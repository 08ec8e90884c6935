"""The requests that a running daemon takes: one checked type for each command of the control
socket."""

from typing import Annotated, Any, Literal, Self, Union

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from engines.errors import AttuneError
from engines.generations.folder import MAX_NUMBER
from engines.schema import Frozen, first_problem
from engines.wake.own_phrase import LEAST_TAKES, MOST_TAKES, USUAL_TAKES

from ..store.personal_vocabulary import MAX_PHRASES, MAX_WEIGHT
from ..store.store import MAX_LABEL_CHARACTERS
from ..users.users import MOST_NAME_CHARACTERS
from .row_stream import MAX_NAME_CHARACTERS

_MAX_TEXT_CHARACTERS = 8000
_MAX_VOICE_CHARACTERS = 100
_MAX_EXPECTED, _MAX_EXPECTED_CHARACTERS = 200, 200
PhraseText = Annotated[str, Field(min_length=1, max_length=_MAX_EXPECTED_CHARACTERS)]
UtteranceId = Annotated[str, Field(pattern=r"^[0-9a-f]{4,32}$")]
_MAX_ID = 2**63 - 1
"""Largest id that SQLite stores."""


class Request(Frozen):
    """The base of all requests."""

    descriptors: tuple[int, ...] = ()
    """Open files that came with the request; the control socket closes them once it is answered."""

    @model_validator(mode="after")
    def _has_no_nul(self) -> Self:
        """Refuse a NUL character in a text or in the name of a file."""
        if any("\0" in str(value) for _, value in self):
            raise ValueError("a text or a name must not contain a NUL character")
        return self


class GetStatus(Request):
    command: Literal["status"] = "status"


class GetMetrics(Request):
    command: Literal["metrics"] = "metrics"


class Reload(Request):
    """Reload the settings, and open engines that were built since. Requests wait meanwhile."""

    command: Literal["reload"] = "reload"


class Ask(Request):
    """Answer `text`, or the recording that is handed over, by `route` or by the route in use.
    `audio` is the recording's name in messages."""

    command: Literal["ask"] = "ask"
    text: str | None = Field(None, min_length=1, max_length=_MAX_TEXT_CHARACTERS)
    audio: str | None = Field(None, max_length=MAX_NAME_CHARACTERS)
    route: str | None = None
    expected: tuple[PhraseText, ...] = Field((), max_length=_MAX_EXPECTED)
    """Phrases that are likelier in this recording than other words, beside the user's own."""


class Listen(Request):
    """Play the recording that is handed over through the capture path. `speed` 1 is real time, 0 as
    fast as possible; `audio` is the recording's name in messages."""

    command: Literal["listen"] = "listen"
    audio: str = Field(max_length=MAX_NAME_CHARACTERS)
    speed: float = Field(0.0, ge=0, le=1000)
    route: str | None = None
    expected: tuple[PhraseText, ...] = Field((), max_length=_MAX_EXPECTED)


class Say(Request):
    """Say `text` aloud, in `voice` or in the usual one."""

    command: Literal["say"] = "say"
    text: str = Field(min_length=1, max_length=_MAX_TEXT_CHARACTERS)
    voice: str | None = Field(None, max_length=_MAX_VOICE_CHARACTERS)


class StopSpeaking(Request):
    """End the current reply, and fall silent."""

    command: Literal["stop"] = "stop"


class Call(Request):
    """Begin to hear what is said, as after a wake word; or end the turn that is being spoken, and
    hear nothing more until somebody calls again."""

    command: Literal["call"] = "call"
    action: Literal["begin", "end"] = "begin"


class LearnPhrase(Request):
    """Learn the phrase by which the user calls: from `takes` recordings that the microphone is to
    make, or from those that come through the socket that is handed over, as `Enroll` has them."""

    command: Literal["learn_phrase"] = "learn_phrase"
    text: PhraseText
    takes: int = Field(USUAL_TAKES, ge=LEAST_TAKES, le=MOST_TAKES)


class SetConsent(Request):
    """Note whether the user agrees that what is said is kept, and learned from; None only asks what
    was decided."""

    command: Literal["consent"] = "consent"
    agreed: bool | None = None
    by: Literal["command line", "page"] = "command line"
    """Where the user was asked."""


class ListKept(Request):
    """List the recordings that are kept, the latest first: those of a time, or in which a word was
    said."""

    command: Literal["kept"] = "kept"
    since: float | None = None
    """Seconds since the epoch."""
    until: float | None = None
    word: str = Field("", max_length=_MAX_EXPECTED_CHARACTERS)
    to_review: bool = False
    """Only those whose label nobody has confirmed, the least certain first."""
    most: int = Field(100, ge=1, le=1000)


class LabelKept(Request):
    """Confirm what one recording says: `text`, or its label as it is."""

    command: Literal["label"] = "label"
    utterance: UtteranceId
    text: str | None = Field(None, min_length=1, max_length=MAX_LABEL_CHARACTERS)


class PlayKept(Request):
    """Play one recording by the loudspeaker."""

    command: Literal["play"] = "play"
    utterance: UtteranceId


UserName = Annotated[str, Field(min_length=1, max_length=MOST_NAME_CHARACTERS)]


class ManageUsers(Request):
    """List the users; add one; give `name` the name `to`; serve `name`; make the users `name` and
    `to` one, who is `to`; or make one two: the recordings that `name` enrolled and that sound like
    `utterances` are `to`'s from now on."""

    command: Literal["users"] = "users"
    action: Literal["list", "add", "rename", "serve", "merge", "split"] = "list"
    name: UserName | None = None
    to: UserName | None = None
    utterances: tuple[UtteranceId, ...] = Field((), max_length=1000)

    @model_validator(mode="after")
    def _names_who(self) -> Self:
        named = (self.name is not None, self.to is not None)
        wanted = {"list": (False, False), "add": (True, False), "serve": (True, False)}
        if named != wanted.get(self.action, (True, True)):
            raise ValueError("name the users that it is about")
        if bool(self.utterances) != (self.action == "split"):
            raise ValueError("recordings are named to split a user, and only then")
        return self


class AssignUtterances(Request):
    """Note whose voice recordings are: a user's, or nobody's of them."""

    command: Literal["assign"] = "assign"
    utterances: tuple[UtteranceId, ...] = Field(min_length=1, max_length=1000)
    user: UserName | None = None


class Forget(Request):
    """Forget what was said, with everything that was made of it and learnt from it; or, with
    `only_plan`, tell what that would be."""

    command: Literal["forget"] = "forget"
    utterances: tuple[UtteranceId, ...] = Field((), max_length=1000)
    """Ids, or beginnings of ids that name one each."""
    turn: int | None = Field(None, ge=0, le=_MAX_ID)
    """Number of a turn; 0 for the last one."""
    since: float | None = None
    """Seconds since the epoch."""
    until: float | None = None
    word: str = Field("", max_length=_MAX_EXPECTED_CHARACTERS)
    user: UserName | None = None
    """All of one user, and the user."""
    strangers: bool = False
    """All recordings of voices that are no user's."""
    everything: bool = False
    only_plan: bool = False

    @model_validator(mode="after")
    def _names_one_thing(self) -> Self:
        span = self.since is not None or self.until is not None
        given = [
            self.utterances,
            self.turn is not None,
            span,
            self.word,
            self.user,
            self.strangers,
            self.everything,
        ]
        if sum(map(bool, given)) != 1:
            raise ValueError("name utterances, a turn, a time, a word, a user, or everything")
        return self


class RotateKeys(Request):
    """Encrypt everything that is stored with a new key."""

    command: Literal["rotate_keys"] = "rotate_keys"


class SetMode(Request):
    """Use what is heard in another way from now on."""

    command: Literal["mode"] = "mode"
    mode: Literal["assistant", "repeat", "dictate"]


class Follow(Request):
    """Follow all events; with `levels` also how loud the microphone is, ten times a second."""

    command: Literal["events"] = "events"
    levels: bool = False


class Adapt(Request):
    """Start a round and follow it, or follow the running one; cancel the running one; or plan one
    without starting it."""

    command: Literal["adapt"] = "adapt"
    action: Literal["start", "cancel", "plan"] = "start"


class Correct(Request):
    """Correct turn `turn`, or the last spoken turn: `text` is what was really said."""

    command: Literal["correct"] = "correct"
    text: str = Field(min_length=1, max_length=MAX_LABEL_CHARACTERS)
    turn: int | None = Field(None, ge=0, le=_MAX_ID)


class Enroll(Request):
    """Enrol the rows that come through the socket that is handed over, each with its open
    recording. With `replace`, their texts replace those that the recordings had before."""

    command: Literal["enroll"] = "enroll"
    replace: bool = False


class Explain(Request):
    """Explain generation `number`, or how the last round ended and what speaks for and against the
    generation that it wrote."""

    command: Literal["why"] = "why"
    number: int | None = Field(None, ge=0, le=MAX_NUMBER)


class MoveGeneration(Request):
    """Move the pointer to the current generation. Listing generations needs no request: they can be
    read from the disk."""

    command: Literal["generations"] = "generations"
    action: Literal["promote", "rollback"]
    number: int | None = Field(None, ge=0, le=MAX_NUMBER)


class NewPhrase(Frozen):
    """A phrase to add to the vocabulary."""

    text: str = Field(min_length=1, max_length=_MAX_EXPECTED_CHARACTERS)
    weight: float = Field(1.0, gt=0, le=MAX_WEIGHT, allow_inf_nan=False)


class ChangeVocabulary(Request):
    """Add and remove phrases, and return the vocabulary. A recording that is handed over is one of
    the only phrase in `add`; `audio` is its name in messages."""

    command: Literal["vocabulary"] = "vocabulary"
    add: tuple[NewPhrase, ...] = Field((), max_length=MAX_PHRASES)
    remove: tuple[PhraseText, ...] = Field((), max_length=MAX_PHRASES)
    audio: str | None = Field(None, max_length=MAX_NAME_CHARACTERS)


KINDS: tuple[type[Request], ...] = (
    GetStatus,
    GetMetrics,
    Reload,
    Ask,
    Listen,
    Say,
    StopSpeaking,
    Call,
    LearnPhrase,
    SetMode,
    SetConsent,
    ListKept,
    LabelKept,
    PlayKept,
    ManageUsers,
    AssignUtterances,
    Forget,
    RotateKeys,
    Follow,
    Adapt,
    ChangeVocabulary,
    Correct,
    Enroll,
    Explain,
    MoveGeneration,
)
"""All requests."""
_REQUESTS: TypeAdapter[Request] = TypeAdapter(
    Annotated[Union[KINDS], Field(discriminator="command")]  # type: ignore[arg-type] # noqa: UP007
)


def read_request(message: dict[str, Any]) -> Request:
    """Read the request in a client's message. Raises AttuneError if it is malformed."""
    try:
        return _REQUESTS.validate_python(message)
    except ValidationError as error:
        where, what = first_problem(error)
        told = f"{where or 'the request'}: {what}"
        raise AttuneError(f"{told}; `attune --help` lists the commands") from error
