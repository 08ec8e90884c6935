"""Trains the base projector that ships with Attune, on the synthetic corpus. Knows the recipe; the losses are EmbedLink's."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from engines.vocabulary import Vocabulary

from .base_corpus import build, read_rows
from .batches import draw_epochs
from .cif import CifConfig, CifProjector
from .dataset import make_sample
from .embedlink import EmbedLink, Sample, collate
from .projector_file import save_projector
from .text_scores import word_errors
from .training import Plan, fit

BATCH_SAMPLES = 16


def load_corpus(folder: Path, vocabulary: Vocabulary, stack: int) -> tuple[list[Sample], list[str], float]:
    """Every usable sample of a corpus folder, the texts, and the seconds of audio."""
    samples, texts, seconds = [], [], 0.0
    for row in read_rows(folder):
        sample = make_sample(np.load(folder / row["frames"]), row["text"], vocabulary, stack)
        if sample is not None:
            samples.append(sample)
            texts.append(row["text"])
            seconds += row["seconds"]
    return samples, texts, seconds


def token_word_error(projector: CifProjector, samples: list[Sample], texts: list[str], vocabulary: Vocabulary) -> float:
    """Word error rate of each unit's nearest token, the number of units decided by the projector."""
    projector.eval()
    errors = words = 0
    with torch.no_grad():
        for sample, text in zip(samples, texts, strict=True):
            batch = collate([sample])
            output = projector(batch.stacked, batch.mask)
            heard = vocabulary.detokenize(vocabulary.nearest(output.vectors[0].numpy())[0])
            wrong, total = word_errors(text, heard)
            errors, words = errors + wrong, words + total
    projector.train()
    return errors / words


def main() -> None:
    """Build the corpus where it is not there, train, write `projector.safetensors` (float16) and `card.json`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--language-model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--utterances", type=int, default=14000)
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    build(arguments.corpus, arguments.encoder, arguments.utterances, arguments.seed, workers=2)
    vocabulary = Vocabulary(arguments.language_model)
    config = CifConfig(frame_width=384, embedding_width=vocabulary.width)
    samples, texts, seconds = load_corpus(arguments.corpus, vocabulary, config.stack)
    judged = 150
    torch.manual_seed(arguments.seed)
    projector = CifProjector(config)
    embedlink = EmbedLink(config.width, vocabulary)
    projector.heard_tokens.update(token for sample in samples[judged:] for token in sample.tokens.tolist())
    draw = draw_epochs(samples[judged:], BATCH_SAMPLES, arguments.seed)

    plan = Plan(10**9, arguments.minutes * 60, 8e-4, warmup_steps=200, seed=arguments.seed, checkpoint_seconds=120.0)
    arguments.out.mkdir(parents=True, exist_ok=True)
    run = None
    for run in fit(projector, embedlink, draw, plan, arguments.corpus / "checkpoint.safetensors"):
        if run.step % 50 == 0:
            recent = {name: round(float(np.mean([loss[name] for loss in run.losses[-50:]])), 3) for name in run.losses[-1]}
            print(f"step {run.step} {run.seconds:.0f} s {recent}", flush=True)
        if run.step % 1000 == 0:
            error = token_word_error(projector, samples[: judged // 2], texts[: judged // 2], vocabulary)
            print(f"  word error on unheard sentences {error:.3f}", flush=True)
    assert run is not None
    save_projector(projector, arguments.out / "projector.safetensors", torch.float16)
    card = {
        "recipe": "embedlink-cif",
        "command": "make base",
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "utterances": len(samples) - judged,
        "hours": round(seconds / 3600, 2),
        "voices": "flite slt rms awb kal16; espeak-ng en-us en-gb en-gb-scotland en-gb-x-rp en-029 with 13 variants",
        "texts": "three quarters Debian fortunes, one quarter request templates",
        "steps": run.step,
        "batch": BATCH_SAMPLES,
        "heard_tokens": len(projector.heard_tokens),
        "epochs": round(run.step * BATCH_SAMPLES / (len(samples) - judged), 2),
        "training_seconds": round(run.seconds),
        "seed": arguments.seed,
        "losses": {name: round(float(np.mean([loss[name] for loss in run.losses[-200:]])), 4) for name in run.losses[-1]},
        "word_error_rate_unheard_sentences": round(token_word_error(projector, samples[:judged], texts[:judged], vocabulary), 4),
        "language_model": "smollm2-135m-instruct-q4_1",
        "encoder": "whisper-tiny.en",
    }
    (arguments.out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
