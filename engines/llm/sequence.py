"""One llama.cpp model with one sequence: appends tokens and vectors, truncates, and reads logits.
Knows no words and no turns."""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np

from ..encryption.files import readable
from ..errors import AttuneError
from ..interfaces import Step, unwatched
from ..types import Float32
from .model import LlamaModel

_BATCH_TOKENS = 512
"""The tokens in a batch; longer input is decoded in several. Larger batches gain nothing on the
devices that Attune is for."""


class LlamaSequence:
    """The key-value cache of one conversation, and the only place that decodes."""

    def __init__(
        self,
        model: Path | LlamaModel,
        context_tokens: int,
        threads: int,
        adapter: Path | None,
    ) -> None:
        """Open `model`, or the GGUF file of that path, with room for `context_tokens`. The model is
        closed with this sequence. Raises AttuneError where something does not load or fit."""
        self.model = model if isinstance(model, LlamaModel) else LlamaModel(model)
        self._threads = threads
        self._context: Any = None
        self._adapter: Any = None
        self.capacity_tokens = context_tokens
        try:
            self.load_adapter(adapter)
        except AttuneError:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        return self.model.pointer is None

    @property
    def length(self) -> int:
        """The number of tokens and vectors in the sequence."""
        return int(llama.llama_memory_seq_pos_max(self._memory, 0)) + 1

    @property
    def has_adapter(self) -> bool:
        return self._adapter is not None

    def load_adapter(self, path: Path | None) -> None:
        """Make the GGUF adapter `path`, or none, the one that `adapter_on` sets. The sequence is
        empty afterwards.

        Raises AttuneError, and leaves everything as it was, where the adapter does not fit this
        model. Where there is no memory for another context, it raises AttuneError and closes the
        sequence.
        """
        adapter = None
        if path is not None:
            if not path.is_file():
                raise AttuneError(f"the adapter {path} is missing; roll back to another generation")
            with readable(path) as opened:
                adapter = llama.llama_adapter_lora_init(self.model.pointer, os.fsencode(opened))
            if not adapter:
                raise AttuneError(
                    f"the adapter {path} is damaged or does not fit {self.model.path}; roll back to"
                    " another generation"
                )
        # llama.cpp sizes a context's graph by the adapters that are loaded when it is made.
        self.free()
        self._adapter = adapter
        try:
            self._context = self.model.open_context(
                self.capacity_tokens, _BATCH_TOKENS, self._threads
            )
        except AttuneError:
            self.close()
            raise
        self._memory = llama.llama_get_memory(self._context)
        self._batch_tokens = llama.llama_n_batch(self._context)

    @contextmanager
    def adapter_on(self) -> Iterator[None]:
        """Let everything that is appended in the block pass through the adapter."""
        adapters = (llama.llama_adapter_lora_p_ctypes * 1)(self._adapter)
        try:
            if llama.llama_set_adapters_lora(self._context, adapters, 1, (ctypes.c_float * 1)(1.0)):
                raise AttuneError(
                    "llama.cpp could not set the adapter; roll back to another generation"
                )
            yield
        finally:
            llama.llama_set_adapters_lora(self._context, None, 0, None)

    def append_tokens(
        self, tokens: Sequence[int], *, want_logits: bool = True, step: Step = unwatched
    ) -> None:
        """Decode `tokens` at the end, in batches; `step`, which may raise, is called before each.

        Raises AttuneError where llama.cpp fails: what was appended until then is undefined.
        """
        ids = np.asarray(tokens, np.int32)
        for start in range(0, len(ids), self._batch_tokens):
            step()
            self._decode(
                want_logits=want_logits and start + self._batch_tokens >= len(ids),
                tokens=ids[start : start + self._batch_tokens],
            )

    def append_vectors(
        self, vectors: Float32, *, want_logits: bool = True, step: Step = unwatched
    ) -> None:
        """Decode [U, width] vectors at the end, in place of the rows of tokens; otherwise as
        `append_tokens`."""
        rows = np.ascontiguousarray(vectors, np.float32)
        for start in range(0, len(rows), self._batch_tokens):
            step()
            self._decode(
                want_logits=want_logits and start + self._batch_tokens >= len(rows),
                rows=rows[start : start + self._batch_tokens],
            )

    def _decode(self, *, want_logits: bool, tokens: Any = None, rows: Any = None) -> None:
        if not self._context:
            raise RuntimeError("the context was freed")
        count = len(tokens if rows is None else rows)
        outputs = (ctypes.c_int8 * count)()
        outputs[count - 1] = want_logits
        # Positions and sequence are left out: llama.cpp goes on where its only sequence ends.
        batch = llama.llama_batch(
            n_tokens=count,
            token=(
                None if tokens is None else tokens.ctypes.data_as(ctypes.POINTER(llama.llama_token))
            ),
            embd=None if rows is None else rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            logits=outputs,
        )
        status = llama.llama_decode(self._context, batch)
        if status:
            raise AttuneError(
                f"llama.cpp could not decode {count} tokens (status {status}): this turn is lost,"
                " say it again"
            )

    def logits(self) -> Float32:
        """The logits [vocabulary_size] of the last position: a view that the next decode
        overwrites."""
        if not self._context:
            raise RuntimeError("the context was freed")
        pointer = llama.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, (self.model.vocabulary_size,))

    def truncate(self, length: int) -> None:
        """Forget everything from position `length` on. Raises AttuneError where llama.cpp
        cannot."""
        if not self._context:
            raise RuntimeError("the context was freed")
        if not llama.llama_memory_seq_rm(self._memory, 0, length, -1):
            raise AttuneError(
                f"llama.cpp could not shorten the conversation to {length} tokens; restart Attune"
            )

    def free(self) -> None:
        """Free the context, and leave the model open for others. Further calls do nothing."""
        if self._context:
            llama.llama_free(self._context)
            self._context = None
        if self._adapter:
            llama.llama_adapter_lora_free(self._adapter)
            self._adapter = None

    def close(self) -> None:
        """Free the model. Further calls do nothing."""
        self.free()
        self.model.close()


def common_length(tokens: Sequence[int], others: Sequence[int]) -> int:
    """The number of tokens at the beginning of `tokens` that `others` begins with, too."""
    differ = (
        place
        for place, (one, other) in enumerate(zip(tokens, others, strict=False))
        if one != other
    )
    return next(differ, min(len(tokens), len(others)))
