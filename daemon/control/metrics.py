"""Figures for machines: what happens is counted, what is so is looked up when it is asked for; as
text in Prometheus' format.

Knows no network: `attune metrics` prints the text, for a collector of text files.
"""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..events import Event

_FIRST_TOKEN_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_STATES = ("waiting", "training", "paused", "judging", "stopped")


class Metrics:
    """Since the daemon started."""

    def __init__(self, status: Callable[[], Event]) -> None:
        """`status` gives what `attune status` shows."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_Now(status))
        self._turns = Counter(
            "attune_turns", "Turns that ended.", ["route", "outcome"], registry=self._registry
        )
        self._first_tokens = Histogram(
            "attune_first_token_seconds",
            "From the end of speech to the first piece of the reply.",
            ["route"],
            buckets=_FIRST_TOKEN_SECONDS,
            registry=self._registry,
        )
        self._rounds = Counter(
            "attune_rounds", "Rounds of training that ended.", ["outcome"], registry=self._registry
        )
        self._rollbacks = Counter(
            "attune_rollbacks", "Generations that gave way by themselves.", registry=self._registry
        )
        self._shadows = Counter(
            "attune_shadows",
            "Generations that left the shadow.",
            ["outcome"],
            registry=self._registry,
        )

    def note(self, event: Event) -> None:
        """Count an event. Takes microseconds, from any thread."""
        match event["event"]:
            case "turn":
                route, first_token_ms = str(event["route"]), event["first_token_ms"]
                ended = (
                    "asked_back"
                    if event["asked_back"]
                    else "interrupted"
                    if event["interrupted"]
                    else "answered"
                )
                self._turns.labels(route, ended).inc()
                if first_token_ms is not None:
                    self._first_tokens.labels(route).observe(float(str(first_token_ms)) / 1000)
            case "turn_failed":
                self._turns.labels("", "failed").inc()
            case "adaptation" if outcome := event.get("outcome"):
                self._rounds.labels(str(outcome)).inc()
            case "rolled_back":
                self._rollbacks.inc()
            case "shadow_ended":
                self._shadows.labels(str(event["outcome"])).inc()
            case _:
                pass

    def text(self) -> str:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry).decode()


class _Now(Collector):
    """What is so at the moment of asking."""

    def __init__(self, status: Callable[[], Event]) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        return []  # or registering would ask for a status before there is one

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Any] = self._status()
        counts, learning = found["counts"], found["adaptation"]
        yield GaugeMetricFamily(
            "attune_generation",
            "Number of the generation that is served.",
            _or_nan(found["generation"]),
        )
        yield GaugeMetricFamily(
            "attune_models_unloaded",
            "1 while a round has the models' memory.",
            float(found["unloaded"]),
        )
        yield GaugeMetricFamily(
            "attune_problems", "Problems that `attune status` shows.", len(found["problems"])
        )
        yield GaugeMetricFamily(
            "attune_utterances", "Utterances that are kept.", counts["utterances"]
        )
        yield GaugeMetricFamily(
            "attune_new_labels",
            "Utterances labelled since the last finished round.",
            counts["new_labels"],
        )
        yield GaugeMetricFamily(
            "attune_shadow_turns", "Turns heard in shadow.", (found["shadow"] or {}).get("turns", 0)
        )
        state = GaugeMetricFamily(
            "attune_adaptation", "1 for what adaptation is doing.", labels=["state"]
        )
        for name in _STATES:
            state.add_metric([name], float(learning["state"] == name))
        yield state
        yield CounterMetricFamily(
            "attune_training_pauses", "Times that speech stopped training.", learning["pauses"]
        )
        latency_ms = learning["pause_latency_ms"]
        yield GaugeMetricFamily(
            "attune_training_pause_seconds",
            "99th percentile from the onset of speech until training stands still.",
            _or_nan(None if latency_ms is None else latency_ms / 1000),
        )
        for name, meaning in (
            ("budget", "What a round may take Attune to."),
            ("predicted", "What the last round was predicted to take Attune to."),
            ("most_used", "What the last round took Attune to at most."),
        ):
            yield GaugeMetricFamily(
                f"attune_round_{name}_bytes", meaning, _or_nan(learning[f"{name}_bytes"])
            )


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)
