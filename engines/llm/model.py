"""The weights of one llama.cpp model, which several contexts may use at once. Knows no tokens."""

import ctypes
import logging
import os
from functools import cache
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama

from ..errors import AttuneError
from ..types import Device

_log = logging.getLogger("llama.cpp")


def _forward(_level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    # llama.cpp's chatter about a model belongs at debug level, whatever level it gave itself.
    _log.debug(text.decode(errors="replace").rstrip())


_CALLBACK = llama.llama_log_callback(_forward)
"""The callback is kept here; otherwise it would be collected while llama.cpp still calls it."""


@cache
def quiet_backend() -> None:
    """Initialise llama.cpp's backend, with its messages at debug level; further calls do
    nothing."""
    llama.llama_log_set(_CALLBACK, ctypes.c_void_p(0))
    llama.llama_backend_init()


_ALL_LAYERS = 999


class LlamaModel:
    """A GGUF file that llama.cpp has loaded. Its contexts are freed before it is closed."""

    def __init__(self, path: Path, *, device: Device = "cpu") -> None:
        """Load the GGUF file `path`, all of its layers on `device`.

        Raises AttuneError where it is missing, damaged, or recurrent: such a model cannot forget a
        turn.
        """
        if not path.is_file():
            raise AttuneError(f"the language model {path} is missing; run `attune models fetch`")
        quiet_backend()
        self.path = path
        parameters = llama.llama_model_default_params()
        parameters.n_gpu_layers = _ALL_LAYERS if device == "gpu" else 0
        self.pointer: Any = llama.llama_model_load_from_file(os.fsencode(path), parameters)
        if not self.pointer:
            raise AttuneError(
                f"{path} is not a language model that llama.cpp can load; run `attune models"
                " verify`"
            )
        self.width: int = llama.llama_model_n_embd(self.pointer)
        self.vocabulary_size: int = llama.llama_vocab_n_tokens(
            llama.llama_model_get_vocab(self.pointer)
        )
        self.most_tokens: int = llama.llama_model_n_ctx_train(self.pointer)
        """The context length that the model was trained with, in tokens."""
        if llama.llama_model_is_recurrent(self.pointer) or llama.llama_model_is_hybrid(
            self.pointer
        ):
            self.close()
            raise AttuneError(
                f"{path} is a recurrent model, which cannot forget single turns; use a transformer"
            )

    @property
    def chat_template(self) -> str:
        """The chat template, as Jinja source, from the file's metadata. Raises AttuneError where
        there is none."""
        template: bytes | None = llama.llama_model_chat_template(self.pointer, None)
        if not template:
            raise AttuneError(f"{self.path} has no chat template; use an instruct model")
        return template.decode(errors="replace")

    def open_context(
        self, context_tokens: int, batch_tokens: int, threads: int, sequences: int = 1
    ) -> Any:
        """A new context, whose room of `context_tokens` its `sequences` share. Raises AttuneError
        where it does not fit the model or the memory."""
        if not 0 < context_tokens <= self.most_tokens:
            raise AttuneError(
                f"a context of {context_tokens} tokens is over the {self.most_tokens} of"
                f" {self.path}, or none"
            )
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = context_tokens
        parameters.n_batch = parameters.n_ubatch = min(batch_tokens, context_tokens)
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.n_seq_max, parameters.kv_unified = sequences, True
        context = llama.llama_init_from_model(self.pointer, parameters)
        if not context:
            raise AttuneError(
                f"no memory for a context of {context_tokens} tokens; make it smaller"
            )
        return context

    def close(self) -> None:
        """Free the weights. Further calls do nothing."""
        if self.pointer:
            llama.llama_model_free(self.pointer)
            self.pointer = None
