"""One llama.cpp model with one sequence: appends tokens and vectors, truncates, reads logits. Knows no words and no turns."""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np

from .errors import AttuneError
from .llama_backend import quiet_backend
from .types import Float32

_BATCH_TOKENS = 512
"""Longer input is decoded in pieces of this many tokens: more gains nothing on the devices that Attune is for."""


class LlamaSequence:
    """The key-value cache of one conversation, and the only place that decodes."""

    def __init__(self, path: Path, context_tokens: int, threads: int, adapter: Path | None) -> None:
        """Load the GGUF file `path` with room for `context_tokens`. Raises AttuneError where something does not load or fit."""
        if not path.is_file():
            raise AttuneError(f"the language model {path} is missing; run `attune models fetch`")
        quiet_backend()
        self._model: Any = llama.llama_model_load_from_file(os.fsencode(path), llama.llama_model_default_params())
        if not self._model:
            raise AttuneError(f"{path} is not a language model that llama.cpp can load; run `attune models verify`")
        self._path, self._threads = path, threads
        self._context: Any = None
        self._adapter: Any = None
        self.capacity_tokens = context_tokens
        self.width: int = llama.llama_model_n_embd(self._model)
        self.vocabulary_size: int = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model))
        try:
            self._check_model()
            self.load_adapter(adapter)
        except AttuneError:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        return self._model is None

    def _check_model(self) -> None:
        trained_tokens = llama.llama_model_n_ctx_train(self._model)
        if not 0 < self.capacity_tokens <= trained_tokens:
            raise AttuneError(f"a context of {self.capacity_tokens} tokens is over the {trained_tokens} of {self._path}, or none")
        if llama.llama_model_is_recurrent(self._model) or llama.llama_model_is_hybrid(self._model):
            raise AttuneError(f"{self._path} is a recurrent model, which cannot forget single turns; use a transformer")

    @property
    def chat_template(self) -> str:
        """The Jinja source in the file's metadata. Raises AttuneError where there is none."""
        template: bytes | None = llama.llama_model_chat_template(self._model, None)
        if not template:
            raise AttuneError(f"{self._path} has no chat template; use an instruct model")
        return template.decode(errors="replace")

    @property
    def length(self) -> int:
        """Tokens and vectors in the sequence."""
        return int(llama.llama_memory_seq_pos_max(self._memory, 0)) + 1

    @property
    def has_adapter(self) -> bool:
        return self._adapter is not None

    def load_adapter(self, path: Path | None) -> None:
        """Make the GGUF adapter `path`, or none, the one that `adapter_on` sets. The sequence is empty afterwards.

        Raises AttuneError, and leaves everything as it was, where the adapter does not fit this model. Without memory for another
        context it raises AttuneError and is closed.
        """
        adapter = None
        if path is not None:
            if not path.is_file():
                raise AttuneError(f"the adapter {path} is missing; roll back to another generation")
            adapter = llama.llama_adapter_lora_init(self._model, os.fsencode(path))
            if not adapter:
                raise AttuneError(f"the adapter {path} is damaged or does not fit {self._path}; roll back to another generation")
        # llama.cpp sizes a context's graph by the adapters that are loaded when it is made.
        self._free_context()
        self._adapter = adapter
        try:
            self._context = self._open_context()
        except AttuneError:
            self.close()
            raise
        self._memory = llama.llama_get_memory(self._context)
        self._batch_tokens = llama.llama_n_batch(self._context)

    def _open_context(self) -> Any:
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = self.capacity_tokens
        parameters.n_batch = parameters.n_ubatch = min(_BATCH_TOKENS, self.capacity_tokens)
        parameters.n_threads = parameters.n_threads_batch = self._threads
        context = llama.llama_init_from_model(self._model, parameters)
        if not context:
            raise AttuneError(f"no memory for a context of {self.capacity_tokens} tokens; make it smaller")
        return context

    @contextmanager
    def adapter_on(self) -> Iterator[None]:
        """What is appended inside passes through the adapter; it is cleared on every way out."""
        adapters = (llama.llama_adapter_lora_p_ctypes * 1)(self._adapter)
        try:
            if llama.llama_set_adapters_lora(self._context, adapters, 1, (ctypes.c_float * 1)(1.0)):
                raise AttuneError("llama.cpp could not set the adapter; roll back to another generation")
            yield
        finally:
            llama.llama_set_adapters_lora(self._context, None, 0, None)

    def append_tokens(self, tokens: Sequence[int], want_logits: bool = True) -> None:
        """Decode `tokens` at the end. Raises AttuneError where llama.cpp fails: what was appended until then is undefined."""
        ids = np.asarray(tokens, np.int32)
        for start in range(0, len(ids), self._batch_tokens):
            self._decode(want_logits and start + self._batch_tokens >= len(ids), tokens=ids[start : start + self._batch_tokens])

    def append_vectors(self, vectors: Float32, want_logits: bool = True) -> None:
        """As `append_tokens`, with [U, width] vectors in place of the rows that tokens stand for."""
        rows = np.ascontiguousarray(vectors, np.float32)
        for start in range(0, len(rows), self._batch_tokens):
            self._decode(want_logits and start + self._batch_tokens >= len(rows), rows=rows[start : start + self._batch_tokens])

    def _decode(self, want_logits: bool, tokens: Any = None, rows: Any = None) -> None:
        count = len(tokens if rows is None else rows)
        outputs = (ctypes.c_int8 * count)()
        outputs[count - 1] = want_logits
        # Positions and sequence are left out: llama.cpp goes on where its only sequence ends.
        batch = llama.llama_batch(
            n_tokens=count,
            token=None if tokens is None else tokens.ctypes.data_as(ctypes.POINTER(llama.llama_token)),
            embd=None if rows is None else rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            logits=outputs,
        )
        status = llama.llama_decode(self._context, batch)
        if status:
            raise AttuneError(f"llama.cpp could not decode {count} tokens (status {status}): this turn is lost, say it again")

    def logits(self) -> Float32:
        """[vocabulary_size] of the position appended last: a view that the next decode overwrites."""
        pointer = llama.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, (self.vocabulary_size,))

    def truncate(self, length: int) -> None:
        """Forget everything from position `length` on."""
        if not llama.llama_memory_seq_rm(self._memory, 0, length, -1):
            raise AttuneError(f"llama.cpp could not shorten the conversation to {length} tokens; restart Attune")

    def _free_context(self) -> None:
        if self._context:
            llama.llama_free(self._context)
            self._context = None
        if self._adapter:
            llama.llama_adapter_lora_free(self._adapter)
            self._adapter = None

    def close(self) -> None:
        """Free the model. Further calls do nothing."""
        self._free_context()
        if self._model:
            llama.llama_model_free(self._model)
            self._model = None
