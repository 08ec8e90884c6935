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


def test_a_browser_finds_the_port_until_it_is_closed() -> None:
    async def scene() -> None:
        async with announced(["127.0.0.1"], PORT):
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


def test_a_network_that_takes_none_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: object) -> None:
        raise OSError("no multicast here")

    monkeypatch.setattr(announce, "AsyncZeroconf", fail)

    async def scene() -> bool:
        async with announced(["192.168.1.7"], PORT):
            return True

    assert asyncio.run(scene())
    assert "no multicast here" in caplog.text
