"""`make bench-abilities`: what comes of requests that an atypical speaker says, through the
recogniser that has learnt them. Prints JSON.

Every request of `tests/daemon/abilities/requests.jsonl` (every second one with `--share 2`) is
spoken by a computer-made voice with atypical speech and heard by the generation of `--state`, which
has learnt that voice from its enrolment; what was said before it is typed. The outcome is right if
the same ability answers as for the typed words, and its answer contains what it has to. Beside it:
the same through the base generation, and with the best sentence alone instead of all that may have
been said.

Exits with 1 where fewer than 90 in 100 are right with a state that has learnt.
"""

import argparse
import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from calibration.bench.speakers import ATYPICAL
from calibration.corpus.synthesis import speak
from calibration.evaluation.text_scores import word_errors
from daemon.cli.common import settings
from daemon.model_files import model_files
from engines.build import Engines, open_engines
from engines.generations.folder import Generation
from engines.generations.pointers import usable
from engines.types import Float32, Transcript
from engines.whisper.encoder_choice import choose_encoder, open_encoder
from engines.whisper.phrases import PhraseBook
from engines.whisper.plan_cache import plans_folder
from tests.support.ability_world import AbilityWorld

REQUESTS = Path(__file__).parents[1] / "daemon" / "abilities" / "requests.jsonl"
LEAST_RIGHT = 0.9


def main() -> int:
    """Hear and answer all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speaker", choices=sorted(ATYPICAL), default="atypical")
    parser.add_argument("--state", type=Path, help="a state that has learnt the speaker")
    parser.add_argument("--share", type=int, default=1, help="one request in so many")
    given = parser.parse_args()
    rows = [json.loads(line) for line in REQUESTS.read_text("utf-8").splitlines()][:: given.share]
    spoken = [(row, speak(row["say"], voice=ATYPICAL[given.speaker])) for row in rows]
    found: dict[str, Any] = {"speaker": given.speaker, "requests": len(rows)}
    with tempfile.TemporaryDirectory() as name:
        world = AbilityWorld(Path(name))
        found["base"] = _heard(world, spoken, settings().generations)
        if given.state is not None:
            found["learnt"] = _heard(world, spoken, given.state / "generations")
        world.close()
    print(json.dumps(found, indent=1))
    right = found.get("learnt", {}).get("right", 1.0)
    return 0 if right >= LEAST_RIGHT else 1


def _engines() -> Engines:
    chosen = settings()
    files, plans = model_files(chosen), plans_folder(chosen.cache_dir)
    choice = choose_encoder(files.encoder, "auto", plans, time.time(), "cpu")
    return open_engines(
        files,
        chosen.conversation.system_prompt,
        chosen.llm.context_tokens,
        chosen.engines.threads,
        partial(open_encoder, choice, files.encoder, plans, chosen.engines.threads, "cpu"),
    )


def _heard(
    world: AbilityWorld, spoken: list[tuple[dict[str, Any], Float32]], generations: Path
) -> dict[str, Any]:
    generation, _ = usable(generations)
    assert generation is not None
    engines = _engines()
    hear = partial(_hear, engines, generation)
    expected = PhraseBook().and_also(world.abilities.words)
    right = best_alone = wrong_act = errors = words = 0
    missed: list[str] = []
    for row, samples in spoken:
        heard = hear(samples, expected)
        error, count = word_errors(row["say"], heard.text)
        errors, words = errors + error, words + count
        ok, outcome = _outcome(world, row, [heard.text, *heard.others])
        right += ok
        best_alone += _outcome(world, row, [heard.text])[0]
        acted = outcome.partition(":")[0]
        if not ok:
            wrong_act += acted not in ("declined", "model", "other", "house", "talk", "help")
            missed.append(f"{row['say']} | {heard.text} | {outcome}"[:160])
    engines.close()
    return {
        "generation": generation.number,
        "word_error": round(errors / words, 4),
        "right": round(right / len(spoken), 4),
        "right_by_the_best_sentence": round(best_alone / len(spoken), 4),
        "did_or_told_something_else": round(wrong_act / len(spoken), 4),
        "not_right": missed,
    }


def _hear(
    engines: Engines, generation: Generation, samples: Float32, phrases: PhraseBook
) -> Transcript:
    return engines.transcriber_of(generation).transcribe(samples, phrases=phrases)


def _outcome(world: AbilityWorld, row: dict[str, Any], texts: list[str]) -> tuple[bool, str]:
    world.begin_anew()
    for sentence in row["before"]:
        world.say(sentence)
    if not texts[0].strip():
        return False, "nothing was heard"
    outcome = world.say(*texts)
    told = all(part.lower() in outcome.reply.lower() for part in row["says"])
    return outcome.ability == row["ability"] and told, f"{outcome.ability}: {outcome.reply}"


if __name__ == "__main__":
    sys.exit(main())
