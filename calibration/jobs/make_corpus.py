"""`attune align corpus`: has the language model write sentences, makes the script, then its shards.
Knows the order of these steps."""

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

from engines.errors import AttuneError
from engines.files import write_atomically
from engines.jobs.calibration_jobs import CorpusJob
from engines.jobs.messages import Report
from engines.llm.chat_model import LlamaCppLanguageModel
from engines.llm.vocabulary import Vocabulary
from engines.whisper.encoder_onnx import OnnxEncoder

from ..corpus.build import SHARD_UTTERANCES, NeuralVoices, build, expected_bytes
from ..corpus.script import ScriptLine, recorded_script, synthetic_script
from ..corpus.shards import read_corpus
from ..corpus.texts import as_sentence, is_plain, word_entries

_WRITER = (
    "You write short, natural English sentences as people say them aloud. You answer with one"
    " sentence and nothing else."
)
_TASKS = (
    "Write one short sentence with the word {word}.",
    "Write a short request to a voice assistant with the word {word}.",
    "Write a short question with the word {word}.",
    "What would someone say to a friend about {word}?",
)
_MOST_TOKENS = 28
_SAVE_EVERY = 50


def make_corpus(job: CorpusJob, report: Report) -> int:
    """Make what is missing of the corpus; returns the number of utterances made."""
    job.folder.mkdir(parents=True, exist_ok=True)
    if job.sources:
        script = recorded_script(job.sources, job.seed)
    else:
        vocabulary = Vocabulary(job.engines.language_model)
        written = _write_sentences(job, vocabulary, report)
        script = synthetic_script(
            job.hours, vocabulary, written, job.seed, covers_vocabulary=job.covers_vocabulary
        )
    _keep_to(job.folder / "script.json", script)
    mel_bins = OnnxEncoder(job.engines.encoder, 1).mel_bins
    size = (
        f"{sum(line.expected_seconds * line.copies for line in script) / 3600:.1f} h,"
        f" {expected_bytes(script, mel_bins) / 1e9:.2f} GB"
    )
    began = time.monotonic()
    there_at_first: list[int] = []

    def show(done: int, shards: int) -> None:
        if not there_at_first:
            there_at_first.append(done)
        made = done - there_at_first[0]
        left = (
            f", about {(shards - done) * (time.monotonic() - began) / made / 60:.0f} min to go"
            if made
            else ""
        )
        said = min(done * SHARD_UTTERANCES, len(script))
        report(
            "corpus",
            done / max(shards, 1),
            f"{said} of {len(script)} lines of a script of about {size}{left}",
        )

    voices = NeuralVoices(job.kokoro, job.piper)
    made = build(job.folder, script, voices, mel_bins, job.workers, show)
    kept, asked = len(read_corpus([job.folder])), sum(line.copies for line in script)
    why = (
        f"; {asked - kept} could not be spoken or read, or were shorter than 0.3 s or longer than"
        " 20 s"
        if kept < asked
        else ""
    )
    report("corpus", 1.0, f"{kept} utterances{why}")
    return made


def _keep_to(path: Path, script: Sequence[ScriptLine]) -> None:
    """Record the script of the folder, which may hold one only: shards of another would pass for
    its own. Raises AttuneError where the folder holds another."""
    about = {
        "utterances": len(script),
        "first": script[0].text if script else "",
        "last": script[-1].text if script else "",
    }
    if path.is_file() and json.loads(path.read_text()) != about:
        raise AttuneError(
            f"{path.parent} holds a corpus of another script; choose another folder, or the same"
            " hours, sources and seed"
        )
    write_atomically(path, json.dumps(about).encode() + b"\n")


def _write_sentences(job: CorpusJob, vocabulary: Vocabulary, report: Report) -> list[str]:
    """Have the language model write sentences, each about another word of its vocabulary; they are
    kept in the folder as they are made."""
    path = job.folder / "written.jsonl"
    texts: list[str | None] = (
        [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    )
    if len(texts) < job.written:
        rng = random.Random(job.seed)
        words = rng.sample(list(word_entries(vocabulary)), job.written)
        model = LlamaCppLanguageModel(
            job.engines.served_language_model, vocabulary, _WRITER, 512, job.workers
        )
        for number in range(len(texts), job.written):
            model.reset()
            prompt = _TASKS[number % len(_TASKS)].format(word=words[number])
            reply = "".join(model.reply(prompt, _MOST_TOKENS)).strip().split("\n")[0].strip('" ')
            sentence = as_sentence(reply.split(". ")[0])
            texts.append(sentence if is_plain(sentence) else None)
            if number % _SAVE_EVERY == 0 or number == job.written - 1:
                write_atomically(path, "".join(json.dumps(text) + "\n" for text in texts).encode())
                report("write", number / job.written, f"{number} of {job.written} sentences")
        model.close()
    return sorted({text for text in texts[: job.written] if text})
