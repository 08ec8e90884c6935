"""What images are made from, as far as it can be looked at without building any: `make test-images`
builds them."""

import re
import subprocess
import sys
import sysconfig
import tomllib
import types
from pathlib import Path

import pytest
import yaml

from daemon.config.sources import load_settings

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run(
        [str(hadolint), "--no-color", str(DOCKER / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_dockerfile_copies_is_there_and_is_all_that_set_up_needs() -> None:
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE
    )
    names = {name for line in copied for name in line.split()}
    assert all((ROOT / name).exists() for name in names)
    script = (DOCKER / "environment.sh").read_text()
    [taken] = re.findall(r"^cp -r (.+) \"", script, re.MULTILINE)
    assert set(taken.split()) <= names


def test_jetson_containers_gets_the_package_that_it_expects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [head] = re.findall(
        r"^#---\n(.*?)^#---\n", (DOCKER / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL
    )
    package = yaml.safe_load(re.sub("^# ?", "", head, flags=re.MULTILINE)) | {
        "path": str(DOCKER),
        "dockerfile": "Dockerfile",
    }
    assert {"name", "group", "depends", "requires", "test", "config"} <= package.keys()
    board = types.ModuleType("jetson_containers")
    board.CUDA_ARCHITECTURES = [87]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jetson_containers", board)
    module: dict[str, object] = {"package": package}
    exec((DOCKER / str(package["config"])).read_text(), module)
    assert package["path"] == str(ROOT)
    assert (ROOT / str(package["dockerfile"])).is_file()
    arguments = package["build_args"]
    assert isinstance(arguments, dict)
    for name in arguments:
        assert f"ARG {name}" in (DOCKER / "Dockerfile").read_text()
    assert arguments["LLAMA_FLAGS"].endswith("=87")


@pytest.mark.parametrize("name", ["compose.board.yaml", "compose.desktop.yaml"])
def test_containers_have_no_network_and_no_rights(name: str) -> None:
    compose = yaml.safe_load((DOCKER / name).read_text())
    for service in compose["services"].values():
        assert service["network_mode"] == "none"
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"]
    build = compose["services"]["attune"]["build"]
    assert (
        (DOCKER / name).parent / build["context"] / build["dockerfile"]
    ).resolve() == DOCKER / "Dockerfile"


def test_the_recipe_names_what_the_project_depends_on() -> None:
    recipe = (DOCKER / "yocto" / f"attune_{PROJECT['version']}.bb").read_text()
    needed, learning = re.findall(r"^R\w+:\$\{PN\} = \"(.*?)\"", recipe, re.MULTILINE | re.DOTALL)
    for name in (re.split("[<>=]", wanted)[0] for wanted in PROJECT["dependencies"]):
        assert f"python3-{name}" in needed
    for name in PROJECT["optional-dependencies"]["calibration"]:
        assert name == "matplotlib" or f"python3-{name}" in learning


def test_packages_and_changelog_have_the_version_of_the_project() -> None:
    version = PROJECT["version"]
    assert (DOCKER / "debian" / "changelog").read_text().startswith(f"attune ({version}) ")
    newest = re.findall(
        r"^## \[(\d.*?)\] - (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert newest[0][0] == version
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", newest[0][1])


def test_the_examples_in_the_settings_that_come_with_packages_hold(tmp_path: Path) -> None:
    text = (ROOT / "systemd" / "attune.toml").read_text()
    assert tomllib.loads(text) == {}
    file = tmp_path / "attune.toml"
    file.write_text(
        "\n".join(
            line.removeprefix("# ")
            for line in text.splitlines()
            if re.match(r"# (\[|\w+ = )", line)
        )
    )
    origins = load_settings(file, environment={}).origins
    assert sum(origin == str(file) for origin in origins.values()) == 3
