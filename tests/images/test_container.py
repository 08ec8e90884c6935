"""The container image, built for real where no Docker runs: by buildah, over a base that
debootstrap made."""

import configparser
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.bare_system import root_file_system
from tests.images.built import VERSION
from tests.support.places import PROJECT

pytestmark = [pytest.mark.images, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
BASE = "localhost/attune-test-base"
IMAGE = "localhost/attune-test"
BUILDAH = ("buildah", "--storage-driver", "vfs")


def buildah(*arguments: str, seconds: float = 600.0, check: bool = True) -> str:
    command = [*BUILDAH, *arguments]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(
            f"buildah {arguments[0]} ended with {done.returncode}:\n{done.stdout[-6000:]}"
        )
    return done.stdout.strip()


def pip_settings() -> dict[str, str]:
    """How this machine's pip finds packages; its constraints are files that the container lacks."""
    listed = subprocess.run(
        ["pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    found = (line.partition("=") for line in listed.splitlines() if line.startswith("global."))
    settings = {key.removeprefix("global."): value.strip("'") for key, _, value in found}
    settings.pop("constraint", None)
    return settings


@pytest.fixture(scope="module")
def base() -> Iterator[list[str]]:
    """An image of a bare system that trusts whom this machine trusts and finds packages where it
    does; flags for builds on it."""
    container = buildah("from", "scratch")
    root = Path(buildah("mount", container))
    subprocess.run(["cp", "--archive", f"{root_file_system()}/.", str(root)], check=True)
    trusted = Path("/usr/local/share/ca-certificates")
    if trusted.is_dir():
        shutil.copytree(trusted, root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
    subprocess.run(["chroot", str(root), "update-ca-certificates"], check=True, capture_output=True)
    settings = configparser.RawConfigParser()
    settings["global"] = pip_settings()
    with (root / "etc/pip.conf").open("w") as file:
        settings.write(file)
    buildah("commit", "--quiet", container, BASE)
    buildah("rm", container)
    places = {
        str(Path(word.removeprefix("file://")).parent)
        for value in settings["global"].values()
        for word in value.split()
        if Path(word.removeprefix("file://")).is_dir()
    }
    yield [flag for place in sorted(places) for flag in ("--volume", f"{place}:{place}:ro")]
    buildah("rmi", "--force", BASE, check=False)


@pytest.fixture(scope="module")
def container(base: list[str]) -> Iterator[str]:
    flags = [
        "--isolation",
        "chroot",
        "--build-arg",
        f"BASE_IMAGE={BASE}",
        "--file",
        "docker/Dockerfile",
        "--tag",
        IMAGE,
    ]
    buildah("build", *flags, *base, str(PROJECT), seconds=3000)
    made = buildah("from", "--pull-never", IMAGE)
    yield made
    buildah("rm", made)
    buildah("rmi", "--force", IMAGE, check=False)


def run(container: str, *command: str, check: bool = True) -> str:
    return buildah("run", "--isolation", "chroot", container, "--", *command, check=check)


def test_it_is_built_without_a_compiler_in_it_and_runs_as_nobody_special(container: str) -> None:
    assert f"attune {VERSION}" in run(container, "attune", "--version")
    assert run(container, "id", "--user") == "10990"
    assert not run(container, "sh", "-c", "command -v cc gcc c++ make || true")
    assert "speech encoder" in run(container, "attune", "doctor")


def test_it_answers_and_says_that_it_is_well(container: str) -> None:
    serving = subprocess.Popen(
        [
            *BUILDAH,
            "run",
            "--isolation",
            "chroot",
            container,
            "--",
            "attune",
            "--set",
            "audio.source=none",
            "serve",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until = time.monotonic() + 600
        while not run(container, "attune", "status", "--json", check=False).startswith("{"):
            assert serving.poll() is None, serving.communicate()[0]
            assert time.monotonic() < until
            time.sleep(1)
        assert run(container, "attune", "ask", "Say hello.")
    finally:
        run(container, "pkill", "attune", check=False)
        serving.terminate()
        serving.communicate(timeout=300)
