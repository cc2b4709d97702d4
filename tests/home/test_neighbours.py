"""What is announced on the network: the fields that Home Assistant reads, and no more."""

import asyncio

from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from host_tools.home.identity import IdentityBook
from host_tools.home.neighbours import Neighbours, service


def test_what_is_announced(tmp_path):
    identity = IdentityBook(tmp_path).of("0123456789abcdef")
    info = service(identity, "Earnest kitchen", "192.0.2.7", 6053)
    assert info.type == "_esphomelib._tcp.local."
    assert info.name == f"{identity.name}._esphomelib._tcp.local."
    assert (info.port, info.parsed_addresses()) == (6053, ["192.0.2.7"])
    told = {name.decode(): value.decode() for name, value in info.properties.items()}
    assert told.pop("mac") == identity.mac.replace(":", "").lower()
    assert told.pop("friendly_name") == "Earnest kitchen"
    assert set(told) == {"version", "platform", "board", "network", "api_encryption"}
    assert identity.key_text not in str(told)


def test_it_is_found_on_the_network_until_it_is_withdrawn(tmp_path):
    identity = IdentityBook(tmp_path).of("0123456789abcdef")
    kind = "_esphomelib._tcp.local."

    async def look(browser, wait_ms):
        info = AsyncServiceInfo(kind, f"{identity.name}.{kind}")
        return info if await info.async_request(browser.zeroconf, wait_ms) else None

    async def dialogue():
        neighbours = Neighbours("127.0.0.1")
        browser = AsyncZeroconf(interfaces=["127.0.0.1"])
        await neighbours.announce(identity, "Earnest kitchen", 6053)
        found = await look(browser, 3000)
        assert (found.port, found.parsed_addresses()) == (6053, ["127.0.0.1"])
        await neighbours.withdraw(identity)
        assert await look(browser, 300) is None
        await neighbours.close()
        await browser.async_close()

    asyncio.run(dialogue())
