"""A module from a file, without what its package would bring and under a name that nothing else
imports."""

import importlib.util
from pathlib import Path
from types import ModuleType


def loaded_alone(path: Path, name: str) -> ModuleType:
    """The module in `path`, called `name`."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
