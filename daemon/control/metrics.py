"""Metrics in Prometheus' text format: events are counted as they happen, and states are read when
the text is asked for.

Knows no network: `attune metrics` prints the text, and HTTP serves it.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..events.bus import Events
from ..events.learning import AdaptationChanged, RolledBack, ShadowEnded
from ..events.service import Status
from ..events.speaking import ReplySaid
from ..events.turns import Heard, SpeechEnded, TurnAnswered, TurnFailed

_STAGE_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_MOST_OPEN_TURNS = 100
_STATES = ("waiting", "training", "paused", "judging", "stopped")


class Metrics:
    """The daemon's metrics, counted since it started."""

    def __init__(self, status: Callable[[], Status], events: Events) -> None:
        """`status` gives what `attune status` shows; `events` are counted from now on."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_Now(status))
        self._turns = Counter(
            "attune_turns", "Turns that ended.", ["route", "outcome"], registry=self._registry
        )
        self._first_tokens = self._stage(
            "first_token", "From the end of speech to the first piece of the reply.", ["route"]
        )
        self._replies = self._stage(
            "reply", "From the end of speech to the end of the written reply.", ["route"]
        )
        self._hearing = self._stage(
            "hearing", "From the end of a turn to the words that the cascade heard."
        )
        self._silences = self._stage(
            "endpoint", "From the last sound of speech until the turn was taken for ended."
        )
        self._spans = self._stage(
            "turn_span",
            "A part of the work on a turn: encode, read, rescore, or prefill.",
            ["span"],
        )
        self._first_sounds = self._stage(
            "first_sound", "From the end of speech to the first sound of the reply."
        )
        self._ended_at: dict[int, float] = {}
        """When the last turns ended that were not heard yet, by `time.monotonic`."""
        self._heard_early: dict[int, None] = {}
        """The last turns that were heard before their end was certain."""
        self._requests = Histogram(
            "attune_http_request_seconds",
            "Requests by HTTP, until their answers ended.",
            ["path", "status"],
            buckets=_REQUEST_SECONDS,
            registry=self._registry,
        )
        self._rounds = Counter(
            "attune_rounds", "Rounds of training that ended.", ["outcome"], registry=self._registry
        )
        self._rollbacks = Counter(
            "attune_rollbacks",
            "Generations that were rolled back automatically.",
            registry=self._registry,
        )
        self._shadows = Counter(
            "attune_shadows",
            "Candidates whose time in shadow ended.",
            ["outcome"],
            registry=self._registry,
        )

        events.subscribe(TurnAnswered, self._note_turn)
        events.subscribe(SpeechEnded, self._note_end)
        events.subscribe(Heard, self._note_heard)
        events.subscribe(ReplySaid, self._note_sound)
        events.subscribe(TurnFailed, lambda _: self._turns.labels("", "failed").inc())
        events.subscribe(AdaptationChanged, self._note_round)
        events.subscribe(RolledBack, lambda _: self._rollbacks.inc())
        events.subscribe(ShadowEnded, lambda event: self._shadows.labels(event.outcome).inc())

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request by HTTP: the path of its kind, and how long it took."""
        self._requests.labels(path, str(status)).observe(seconds)

    def _stage(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Histogram:
        return Histogram(
            f"attune_{name}_seconds",
            meaning,
            labels,
            buckets=_STAGE_SECONDS,
            registry=self._registry,
        )

    def _note_end(self, event: SpeechEnded) -> None:
        self._silences.observe(event.silence_seconds)
        if event.turn in self._heard_early:
            self._hearing.observe(0.0)
            return
        self._ended_at[event.turn] = time.monotonic()
        while len(self._ended_at) > _MOST_OPEN_TURNS:  # turns that nobody heard
            del self._ended_at[next(iter(self._ended_at))]

    def _note_heard(self, event: Heard) -> None:
        ended_at = self._ended_at.pop(event.turn, None)
        if ended_at is not None:
            self._hearing.observe(time.monotonic() - ended_at)
        elif event.source == "microphone":
            self._heard_early[event.turn] = None
            while len(self._heard_early) > _MOST_OPEN_TURNS:
                del self._heard_early[next(iter(self._heard_early))]

    def _note_sound(self, event: ReplySaid) -> None:
        if event.first_sound_ms is not None:
            self._first_sounds.observe(event.first_sound_ms / 1000)

    def _note_turn(self, event: TurnAnswered) -> None:
        ended = (
            "asked_back" if event.asked_back else "interrupted" if event.interrupted else "answered"
        )
        self._turns.labels(event.route, ended).inc()
        if event.first_token_ms is not None:
            self._first_tokens.labels(event.route).observe(event.first_token_ms / 1000)
        self._replies.labels(event.route).observe(event.reply_ms / 1000)
        for name in {one.name for one in event.spans}:
            took_ms = sum(one.ended_ms - one.began_ms for one in event.spans if one.name == name)
            self._spans.labels(name).observe(took_ms / 1000)

    def _note_round(self, event: AdaptationChanged) -> None:
        if event.outcome is not None:
            self._rounds.labels(event.outcome).inc()

    def text(self) -> str:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry).decode()


class _Now(Collector):
    """Collects the metrics that are read from the status at the moment of asking."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        return []  # or registering would ask for a status before there is one

    def collect(self) -> Iterable[Metric]:
        found = self._status()
        counts, learning = found.counts, found.adaptation
        yield GaugeMetricFamily(
            "attune_generation",
            "Number of the generation that is served.",
            _or_nan(found.generation),
        )
        yield GaugeMetricFamily(
            "attune_models_unloaded",
            "1 while the serving models are unloaded for a round.",
            float(found.unloaded),
        )
        yield GaugeMetricFamily(
            "attune_problems", "Problems that `attune status` shows.", len(found.problems)
        )
        yield GaugeMetricFamily("attune_utterances", "Utterances that are kept.", counts.utterances)
        yield GaugeMetricFamily(
            "attune_new_labels",
            "Utterances labelled since the last finished round.",
            counts.new_labels,
        )
        yield GaugeMetricFamily(
            "attune_shadow_turns",
            "Turns heard in shadow.",
            found.shadow.turns if found.shadow else 0,
        )
        state = GaugeMetricFamily(
            "attune_adaptation", "1 for the current state of adaptation.", labels=["state"]
        )
        for name in _STATES:
            state.add_metric([name], float(learning.state == name))
        yield state
        yield CounterMetricFamily(
            "attune_training_pauses", "Times that speech stopped training.", learning.pauses
        )
        latency_ms = learning.pause_latency_ms
        yield GaugeMetricFamily(
            "attune_training_pause_seconds",
            "99th percentile from the onset of speech until training stands still.",
            _or_nan(None if latency_ms is None else latency_ms / 1000),
        )
        for name, meaning, size_bytes in (
            ("budget", "Memory that Attune may use in a round.", learning.budget_bytes),
            (
                "predicted",
                "Memory that Attune was predicted to use in the last round.",
                learning.predicted_bytes,
            ),
            (
                "most_used",
                "Most memory that Attune used in the last round.",
                learning.most_used_bytes,
            ),
        ):
            yield GaugeMetricFamily(f"attune_round_{name}_bytes", meaning, _or_nan(size_bytes))


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)
