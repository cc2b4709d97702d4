"""Who makes way when too many handshakes are in progress."""

import asyncio

import pytest

from host_tools.receiver.handshakes import Dropped, Handshakes, network_of


async def held(handshakes, address, log, name):
    """A handshake that never ends by itself."""
    try:
        with handshakes.one(address):
            log.append(name)
            await asyncio.sleep(3600)
    except Dropped:
        log.append(f"{name} dropped")


def run(script, **limits):
    """Run `script(start)`; returns what happened, in order."""
    log = []

    async def main():
        handshakes = Handshakes(**limits)
        tasks = {}

        async def start(name, address):
            tasks[name] = asyncio.create_task(held(handshakes, address, log, name))
            for _ in range(3):
                await asyncio.sleep(0)

        await script(start)
        log.append(len(handshakes))
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert len(handshakes) == 0

    asyncio.run(main())
    return log


def test_an_address_has_few_and_its_oldest_gives_way():
    async def script(start):
        await start("other", "10.0.0.9")
        for number in range(4):
            await start(f"a{number}", "10.0.0.1")

    log = run(script, most=32, most_per_address=2)
    assert log == ["other", "a0", "a1", "a2", "a0 dropped", "a3", "a1 dropped", 3]


def test_when_all_are_taken_the_network_with_the_most_gives_way():
    async def script(start):
        await start("early", "10.0.0.1")
        for number in range(3):
            await start(f"flood{number}", "10.0.0.2")
        await start("late", "10.0.0.3")
        await start("later", "10.0.0.4")

    log = run(script, most=4, most_per_address=8)
    assert [words for words in log if "dropped" in str(words)] == [
        "flood0 dropped",
        "flood1 dropped",
    ]


def test_many_addresses_of_one_ipv6_network_are_one():
    async def script(start):
        for number in range(3):
            await start(f"a{number}", f"2001:db8::{number}")
        await start("b", "2001:db8:0:1::1")

    log = run(script, most=32, most_per_address=2)
    assert log == ["a0", "a1", "a2", "a0 dropped", "b", 3]


@pytest.mark.parametrize(
    "address, network",
    [
        ("192.168.1.7", "192.168.1.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.168.1.7", "::ffff:c0a8:107"),
        ("not an address", "not an address"),
    ],
)
def test_networks(address, network):
    assert network_of(address) == network


def test_the_end_of_the_receiver_is_no_refusal():
    async def main():
        handshakes = Handshakes()
        task = asyncio.create_task(held(handshakes, "10.0.0.1", [], "a"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
