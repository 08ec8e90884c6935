"""The base projector, which every person starts with."""

from pathlib import Path

SHIPPED = Path(__file__).parent.parent.parent / "engines" / "base" / "projector.safetensors"
"""The base projector, which learnt from the frames of the base recogniser."""
