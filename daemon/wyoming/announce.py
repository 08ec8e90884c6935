"""Announces the port on the network (zeroconf, mDNS), so that Home Assistant finds it by itself."""

import ipaddress
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import ifaddr
from zeroconf import Error as ZeroconfError
from zeroconf import InterfaceChoice
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

logger = logging.getLogger(__name__)

KIND = "_wyoming._tcp.local."


def name_here() -> str:
    """The name by which this machine's Attune is announced: it stays the same."""
    return f"attune-{uuid.getnode():012x}"


def addresses_of(host: str) -> list[str]:
    """The addresses at which other machines reach a port that is opened at `host`: none on the
    loopback, all of this machine where `host` stands for them. A name is not looked up."""
    try:
        given = ipaddress.ip_address(host)
    except ValueError:
        return []
    if given.is_loopback:
        return []
    if not given.is_unspecified:
        return [host]
    own = [one.ip for adapter in ifaddr.get_adapters() for one in adapter.ips if one.is_IPv4]
    return [str(one) for one in own if not ipaddress.ip_address(str(one)).is_loopback]


@asynccontextmanager
async def announced(addresses: list[str], port: int) -> AsyncIterator[None]:
    """Announce the port at `addresses`, if there are any, until the block ends. Where the network
    takes no announcement, a warning says so, and nothing else happens."""
    if not addresses:
        yield
        return
    name = name_here()
    info = AsyncServiceInfo(
        KIND,
        f"{name}.{KIND}",
        port=port,
        parsed_addresses=addresses,
        server=f"{name}.local.",
    )
    zeroconf = None
    try:
        on = addresses if len(addresses) == 1 else InterfaceChoice.All
        zeroconf = AsyncZeroconf(interfaces=on)
        await zeroconf.async_register_service(info)
        logger.info("announced on the network as %s", name)
    except (OSError, ZeroconfError) as error:
        logger.warning("Wyoming is not announced on the network: %r", error)
    try:
        yield
    finally:
        if zeroconf is not None:
            await zeroconf.async_close()
