"""Announces the port on the network (zeroconf, mDNS), so that Home Assistant finds it by itself."""

import asyncio
import ipaddress
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import ifaddr
from zeroconf import Error as ZeroconfError
from zeroconf import InterfaceChoice
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

logger = logging.getLogger(__name__)

KIND = "_wyoming._tcp.local."
LOOK_SECONDS = 30.0
"""Time after which the addresses are looked up again: a network may come after the daemon."""


def name_here() -> str:
    """The name by which this machine's Attune is announced: it stays the same."""
    return f"attune-{uuid.getnode():012x}"


def addresses_of(host: str) -> list[str]:
    """The addresses at which other machines reach a port that is opened at `host`: none on the
    loopback, all of this machine where `host` stands for them. A name is not looked up. Raises
    OSError where this process may not look."""
    try:
        given = ipaddress.ip_address(host)
    except ValueError:
        return []
    if given.is_loopback:
        return []
    if not given.is_unspecified:
        return [host]
    own = [one.ip for adapter in ifaddr.get_adapters() for one in adapter.ips if one.is_IPv4]
    found = [ipaddress.ip_address(str(one)) for one in own]
    return sorted(str(one) for one in found if not one.is_loopback and not one.is_link_local)


@asynccontextmanager
async def announced(host: str, port: int) -> AsyncIterator[None]:
    """Announce the port that is opened at `host`, where other machines can reach it, until the
    block ends. Where the network takes no announcement, a warning says so, and nothing else
    happens."""
    announcing = asyncio.create_task(_announce(host, port))
    try:
        yield
    finally:
        announcing.cancel()
        with suppress(asyncio.CancelledError):
            await announcing


async def _announce(host: str, port: int) -> None:
    known: list[str] = []
    told = ""
    zeroconf: AsyncZeroconf | None = None
    try:
        while True:
            try:
                addresses = addresses_of(host)
                if addresses != known:
                    known = addresses
                    if zeroconf is not None:
                        await zeroconf.async_close()
                        zeroconf = None
                    if addresses:
                        zeroconf = AsyncZeroconf(
                            interfaces=addresses if len(addresses) == 1 else InterfaceChoice.All
                        )
                        await zeroconf.async_register_service(_info(addresses, port))
                        logger.info("announced on the network as %s", name_here())
            except (OSError, ZeroconfError) as error:
                if told != repr(error):
                    told = repr(error)
                    logger.warning("Wyoming is not announced on the network: %s", told)
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        if zeroconf is not None:
            await zeroconf.async_close()


def _info(addresses: list[str], port: int) -> AsyncServiceInfo:
    name = name_here()
    return AsyncServiceInfo(
        KIND,
        f"{name}.{KIND}",
        port=port,
        parsed_addresses=addresses,
        server=f"{name}.local.",
    )
