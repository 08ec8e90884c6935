"""What a daemon listens at: without configuration at nothing that another machine, or another user,
could reach."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from engines.errors import AttuneError
from tests.daemon.test_stops import daemon
from tests.support.fake_child import eventually
from tests.support.http_house import HttpClient, free_port
from tests.support.running_daemon import folder, make_settings

__all__ = ["folder"]

_HEAVY = ("fastapi", "uvicorn", "wyoming", "zeroconf")


def listens_at(process_id: int) -> set[tuple[str, int]]:
    """The addresses at which a process takes connections by the network."""
    process = psutil.Process(process_id)
    return {
        (one.laddr.ip, one.laddr.port)
        for one in process.net_connections("inet")
        if one.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
    }


def test_without_configuration_nothing_listens(folder: Path) -> None:
    with daemon(folder, "serving at") as process:
        assert listens_at(process.pid) == set()


def test_what_is_configured_listens_there_alone(folder: Path) -> None:
    http, wyoming = free_port(), free_port()
    addresses = {
        "HTTP__ADDRESS": f"127.0.0.1:{http}",
        "WYOMING__ADDRESS": f"127.0.0.1:{wyoming}",
    }
    with daemon(folder, "serving", **addresses) as process:
        expected = {("127.0.0.1", http), ("127.0.0.1", wyoming)}
        assert eventually(lambda: listens_at(process.pid) == expected)
        assert HttpClient(http).get("/health/live").status == 200


def test_the_daemon_imports_nothing_that_serves_the_network() -> None:
    """Until it is wanted: each takes memory."""
    code = "import daemon.cli.__main__, daemon.app, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & set(_HEAVY)


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", "127.0.0.1:0x50", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_refused(address: str, folder: Path) -> None:
    with pytest.raises(AttuneError, match="http.address"):
        make_settings(folder, http__address=address)
