"""The retention set: whole sentences only, always the same ones."""

from pathlib import Path

import pytest

from engines.errors import AttuneError
from engines.models.general_speech import read_prompts, retention_set


def test_prompts_have_recordings_and_plain_texts(general_speech: Path) -> None:
    prompts = read_prompts(general_speech)
    assert len(prompts) > 150
    assert all(prompt.audio.is_file() for prompt in prompts)
    assert not any("[" in prompt.text or ";" in prompt.text for prompt in prompts)


def test_the_retention_set_is_a_stable_fifth(general_speech: Path) -> None:
    prompts = read_prompts(general_speech)
    chosen = retention_set(prompts)
    assert 0.1 < len(chosen) / len(prompts) < 0.3
    assert retention_set(list(reversed(prompts))) == list(reversed(chosen))


def test_a_folder_without_texts_or_recordings_says_so(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match=r"no core-sounds-en\.txt"):
        read_prompts(tmp_path)
    (tmp_path / "core-sounds-en.txt").write_text("one: This is a sentence of words.\n")
    with pytest.raises(AttuneError, match="no recorded prompts"):
        read_prompts(tmp_path)
