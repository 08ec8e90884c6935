"""The language model's vocabulary and embedding table, from its GGUF file, without the model's
weights.

It tokenizes with llama.cpp (vocabulary only, a few megabytes) and reads embedding rows from the
memory-mapped file, so that alignment never has to run the language model (Tiny-Align's EmbedLink).
"""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np
from numpy.typing import NDArray

from ..errors import AttuneError
from ..types import Float32
from .gguf_file import map_tensor
from .model import LlamaModel, quiet_backend

_NEAREST_CHUNK_ROWS = 8192
"""The rows that `nearest` dequantizes at a time: 19 MB of float32 at width 576."""

_USUAL_PIECE_BYTES = 64


class Vocabulary:
    """Converts text to token ids and back, and reads the embedding rows of tokens."""

    def __init__(self, path: Path, model: LlamaModel | None = None) -> None:
        """Open the GGUF file `path`. With `model`, which was loaded from it, the vocabulary that
        the model holds is used as long as that is open: a second one takes 16 MB.

        Raises AttuneError where the file is missing, damaged, or has no embedding table.
        """
        self._model = model
        self._own = _load_alone(path) if model is None else None
        self.size: int = llama.llama_vocab_n_tokens(self.pointer)
        try:
            self._table = map_tensor(path, "token_embd.weight", self.size)
        except AttuneError:
            self.close()
            raise
        self.width = self.rows([0]).shape[1]

    @property
    def pointer(self) -> Any:
        """llama.cpp's pointer to the vocabulary. Raises AttuneError where it is closed."""
        model = self._own if self._model is None else self._model.pointer
        if not model:
            raise AttuneError("the language model is closed, and its vocabulary with it")
        return llama.llama_model_get_vocab(model)

    def close(self) -> None:
        """Free the vocabulary, unless a model holds it. Further calls do nothing."""
        if self._own:
            llama.llama_model_free(self._own)
        self._own = self._model = None

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """The token ids of `text`. With `special`, control tokens such as `<|im_start|>` are
        parsed; otherwise they are plain text. Raises AttuneError where the text does not
        tokenize."""
        encoded = text.encode(errors="replace")
        capacity = len(encoded) + 8
        tokens = (llama.llama_token * capacity)()
        count = llama.llama_tokenize(
            self.pointer, encoded, len(encoded), tokens, capacity, False, special
        )
        if count < 0:
            raise AttuneError(f"a text of {len(text)} characters does not tokenize")
        return list(tokens[:count])

    def ends_of_text(self) -> dict[str, str]:
        """The tokens that begin and end a text, by the names that chat templates have for them."""
        tokens = {
            "bos_token": llama.llama_vocab_bos(self.pointer),
            "eos_token": llama.llama_vocab_eos(self.pointer),
        }
        return {
            name: (
                (llama.llama_vocab_get_text(self.pointer, token) or b"").decode(errors="replace")
                if token >= 0
                else ""
            )
            for name, token in tokens.items()
        }

    def ends_reply(self, token: int) -> bool:
        """Whether `token` ends a reply: its own end, or any control token, with which a small model
        goes on as the user. No control token is ever a word."""
        return bool(
            llama.llama_vocab_is_eog(self.pointer, token)
            or llama.llama_vocab_is_control(self.pointer, token)
        )

    def begun(self, tokens: list[int]) -> list[int]:
        """`tokens` after the token that begins every text, where the model wants one and it is not
        there yet."""
        bos = llama.llama_vocab_bos(self.pointer)
        return (
            [bos, *tokens]
            if llama.llama_vocab_get_add_bos(self.pointer) and tokens[:1] != [bos]
            else tokens
        )

    def piece(self, token: int) -> bytes:
        """The bytes of `token`, which may be a part of a character; none for a control token."""
        capacity_bytes = _USUAL_PIECE_BYTES
        while True:
            buffer = ctypes.create_string_buffer(capacity_bytes)
            count = llama.llama_token_to_piece(
                self.pointer, token, buffer, capacity_bytes, 0, False
            )
            if count >= 0:
                return buffer.raw[:count]
            capacity_bytes = -count

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`, with ill-formed bytes replaced."""
        return b"".join(self.piece(token) for token in tokens).decode(errors="replace")

    def rows(self, tokens: Sequence[int] | NDArray[np.int64]) -> Float32:
        """The dequantized embedding rows of `tokens`: [len(tokens), width] float32."""
        return self._table.rows(np.asarray(tokens, np.int64))

    def nearest(self, vectors: Float32) -> tuple[list[int], Float32]:
        """The token whose row is nearest by cosine to each of `vectors` ([U, width]), and those
        cosines [U]."""
        count = len(vectors)
        best_cosine = np.full(count, -2.0, np.float32)
        best_token = np.zeros(count, np.int64)
        if count:
            unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
            for start in range(0, self.size, _NEAREST_CHUNK_ROWS):
                rows = self._table.rows(slice(start, start + _NEAREST_CHUNK_ROWS))
                cosine = (unit @ rows.T) / np.maximum(np.linalg.norm(rows, axis=1), 1e-6)
                token = cosine.argmax(axis=1)
                value = cosine[np.arange(count), token]
                better = value > best_cosine
                best_cosine[better], best_token[better] = value[better], start + token[better]
        return best_token.tolist(), best_cosine


def _load_alone(path: Path) -> Any:
    """Load the vocabulary of `path` in llama.cpp, without the weights."""
    if not path.is_file():
        raise AttuneError(f"the language model {path} is missing; run `attune models fetch`")
    quiet_backend()
    parameters = llama.llama_model_default_params()
    parameters.vocab_only = True
    model = llama.llama_model_load_from_file(os.fsencode(path), parameters)
    if not model:
        raise AttuneError(
            f"{path} is not a GGUF file that llama.cpp can load; run `attune models verify`"
        )
    return model
