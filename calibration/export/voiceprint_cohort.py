"""`python -m calibration.export.voiceprint_cohort`: makes the voiceprints of the cohort, of
Kokoro's voices that train. Needs espeak-ng and the model kokoro-82m; some ten minutes.
"""

import argparse
import random
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from engines.files import write_atomically
from engines.models.cache import model_path
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.voiceprint.cohort import COHORT_SENTENCES, FILE, PRINTS
from engines.voiceprint.model import VoiceprintModel
from engines.voiceprint.noise import NOISES, with_noise

from ..corpus.judged_requests import NEVER_ENROLLED, everyday_requests
from ..corpus.synthesis import Synthesizers, Voice
from ..corpus.voices import KOKORO

_LEAST_CHARACTERS = 36
_MOST_SECONDS = 4
_SEED = 1


def cohort_prints(kokoro: Path) -> Float32:
    """The voiceprints [voices, noises, sentences, size] of KOKORO's voices."""
    synthesizers, model = Synthesizers(kokoro, None), VoiceprintModel()
    rng = random.Random(_SEED)
    texts = [
        text
        for text in everyday_requests(300, NEVER_ENROLLED, rng)
        if len(text) >= _LEAST_CHARACTERS
    ]
    voices = []
    for name in KOKORO:
        said = [
            synthesizers.speak(text, Voice("kokoro", name))[: _MOST_SECONDS * SAMPLE_RATE_HZ]
            for text in rng.sample(texts, COHORT_SENTENCES)
        ]
        voices.append(
            [[model.of(with_noise(samples, noise)) for samples in said] for noise in NOISES]
        )
        print(f"{len(voices)} of {len(KOKORO)} voices", flush=True)
    return np.array(voices, np.float32)


def main() -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="the folder of models' cache")
    parser.add_argument("--to", type=Path, default=FILE)
    given = parser.parse_args()
    prints = cohort_prints(model_path("kokoro-82m", given.cache))
    write_atomically(given.to, save({PRINTS: prints.astype(np.float16)}))


if __name__ == "__main__":
    main()
