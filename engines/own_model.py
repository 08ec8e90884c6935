"""Looks at a model of the user's own, and describes it for a manifest."""

import re
from pathlib import Path

import numpy as np

from .errors import AttuneError
from .files import sha256_of
from .llm.model import LlamaModel
from .llm.vocabulary import Vocabulary
from .models.manifest import LANGUAGE_MODEL, NAME, SPEECH_MODEL, Model
from .whisper.ctranslate2_file import read_ctranslate2
from .whisper.recogniser_weights import place_of
from .whisper.transcriber import FILES

_MORE_FILES = ("vocabulary.txt", "vocabulary.json", "preprocessor_config.json")
_LAYERS = ("encoder.layers.0.self_attn.q_proj", "decoder.layers.0.encoder_attn.q_proj")
"""Linear layers that every Whisper model has, and that a recogniser changes."""


def describe_own(name: str, path: Path, licence: str) -> Model:
    """The entry of the model at `path`, called `name`: a GGUF file of a language model, or a folder
    with a Whisper model for CTranslate2.

    Raises AttuneError where it is neither, or a model that Attune cannot run.
    """
    if not re.fullmatch(NAME, name):
        raise AttuneError(
            f"{name!r} cannot be a model's name: it begins with a small letter or a digit, and has"
            " small letters, digits, dots, hyphens and underscores, at most 64"
        )
    if path.is_dir():
        role, folder, names = SPEECH_MODEL, path, _check_whisper(path)
    elif path.is_file():
        role, folder, names = LANGUAGE_MODEL, path.parent, _check_gguf(path)
    else:
        raise AttuneError(f"{path} is neither a file nor a folder")
    files = [
        {
            "path": one,
            "sha256": sha256_of(folder / one),
            "bytes": (folder / one).stat().st_size,
        }
        for one in names
    ]
    origin = {"source": f"file:{folder.resolve()}", "files": files}
    return Model.model_validate(
        {"name": name, "role": role, "licence": licence, "origin": [origin]}
    )


def _check_gguf(path: Path) -> list[str]:
    if not re.fullmatch(r"\w[\w.-]*", path.name):
        raise AttuneError(
            f"the name {path.name!r} has characters other than letters, digits, dots, hyphens and"
            " underscores; rename the file"
        )
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise AttuneError(f"{path} is no GGUF file; convert the model for llama.cpp")
    model = LlamaModel(path)
    try:
        assert model.chat_template  # raises for a model that cannot hold a conversation
        Vocabulary(path, model).close()
    finally:
        model.close()
    return [path.name]


def _check_whisper(folder: Path) -> list[str]:
    for name in FILES:
        if not (folder / name).is_file():
            raise AttuneError(
                f"{folder / name} is missing; a Whisper folder for CTranslate2 has"
                f" {', '.join(FILES)} (ct2-transformers-converter --copy_files"
                " tokenizer.json)"
            )
    variables = read_ctranslate2(folder / "model.bin")
    for weight in (place_of(name).variable for name in _LAYERS):
        if weight not in variables:
            raise AttuneError(f"{folder}/model.bin is not a Whisper model: it has no {weight}")
        if (dtype := variables[weight].dtype) not in (np.float16, np.float32):
            raise AttuneError(
                f"{folder}/model.bin holds weights as {dtype}, which cannot be trained on; convert"
                " the model with --quantization float16"
            )
    return [*FILES, *(one for one in _MORE_FILES if (folder / one).is_file())]
