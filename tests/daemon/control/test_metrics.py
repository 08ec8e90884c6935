"""Figures for machines: in Prometheus' format, of what really happened."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from daemon.control.metrics import Metrics
from daemon.events.bus import Events
from daemon.events.learning import AdaptationChanged, RolledBack, ServingChanged, ShadowEnded
from daemon.events.service import Status
from daemon.events.speaking import ReplySaid
from daemon.events.turns import Heard, SpeechBegan, SpeechEnded, TurnFailed
from engines.audio.recordings import write_flac
from tests.support.fakes import tone, write_base
from tests.support.running_daemon import Daemon, Start, enroll, folder, start

__all__ = ["folder", "start"]


def samples(daemon: Daemon) -> dict[str, float]:
    """By the name and the values of the labels, as in `attune_turns_total answered cascade`."""
    families = text_string_to_metric_families(str(daemon.do("metrics")[0]["text"]))
    return {
        " ".join([one.name, *one.labels.values()]): one.value
        for family in families
        for one in family.samples
    }


def test_turns_rounds_and_what_is_so_are_told(start: Start, folder: Path) -> None:
    write_base(folder / "state" / "generations")
    daemon = start()
    before = samples(daemon)
    assert before["attune_generation"] == 0
    assert before["attune_adaptation waiting"] == 1
    assert before["attune_training_pause_seconds"] != before["attune_training_pause_seconds"], (
        "nothing was measured yet"
    )
    assert "attune_turns_total answered cascade" not in before
    enroll(daemon, folder)
    write_flac(folder / "said.flac", tone(1.0, 440))
    for _ in range(3):
        daemon.do("ask", audio=folder / "said.flac", route="cascade")
    daemon.do("ask", text="hello")
    daemon.do("adapt")
    after = samples(daemon)
    assert (
        after["attune_turns_total answered cascade"]
        == after["attune_first_token_seconds_count cascade"]
        == 3
    )
    assert after["attune_turns_total answered text"] == 1
    assert 0 < after["attune_first_token_seconds_sum cascade"] < 60
    assert after["attune_rounds_total promoted"] == 1
    assert (after["attune_generation"], after["attune_utterances"]) == (1, 21)
    assert after["attune_round_predicted_bytes"] > after["attune_round_most_used_bytes"] > 0
    assert after["process_resident_memory_bytes"] > 10_000_000


def test_the_stages_of_a_turn_are_timed() -> None:
    events = Events()
    metrics = Metrics(no_status, events)
    events.publish(Heard(turn=5, source="microphone", text="begun early"))
    events.publish(SpeechEnded(turn=5, silence_seconds=0.5))
    events.publish(SpeechEnded(turn=7, silence_seconds=0.5))
    events.publish(Heard(turn=6, source="text", text="typed"))
    events.publish(Heard(turn=7, source="microphone", text="said"))
    events.publish(Heard(turn=7, source="microphone", text="said once more"))
    said = {"source": "microphone", "seconds": 1.0, "stopped": False}
    events.publish(ReplySaid(turn=7, first_sound_ms=800.0, **said))
    events.publish(ReplySaid(turn=8, first_sound_ms=None, **said))
    for turn in range(500):
        events.publish(SpeechEnded(turn=100 + turn, silence_seconds=0.5))
        events.publish(Heard(turn=1000 + turn, source="microphone", text="begun early"))
    found = {
        sample.name: sample.value
        for kind in (metrics._hearing, metrics._first_sounds, metrics._silences)
        for family in kind.collect()
        for sample in family.samples
    }
    assert found["attune_hearing_seconds_count"] == 2
    assert found["attune_endpoint_seconds_count"] == 502
    assert found["attune_endpoint_seconds_sum"] == 251
    assert found["attune_first_sound_seconds_count"] == 1
    assert found["attune_first_sound_seconds_sum"] == 0.8
    assert len(metrics._ended_at) == len(metrics._heard_early) == 100


def no_status() -> Status:
    raise AssertionError("nobody asks for the status")


def test_events_of_no_interest_are_passed_over() -> None:
    events = Events()
    metrics = Metrics(no_status, events)
    events.publish(SpeechBegan())
    events.publish(ServingChanged(generation=1, route="cascade"))
    events.publish(AdaptationChanged(state="training"))
    events.publish(RolledBack(generation=1, reason=""))
    events.publish(ShadowEnded(generation=1, outcome="refused", reason=""))
    events.publish(TurnFailed(turn=1, source="text", problem="full"))
    assert metrics._rollbacks._value.get() == 1
    assert metrics._shadows.labels("refused")._value.get() == 1
    assert metrics._turns.labels("", "failed")._value.get() == 1
