"""A language model that replies beside the one whose vocabulary the projector has learnt."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from engines.build import open_engines
from engines.errors import AttuneError
from engines.jobs.messages import EngineFiles
from engines.types import SoftTokens


def test_soft_tokens_of_another_vocabulary_are_read_as_their_words(
    engine_files: EngineFiles, llm_path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    shutil.copy(llm_path, other)
    engines = open_engines(
        engine_files.model_copy(update={"replies": other}), "Answer briefly.", 512, 2
    )
    try:
        tokens = tuple(engines.vocabulary.tokenize("What is the capital of France?"))
        soft = SoftTokens(
            np.zeros((len(tokens), 3), np.float32),  # rows of no table that it could read
            float(len(tokens)),
            tokens,
            tuple(-0.1 for _ in tokens),
        )
        engines.replies.set_adapter(Path("of another model"))
        heard = "".join(engines.replies.reply(soft, 8))
        engines.replies.reset()
        assert heard == "".join(engines.replies.reply("What is the capital of France?", 8))
        engines.replies.reset()
        assert heard != "".join(engines.replies.reply("Say good night.", 8))
    finally:
        engines.close()
    with pytest.raises(AttuneError, match="closed"):
        list(engines.replies.reply("Hello.", 2))
