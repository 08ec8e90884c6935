"""Packages for the tests that look at them, each in a folder of its own, so that none is imported
by anything else."""

import subprocess
import sys
from pathlib import Path

import pytest

from engines.files import one_at_a_time
from tests.support.places import cache_dir


def installed_apart(*packages: str) -> Path:
    """The folder with `packages` ("name==version") and nothing that they depend on. Skips the test
    where one cannot be had."""
    folder = cache_dir() / "tests" / "+".join(packages).replace("==", "-")
    making = folder.with_suffix(f"{folder.suffix}.making")
    with one_at_a_time(making.with_suffix(".lock")):
        if not folder.is_dir():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            command += ["--target", str(making), *packages]
            if subprocess.run(command, capture_output=True, check=False).returncode != 0:
                pytest.skip(f"{packages} cannot be had here")
            making.rename(folder)
    return folder
