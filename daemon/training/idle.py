"""Decides whether a round of training may start, or go on, now. Pure: knows no clock, no sensor and
no process."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from ..privacy.consent import HOW

_PAUSED = "training is paused by the user"
_NOT_AGREED = f"nobody has agreed to it: {HOW}"


@dataclass(frozen=True)
class Board:
    """Readings of the machine's sensors; None if there is no such sensor."""

    available_bytes: int
    """Memory that is available without swapping."""
    disk_free_bytes: int
    """Free space on the file system of the state folder."""
    load_per_core: float = 0.0
    """Mean number of runnable processes over the last minute, per processor core."""
    memory_pressure_percent: float | None = None
    """Share of the last ten seconds in which some process waited for memory."""
    temperature_celsius: float | None = None
    """Temperature of the hottest sensor."""
    gpu_load_percent: float | None = None
    """Load of an integrated GPU, which shares memory and heat with the rest of the machine."""
    power_mode: str | None = None
    """The number of the power mode that a Jetson is set to, shown to the user; no decision depends
    on it."""
    on_battery: bool = False


@dataclass(frozen=True)
class Snapshot:
    """Everything that the decision rests on. Times are ages: `inf` if it never happened."""

    board: Board
    labelled_utterances: int
    """Number of utterances that a round could train on or judge by."""
    new_utterances: int
    """Number of utterances labelled since the last finished round."""
    speaking: bool = False
    seconds_since_speech: float = inf
    seconds_since_round: float = inf
    """Age of the last round that finished, whatever its verdict."""
    consecutive_failures: int = 0
    """Number of rounds in a row that failed, were killed or hung."""
    seconds_since_failure: float = inf
    paused: bool = False
    """Whether the user has paused training."""
    agreed: bool = True
    """Whether the user agreed that Attune learns."""
    in_shadow: int | None = None
    """The generation that runs in shadow before it is promoted; None if none does."""
    minute_of_day: int | None = 0
    """Minute of the day, 0 to 1439, by the wall clock; None if that was never set."""


@dataclass(frozen=True)
class Limits:
    """When a round may start and go on. The first eight fields are settings of `[idle]`."""

    quiet_seconds: float
    """Seconds without speech before a round starts."""
    min_new_utterances: int
    min_minutes_between_rounds: float
    min_available_bytes: int
    """Memory that must be available to start a round."""
    max_temperature_celsius: float
    """Highest temperature at which a round may start."""
    max_gpu_load_percent: float
    """Highest load of the GPU at which a round may start: above it, another program uses the GPU.
    The load of the round itself does not end it."""
    hours: tuple[int, int] | None
    """First minute of the day at which a round may start automatically, and the first at which it
    may not; across midnight if the second is smaller. None: at any time."""
    on_battery: bool
    """Whether training may run without mains power."""
    min_utterances: int = 20
    floor_available_bytes: int = 300_000_000
    """Memory that must be available for a round to go on; by then it holds its own memory."""
    min_disk_free_bytes: int = 500_000_000
    max_load_per_core: float = 4.0
    """Highest load at which a round may start automatically."""
    max_memory_pressure_percent: float = 10.0
    temperature_margin_celsius: float = 10.0
    """A running round ends this many degrees above `max_temperature_celsius`."""
    retry_seconds: float = 60.0
    """Seconds to wait after one failure; each further failure doubles them."""
    max_retry_seconds: float = 6 * 3600.0


@dataclass(frozen=True)
class Decision:
    run: bool
    reason: str
    """The reason in one plain sentence, with the figures."""


def decide(snapshot: Snapshot, limits: Limits) -> Decision:
    """Decide whether to start a round automatically. The reason is the first obstacle, or what the
    round would learn from."""
    obstacle = next(_obstacles(snapshot, limits), None)
    if obstacle is not None:
        return Decision(False, obstacle)
    return Decision(
        True,
        f"quiet, with {snapshot.new_utterances} new labelled utterances of"
        f" {snapshot.labelled_utterances}",
    )


def agreed(snapshot: Snapshot) -> Decision:
    """Decide whether what was learnt may serve: not if the user does not agree, or no longer."""
    return Decision(snapshot.agreed, "agreed" if snapshot.agreed else _NOT_AGREED)


def may_start(snapshot: Snapshot, limits: Limits) -> Decision:
    """Decide whether the machine allows a round that the user asked for. A pause, quiet, history,
    numbers and load do not matter then; whether the user agreed to learning does.

    On a machine that other programs keep busy, the round has low priority: it takes longer, but it
    ends.
    """
    if not snapshot.agreed:
        return Decision(False, _NOT_AGREED)
    obstacle = next(_machine_obstacles(snapshot.board, limits), None)
    return Decision(obstacle is None, obstacle or "asked for")


