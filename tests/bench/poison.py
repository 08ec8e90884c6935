"""`make poison`: whether false labels make what is served worse, or earn a route that they should
not. Prints JSON.

A user reads an enrolment of which a share is poisoned in one of six ways; a daemon that has learnt
nothing takes it up and runs a round. Requests of that user that were never enrolled are put to the
aligned route before and after. Exits with 1 where the user is heard worse by more than chance, or a
route is earned above 25 % of word error on these requests.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from calibration.evaluation.text_scores import word_errors
from daemon.client.enrolling import enroll
from daemon.client.socket_client import request
from daemon.client.temporary_daemon import private_daemon
from daemon.control.server import Message
from daemon.serving.earned_route import HEARS_WELL
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ
from tests.bench.world import Rows, fresh_state, settings_of, speak, write_rows

Counts = list[tuple[int, int]]
"""Wrong, missing and added words of each request, and the words of its text."""

_INVENTED = (
    "zibble quorn flabben mosterick plive drunter skaff ombrel yentish cloffer bazzen wurple tindle"
    " grob".split()
)
_GERMAN = (
    "Mach bitte das Licht in der {} an.",
    "Wie warm ist es in der {}?",
    "Stell die Heizung in der {} auf zwanzig Grad.",
    "Spiel Musik in der {}.",
    "Schließ die Fenster in der {}.",
)
_GERMAN_ROOMS = (
    "Küche",
    "Garage",
    "Werkstatt",
    "Bibliothek",
    "Diele",
    "Kammer",
    "Stube",
    "Waschküche",
    "Halle",
    "Laube",
)
_RESAMPLES = 2000


def main() -> None:
    """Poison an enrolment in each way and by each share, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--training-seconds", type=float, default=30.0)
    parser.add_argument("--enrolled", type=int, default=96, help="rows of the enrolment")
    parser.add_argument("--asked", type=int, default=40, help="requests that are never enrolled")
    parser.add_argument("--kinds", default=",".join(_KINDS), help="of poison, with commas between")
    parser.add_argument(
        "--shares",
        default="0.2,0.5,1",
        help="of the enrolment that is poisoned, with commas between",
    )
    arguments = parser.parse_args()
    found: dict[str, Message] = {}
    with tempfile.TemporaryDirectory(prefix="attune-poison-") as name:
        folder = Path(name)
        rows = speak(folder / "atypical", "atypical")
        # The last rows are of the templates with the most words to fill in.
        random.Random(0).shuffle(rows)
        enrolment, asked = rows[: arguments.enrolled], rows[-arguments.asked :]
        before: Counts = []
        for kind in arguments.kinds.split(","):
            poisoned = _KINDS[kind](enrolment, folder)
            for share in map(float, arguments.shares.split(",")):
                run = f"{kind}, {share:.0%}"
                state = fresh_state(folder / f"{kind}-{share:g}".replace(" ", "-"))
                with _daemon(state, arguments.training_seconds) as socket:
                    before = before or _errors(socket, asked)
                    last = _learn(socket, folder, _mixed(enrolment, poisoned, share))
                    [status] = request(socket, {"command": "status"})
                    after = _errors(socket, asked) if last.get("outcome") == "promoted" else before
                found[run] = _figures(last, status, before, after)
                print(run, json.dumps(found[run]), file=sys.stderr, flush=True)
    print(json.dumps(found, indent=2))
    sys.exit(any(one["worse"] or one["undeserved"] for one in found.values()))


def _figures(last: Message, status: Message, before: Counts, after: Counts) -> Message:
    low, high = _interval(before, after)
    rate = _rate(after)
    return {
        "outcome": last.get("outcome"),
        "reason": last.get("last_reason"),
        "before": round(_rate(before), 4),
        "after": round(rate, 4),
        "change_90": [round(low, 4), round(high, 4)],
        "route": status["route"],
        "worse": low > 0,
        "undeserved": status["route"] == "aligned" and rate > HEARS_WELL,
    }


def _rate(counts: Counts) -> float:
    return sum(wrong for wrong, _ in counts) / sum(words for _, words in counts)


