"""`attune models recommend`: what another language model would be like on this device."""

from dataclasses import dataclass

from engines.device.memory import total_bytes
from engines.llm.requantize import served_weights
from engines.models.cache import model_path
from engines.models.manifest import LANGUAGE_MODEL, Model, load_manifest

from ..config.settings import Settings
from .common import AsJson, console, print_json, settings
from .sheet import Sheet

LEAST_TOKENS_A_SECOND = 8.0
"""Somebody who speaks says about four tokens a second, and the first clause is to be there soon."""
_CONTEXT_BYTES = 250 << 20
"""Room for the conversation and for what computes, beside the weights."""
_MOST_OF_MEMORY = 0.35
"""The largest part of the memory for a language model: the speech models, a round and the system
need the rest."""


@dataclass(frozen=True)
class Expected:
    """A language model, and what to expect of it here."""

    model: Model
    tokens_a_second: float
    memory_bytes: int
    in_use: bool

    @property
    def obstacle(self) -> str:
        """Why it is not for this device; empty if it is."""
        if self.memory_bytes > _MOST_OF_MEMORY * total_bytes():
            return "too large for this memory"
        if self.tokens_a_second < LEAST_TOKENS_A_SECOND:
            return "too slow to be listened to"
        return ""


def recommend_llm(as_json: AsJson = False) -> None:
    """Show what other language models would be like on this device.

    The speed of the one in use is measured; that of the others is told from their bytes.
    """
    found = _expected(settings())
    if as_json:
        print_json(
            [
                {
                    "name": one.model.name,
                    "bytes": one.model.size_bytes,
                    "memory_bytes": one.memory_bytes,
                    "tokens_a_second": round(one.tokens_a_second, 1),
                    "in_use": one.in_use,
                    "obstacle": one.obstacle,
                    "sources": [origin.source for origin in one.model.origins],
                }
                for one in found
            ]
        )
        return
    rows = [
        (
            one.model.name,
            f"{one.model.size_bytes / 1e6:.0f}",
            f"{one.memory_bytes / 2**20:.0f}",
            f"{one.tokens_a_second:.0f}",
            "in use" if one.in_use else one.obstacle or "fits",
        )
        for one in found
    ]
    console.print(Sheet(("model", "MB", "memory MiB", "tokens/s", ""), rows, {""}))
    best = [one for one in found if not one.obstacle]
    if best and not best[-1].in_use:
        console.print(f"reply with it: attune models use {best[-1].model.name}")


def _expected(chosen: Settings) -> list[Expected]:
    """The language models that are known, the smallest first. Raises AttuneError if the one in use
    cannot be opened."""
    from engines.llm.token_speed import bytes_a_second  # imports llama.cpp

    in_use = chosen.engines.language_model
    served = served_weights(model_path(in_use, chosen.cache_dir), chosen.cache_dir)
    speed = bytes_a_second(served, chosen.engines.threads)
    models = [model for model in load_manifest().values() if model.role == LANGUAGE_MODEL]
    return [
        Expected(
            model,
            speed / (served.stat().st_size if model.name == in_use else model.size_bytes),
            model.size_bytes + _CONTEXT_BYTES,
            model.name == in_use,
        )
        for model in sorted(models, key=lambda one: one.size_bytes)
    ]
