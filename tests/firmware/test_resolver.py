"""The receiver's address: names in a thread, while everything else goes on."""

import asyncio
import time

from drivers import resolver as module
from drivers.resolver import Resolver


def refuses(resolver, host):
    try:
        asyncio.run(resolver.address(host, 10700))
    except OSError as error:
        return str(error)
    raise AssertionError(host)


def test_digits_need_no_look_up():
    def never(*arguments):
        raise AssertionError("looked up")

    for address in ("192.168.1.20", "fd00::20"):
        assert asyncio.run(Resolver(never).address(address, 10700)) == address


def test_a_name_that_the_host_knows():
    assert asyncio.run(Resolver().address("localhost", 10700)) == "127.0.0.1"


def test_the_loop_turns_while_the_name_is_looked_up():
    asked = []

    def slow(host, port, family, kind):
        asked.append((host, port))
        time.sleep(0.5)
        return [(2, 1, 0, "", ("10.0.0.7", port))]

    async def main():
        task = asyncio.create_task(Resolver(slow).address("receiver.local", 10700))
        turns = 0
        while not task.done():
            await asyncio.sleep_ms(10)
            turns += 1
        return await task, turns

    address, turns = asyncio.run(main())
    assert address == "10.0.0.7" and asked == [("receiver.local", 10700)]
    assert turns > 10, turns


def test_an_unknown_name_and_a_strange_answer_are_no_network():
    for answer in (OSError(-2), MemoryError(), []):

        def fails(*arguments, answer=answer):
            if isinstance(answer, Exception):
                raise answer
            return answer

        resolver = Resolver(fails)
        for _ in range(2):  # and it may be asked again
            assert refuses(resolver, "unknown.example") == "no address for unknown.example"


def test_a_look_up_that_does_not_end_is_given_up_and_not_doubled():
    ends = []
    threads = []

    def stuck(*arguments):
        threads.append(1)
        while not ends:
            time.sleep(0.01)
        return [(2, 1, 0, "", ("10.0.0.7", 1))]

    kept, module.LONGEST_MS = module.LONGEST_MS, 100
    try:
        resolver = Resolver(stuck)
        assert refuses(resolver, "slow.example") == "no address for slow.example"
        assert refuses(resolver, "slow.example") == "the last look-up has not ended"
        assert len(threads) == 1
        ends.append(1)
        while resolver._is_busy:
            time.sleep(0.01)
        assert asyncio.run(resolver.address("slow.example", 1)) == "10.0.0.7"
    finally:
        module.LONGEST_MS = kept