def _interval(before: Counts, after: Counts) -> tuple[float, float]:
    """The middle 90 % of the change of word error in sets of as many requests drawn from these."""
    words = np.array([words for _, words in before])
    change = np.array([now[0] - then[0] for then, now in zip(before, after, strict=True)])
    drawn = np.random.default_rng(0).integers(len(words), size=(_RESAMPLES, len(words)))
    low, high = np.quantile(change[drawn].sum(axis=1) / words[drawn].sum(axis=1), (0.05, 0.95))
    return float(low), float(high)


@contextmanager
def _daemon(state: Path, training_seconds: float) -> Iterator[Path]:
    socket = state.parent / "a.sock"
    environment = settings_of(
        state,
        socket,
        AUDIO__KEEP=False,
        CONVERSATION__WHEN_UNSURE="answer",  # what a generation hears, not what stands in for it
        CONVERSATION__MAX_REPLY_TOKENS=1,
        ADAPT__TRAINING_SECONDS=training_seconds,
        ADAPT__REPLY_UTTERANCES=2,
    )
    with private_daemon(environment, state.parent / f"{state.name}.log"):
        yield socket


def _learn(socket: Path, folder: Path, rows: Rows) -> Message:
    """Enrol and run a round; how that ended."""
    manifest = write_rows(folder / "some.jsonl", rows)
    list(enroll(socket, manifest, quiet_seconds=600))
    return list(request(socket, {"command": "adapt"}, quiet_seconds=900))[-1]


def _errors(socket: Path, asked: Rows) -> Counts:
    """What is misheard on the aligned route."""
    found = []
    for row in asked:
        command: Message = {"command": "ask", "audio": Path(row["audio"]), "route": "aligned"}
        [turn] = [
            event
            for event in request(socket, command, quiet_seconds=600)
            if event["event"] == "turn"
        ]
        found.append(word_errors(row["text"], str(turn["heard"])))
    return found


def _mixed(rows: Rows, poisoned: Rows, share: float) -> Rows:
    """`rows`, the first `share` of them poisoned: their order says nothing of who is held out."""
    count = round(share * len(rows))
    return [*poisoned[:count], *rows[count:]]


def _shifted(rows: Rows, _folder: Path) -> Rows:
    return _relabelled(rows, [row["text"] for row in [*rows[1:], rows[0]]])


def _nonsense(rows: Rows, _folder: Path) -> Rows:
    rng = random.Random(0)
    return _relabelled(rows, [" ".join(rng.choices(_INVENTED, k=rng.randint(3, 8))) for _ in rows])


def _other_language(rows: Rows, _folder: Path) -> Rows:
    texts = [sentence.format(room) for room in _GERMAN_ROOMS for sentence in _GERMAN]
    return _relabelled(rows, [texts[place % len(texts)] for place in range(len(rows))])


def _another_speaker(rows: Rows, folder: Path) -> Rows:
    """Somebody else, with true texts."""
    return speak(folder / "clear-speaker", "clear")[: len(rows)]


def _another_speakers_texts(rows: Rows, folder: Path) -> Rows:
    """The user's recordings, labelled as if somebody else's requests had been said in them."""
    texts = [row["text"] for row in speak(folder / "clear-speaker", "clear")]
    return _relabelled(rows, texts[: len(rows)])


def _noise(rows: Rows, folder: Path) -> Rows:
    """Noise, and every second time as good as silence: what a switched-off microphone leaves."""
    (folder / "noises").mkdir()
    rng = np.random.default_rng(0)
    made = []
    for number, row in enumerate(rows):
        path = folder / "noises" / f"{number}.flac"
        loudness = 0.1 if number % 2 else 0.002
        write_flac(path, (loudness * rng.standard_normal(3 * SAMPLE_RATE_HZ)).astype(np.float32))
        made.append({"audio": str(path), "text": row["text"]})
    return made


def _relabelled(rows: Rows, texts: Sequence[str]) -> Rows:
    return [{"audio": row["audio"], "text": text} for row, text in zip(rows, texts, strict=True)]


_KINDS: dict[str, Callable[[Rows, Path], Rows]] = {
    "another speaker": _another_speaker,
    "another speaker's texts": _another_speakers_texts,
    "shifted": _shifted,
    "noise": _noise,
    "nonsense": _nonsense,
    "other language": _other_language,
}


if __name__ == "__main__":
    try:
        main()
    except AttuneError as error:
        sys.exit(str(error))
