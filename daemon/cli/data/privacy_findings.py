"""`attune doctor --privacy`: what can be shown of how the user's data is kept."""

import ipaddress
import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psutil

from engines.encryption.files import key_id_of
from engines.encryption.key_file import has_keys, read_keys
from engines.errors import AttuneError
from engines.generations.folder import BASE, Damaged, list_generations, withdrawn

from ...config.installation_key import credential_path, installation_keys, key_path
from ...config.settings import Settings
from ...control.requests import GetStatus
from ...events.service import Status
from ...http.tokens import Tokens, tokens_path
from ...privacy.encrypted_files import encrypted_files
from ...privacy.take_over import BACKUP
from ...store.overview import overview
from ...store.store import DATABASE
from ..common import ask_daemon_for, gib
from ..status import told_keeping

Finding = tuple[str, bool, str]
"""A part, whether it is as it should be, and what was found."""
_NAMED = 3
_SHIPPED = {f"{BASE:04d}", "replay"}
"""Folders with nothing of the user's: they came with Attune, or were made by its set-up."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def privacy_findings(chosen: Settings) -> list[Finding]:
    """What holds on this machine now."""
    status, missing = None, ""
    try:
        status = ask_daemon_for(Status, GetStatus(), quiet_seconds=5.0)
    except AttuneError as error:
        missing = str(error)
    return [
        ("consent", True, told_keeping(status.keeping)) if status else ("consent", False, missing),
        *_folders(chosen),
        _encryption(chosen),
        _key(chosen),
        ("control socket", *_private(chosen.control.socket, "only its owner can command Attune")),
        *_ports(chosen),
        _connections(status.process) if status else ("connections", False, missing),
        *_stored(chosen),
        *_generations(chosen),
    ]


def _folders(chosen: Settings) -> Iterator[Finding]:
    for what, folder in (
        ("state", chosen.state_dir),
        ("features", chosen.cache_dir / "features"),
    ):
        try:
            yield what, *_readers(folder)
        except OSError as error:
            yield what, False, f"{error.filename}: {error.strerror}"


def _readers(folder: Path) -> tuple[bool, str]:
    """Whether only its owner can read what is in `folder`."""
    if not folder.exists():
        return True, f"{folder} does not exist"
    size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    about = f"{folder}, {gib(size_bytes)}"
    if not folder.stat().st_mode & _OTHERS:
        return True, f"{about}; only its owner can enter it"
    open_ones = [
        path
        for path in folder.rglob("*")
        if path.is_file() and _open(path) and not _SHIPPED & set(path.relative_to(folder).parts)
    ]
    if not open_ones:
        return True, f"{about}; only its owner can read the files in it"
    return False, f"{about}; others can read {len(open_ones)} files in it: chmod -R go= {folder}"


def _open(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _private(path: Path, well: str) -> tuple[bool, str]:
    if not path.exists():
        return True, f"{path} does not exist"
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & _OTHERS:
        return True, f"{path}: {well}"
    group = " and its group" if mode & stat.S_IRWXG else ""
    everybody = bool(mode & stat.S_IRWXO)
    who = "everybody" if everybody else f"its owner{group}"
    return not everybody, f"{path}: {who} can reach it (mode {mode:03o})"


def _encryption(chosen: Settings) -> Finding:
    what = "encryption"
    if not has_keys(chosen.state_dir):
        return what, False, "none yet: it begins when Attune starts"
    if (chosen.state_dir / BACKUP).is_dir():
        told = f"a copy of what was stored before is not encrypted: {chosen.state_dir / BACKUP}"
        return what, False, f"{told} goes after 7 days, or remove it now"
    try:
        keys = read_keys(chosen.state_dir, installation_keys(chosen))
        known = {key.id for key in keys.ring.all}
        others = [path for path in encrypted_files(chosen) if key_id_of(path) not in known]
    except (AttuneError, OSError) as error:
        return what, False, str(error)
    if others:
        return what, False, f"{len(others)} files are plain or of another key: {others[0]}"
    told = f"AES-256, key {keys.opened_with.fingerprint} in {keys.opened_with.where}"
    if chosen.state_dir in key_path(chosen).parents and not credential_path():
        beside = "beside what it opens, so whoever copies the folder can read it"
        return what, False, f"{told}, {beside}: set storage.key_file"
    return what, True, told


def _key(chosen: Settings) -> Finding:
    path = chosen.state_dir / "receipts.key"
    if not path.exists():
        return "key of receipts", True, "none yet: nothing was forgotten"
    return "key of receipts", *_private(path, "only its owner can read it")


def _ports(chosen: Settings) -> Iterator[Finding]:
    for what, address, knows_tokens in (
        ("Wyoming", chosen.wyoming.address, False),
        ("HTTP", chosen.http.address, True),
    ):
        if not address:
            yield what, True, "not served"
            continue
        host = address.rpartition(":")[0].strip("[]")
        if _is_loopback(host):
            yield what, True, f"{address}: programs on this machine alone"
        elif not knows_tokens:
            yield (
                what,
                False,
                f"{address}: whoever reaches it can use it, and hears what was said;"
                " allow Home Assistant alone in your firewall",
            )
        else:
            count = len(Tokens(tokens_path(chosen.state_dir)).all())
            yield what, count > 0, f"{address}: {count} tokens let clients of other machines in"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _connections(process: int) -> Finding:
    """The connections of the daemon, and of its children, to other machines."""
    what = "connections"
    try:
        daemon = psutil.Process(process)
        found = [
            f"{one.raddr.ip}:{one.raddr.port}"
            for each in [daemon, *daemon.children(recursive=True)]
            for one in each.net_connections(kind="inet")
            if one.raddr and not _is_loopback(one.raddr.ip)
        ]
    except psutil.Error as error:
        return what, False, f"those of process {process} cannot be seen ({error}); run it as root"
    if not found:
        return what, True, "none to another machine now"
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return what, False, f"with {', '.join(found[:_NAMED])}{more}: clients, or the house"


def _stored(chosen: Settings) -> Iterator[Finding]:
    try:
        held = overview(chosen.state_dir / DATABASE)
    except AttuneError as error:
        yield "stored", False, str(error)
        return
    if not held:
        yield "stored", True, "nothing"
    for one in held:
        since = "" if one.since is None else f", since {date.fromtimestamp(one.since).isoformat()}"
        yield one.what, True, f"{one.count}{since}"


def _generations(chosen: Settings) -> Iterator[Finding]:
    root = chosen.generations
    for one in list_generations(root):
        what = f"generation {one.number:04d}"
        if isinstance(one, Damaged):
            yield what, False, one.reason
        elif one.number == BASE:
            yield what, True, "learnt from nobody's recordings here; it came with Attune"
        elif one.card.learnt_from is None:
            yield what, True, "of an earlier release, which did not note what it learnt from"
        else:
            yield what, True, f"learnt from {len(one.card.learnt_from)} recordings"
    gone = withdrawn(root)
    if gone:
        numbers = ", ".join(f"{number:04d}" for number in gone)
        yield "withdrawn", True, f"{numbers}: what they had learnt from was forgotten"
