"""The receiver's address: names in a thread, while everything else goes on."""

import asyncio
import time

from drivers import resolver as module
from drivers import tls
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


def test_without_room_for_a_thread_it_is_asked_again_later():
    class NoRoom:
        def __init__(self, error):
            self.error = error

        def start_new_thread(self, *arguments):
            raise self.error

    resolver = Resolver(lambda *arguments: [(2, 1, 0, "", ("10.0.0.7", 1))])
    kept = module._thread
    try:
        for error in (OSError("can't create thread"), RuntimeError(), MemoryError()):
            module._thread = NoRoom(error)
            assert refuses(resolver, "name.example") == "no thread for the look-up"
    finally:
        module._thread = kept
    assert asyncio.run(resolver.address("name.example", 1)) == "10.0.0.7"


def test_every_connection_looks_its_receiver_up_beside_the_audio():
    class Config:
        receiver_host, receiver_port, receiver_name = "receiver.invalid", 10700, ""
        ssl_authority = ssl_certificate = ssl_key = ""

    class Told:
        async def address(self, host, port):
            raise OSError("asked for %s" % host)

    kept = tls.Resolver, tls.context
    tls.Resolver, tls.context = Told, lambda *arguments: None
    try:
        for Config.insecure in (True, False):
            try:
                asyncio.run(tls.connector(Config, None)())
                raise AssertionError(Config.insecure)
            except OSError as error:
                assert str(error) == "asked for receiver.invalid", (Config.insecure, error)
    finally:
        tls.Resolver, tls.context = kept
