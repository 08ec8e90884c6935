"""Silences the warnings of peft and transformers that nobody here can mend."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unwarned() -> Iterator[None]:
    """Silence peft, which warns of layers that are not its own, of a base model without a model
    card, and of its own age and that of transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