def may_go_on(snapshot: Snapshot, limits: Limits) -> Decision:
    """Decide whether a running round may go on. The limits are laxer than at the start, so that the
    load of the round does not end the round."""
    board = snapshot.board
    if not snapshot.agreed:
        return Decision(False, _NOT_AGREED)
    if snapshot.paused:
        return Decision(False, _PAUSED)
    if not board.available_bytes >= limits.floor_available_bytes:
        return Decision(
            False,
            f"only {_mb(board.available_bytes)} of memory left, {_mb(limits.floor_available_bytes)}"
            " needed to go on",
        )
    hottest = limits.max_temperature_celsius + limits.temperature_margin_celsius
    if board.temperature_celsius is not None and not board.temperature_celsius <= hottest:
        return Decision(
            False,
            f"the board is at {board.temperature_celsius:.0f} °C, {hottest:.0f} °C allowed while"
            " training",
        )
    if board.on_battery and not limits.on_battery:
        return Decision(False, "mains power was lost")
    return Decision(True, "nothing stands in the way")


def retry_wait_seconds(consecutive_failures: int, limits: Limits) -> float:
    """Return the seconds to wait after so many failures in a row: 0 after none, doubled by each
    failure, up to `max_retry_seconds`."""
    if consecutive_failures <= 0:
        return 0.0
    return min(
        limits.retry_seconds * 2.0 ** min(consecutive_failures - 1, 60), limits.max_retry_seconds
    )


def _obstacles(snapshot: Snapshot, limits: Limits) -> Iterator[str]:
    # Every comparison is written so that a reading which is not a number counts as an obstacle.
    if not snapshot.agreed:
        yield _NOT_AGREED
    if snapshot.paused:
        yield _PAUSED
    if snapshot.speaking:
        yield "somebody is speaking"
    if limits.hours is not None:
        first, last = map(_clock, limits.hours)
        if snapshot.minute_of_day is None:
            yield (
                f"rounds start automatically from {first} to {last}, but the clock of this machine"
                " was never set"
            )
        elif not _within(snapshot.minute_of_day, *limits.hours):
            yield (
                f"it is {_clock(snapshot.minute_of_day)}, rounds start automatically from {first}"
                f" to {last}"
            )
    if not snapshot.seconds_since_speech >= limits.quiet_seconds:
        yield (
            f"last speech {snapshot.seconds_since_speech:.0f} s ago, {limits.quiet_seconds:.0f} s"
            " of quiet needed"
        )
    if not snapshot.labelled_utterances >= limits.min_utterances:
        yield f"{snapshot.labelled_utterances} labelled utterances, {limits.min_utterances} needed"
    if not snapshot.new_utterances >= limits.min_new_utterances:
        yield (
            f"{snapshot.new_utterances} new labelled utterances since the last round,"
            f" {limits.min_new_utterances} needed"
        )
    if not snapshot.seconds_since_round >= limits.min_minutes_between_rounds * 60:
        yield (
            f"last round {snapshot.seconds_since_round / 60:.0f} minutes ago,"
            f" {limits.min_minutes_between_rounds:.0f} needed"
        )
    if snapshot.in_shadow is not None:
        yield (
            f"generation {snapshot.in_shadow:04d} is in shadow; the next round starts when it is"
            " promoted or dropped"
        )
    wait = retry_wait_seconds(snapshot.consecutive_failures, limits)
    if not snapshot.seconds_since_failure >= wait:
        failures = (
            f"{snapshot.consecutive_failures} failed"
            f" round{'s' if snapshot.consecutive_failures > 1 else ''} in a row"
        )
        yield (
            f"{failures}, the last {snapshot.seconds_since_failure:.0f} s ago; trying again after"
            f" {wait:.0f} s"
        )
    if not snapshot.board.load_per_core <= limits.max_load_per_core:
        yield (
            f"load {snapshot.board.load_per_core:.1f} per core, at most"
            f" {limits.max_load_per_core:.1f} allowed"
        )
    yield from _machine_obstacles(snapshot.board, limits)


def _machine_obstacles(board: Board, limits: Limits) -> Iterator[str]:
    if not board.available_bytes >= limits.min_available_bytes:
        yield (
            f"{_mb(board.available_bytes)} of memory available, {_mb(limits.min_available_bytes)}"
            " needed"
        )
    if not board.disk_free_bytes >= limits.min_disk_free_bytes:
        yield (
            f"{_mb(board.disk_free_bytes)} free on the disk, {_mb(limits.min_disk_free_bytes)}"
            " needed"
        )
    pressure, celsius = board.memory_pressure_percent, board.temperature_celsius
    if pressure is not None and not pressure <= limits.max_memory_pressure_percent:
        yield (
            f"memory pressure {pressure:.0f} %, at most {limits.max_memory_pressure_percent:.0f} %"
            " allowed"
        )
    if celsius is not None and not celsius <= limits.max_temperature_celsius:
        allowed = f"{limits.max_temperature_celsius:.0f} °C"
        yield f"the board is at {celsius:.0f} °C, at most {allowed} allowed"
    if (
        board.gpu_load_percent is not None
        and not board.gpu_load_percent <= limits.max_gpu_load_percent
    ):
        yield (
            f"the GPU is at {board.gpu_load_percent:.0f} %, at most"
            f" {limits.max_gpu_load_percent:.0f} % allowed"
        )
    if board.on_battery and not limits.on_battery:
        yield "running on battery"


def _within(minute: int, first: int, last: int) -> bool:
    return first <= minute < last if first < last else minute >= first or minute < last


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
