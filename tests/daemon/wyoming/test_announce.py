"""The port is announced where other machines can reach it, and nowhere else."""

import asyncio
import ipaddress

import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from daemon.wyoming import announce
from daemon.wyoming.announce import KIND, addresses_of, announced, name_here

PORT = 10321


async def found() -> AsyncServiceInfo | None:
    """What a browser on this machine finds."""
    browser = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        info = AsyncServiceInfo(KIND, f"{name_here()}.{KIND}")
        return info if await info.async_request(browser.zeroconf, 2000) else None
    finally:
        await browser.async_close()


def test_a_browser_finds_the_port_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        monkeypatch.setattr(announce, "addresses_of", lambda host: ["127.0.0.1"])
        async with announced("0.0.0.0", PORT):
            await asyncio.sleep(1.5)
            info = await found()
            if info is None:
                pytest.skip("this machine's loopback carries no multicast")
            assert info.port == PORT
            assert info.parsed_addresses() == ["127.0.0.1"]
        assert await found() is None

    asyncio.run(scene())


def test_only_what_others_can_reach_is_announced() -> None:
    assert addresses_of("127.0.0.1") == addresses_of("::1") == addresses_of("localhost") == []
    assert addresses_of("192.168.1.7") == ["192.168.1.7"]
    everywhere = addresses_of("0.0.0.0")
    assert not any(ipaddress.ip_address(one).is_loopback for one in everywhere)


@pytest.mark.parametrize("fails", ["AsyncZeroconf", "addresses_of"])
def test_a_network_that_takes_none_does_no_harm(
    fails: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A unit that may not look at its addresses is such a network, too."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("no multicast here")

    monkeypatch.setattr(announce, fails, fail)

    async def scene() -> bool:
        async with announced("192.168.1.7", PORT):
            await asyncio.sleep(0.1)
            return True

    assert asyncio.run(scene())
    assert "no multicast here" in caplog.text


def test_a_network_that_comes_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce, "LOOK_SECONDS", 0.1)
    addresses: list[str] = []
    made: list[object] = []

    class Network:
        def __init__(self, interfaces: object) -> None:
            made.append(interfaces)

        async def async_register_service(self, info: AsyncServiceInfo) -> None:
            made.append(info.parsed_addresses())

        async def async_close(self) -> None:
            made.append("closed")

    monkeypatch.setattr(announce, "AsyncZeroconf", Network)
    monkeypatch.setattr(announce, "addresses_of", lambda host: list(addresses))

    async def scene() -> None:
        async with announced("0.0.0.0", PORT):
            await asyncio.sleep(0.2)
            assert made == []
            addresses.append("192.168.1.7")
            await asyncio.sleep(0.3)

    asyncio.run(scene())
    assert made == [["192.168.1.7"], ["192.168.1.7"], "closed"]
