"""The retention set: real recordings with their texts, of nobody in particular, on which forgetting
shows. Knows no scores."""

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import AttuneError
from ..jobs.messages import Example
from .cache import model_path

logger = logging.getLogger(__name__)

GENERAL_MODEL = "general-speech"
"""The name of these recordings in the manifest of models."""

_LEAST_WORDS = 4
_MOST_WORDS = 16


_BYTES_PER_SECOND = 8000
"""The byte rate of G.722 at 64 kbit/s."""


@dataclass(frozen=True)
class Prompt:
    """A recorded sentence with its text."""

    name: str
    audio: Path
    text: str

    @property
    def seconds(self) -> float:
        return self.audio.stat().st_size / _BYTES_PER_SECOND


def read_prompts(folder: Path) -> list[Prompt]:
    """Every whole sentence of 4 to 16 words among Asterisk's voice prompts in `folder`, sorted by
    name.

    `folder` holds the `.g722` files and `core-sounds-en.txt`. Raises AttuneError where it does not.
    """
    texts = next(folder.rglob("core-sounds-en.txt"), None)
    if texts is None:
        raise AttuneError(f"no core-sounds-en.txt in {folder}; run `attune models fetch`")
    recordings = {path.stem: path for path in folder.rglob("*.g722")}
    prompts = []
    for line in texts.read_text(errors="replace").splitlines():
        name, _, text = line.strip().partition(": ")
        words = len(text.split())
        if (
            name in recordings
            and _LEAST_WORDS <= words <= _MOST_WORDS
            and not re.search(r"[\[\]();#*]", text)
        ):
            prompts.append(Prompt(name, recordings[name], text.strip()))
    if not prompts:
        raise AttuneError(f"{folder} holds no recorded prompts; run `attune models verify`")
    return sorted(prompts, key=lambda prompt: prompt.name)


def retention_set(prompts: list[Prompt]) -> list[Prompt]:
    """One prompt in five, chosen by a hash of its name: always the same ones, so that they can be
    kept out of everything else."""
    return [
        prompt for prompt in prompts if hashlib.sha256(prompt.name.encode()).digest()[0] % 5 == 0
    ]


def retention_examples(cache_dir: Path, *, whole: bool = False) -> list[Example]:
    """The examples of the retention set, or with `whole` of all recordings of that voice. They are
    empty where the recordings were not fetched, and then no candidate can be promoted."""
    try:
        prompts = read_prompts(model_path(GENERAL_MODEL, cache_dir))
        prompts = prompts if whole else retention_set(prompts)
    except AttuneError as error:
        logger.warning("without the retention set no candidate is promoted: %s", error)
        return []
    return [
        Example(
            id=f"general-{p.name}", audio=p.audio, text=p.text, origin="enrolled", seconds=p.seconds
        )
        for p in prompts
    ]
