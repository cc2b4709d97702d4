"""The receiver's address: a real name server on loopback, its answers, forged and cut ones."""

import asyncio
import random
import socket

from drivers import dns as module
from drivers import tls
from drivers.dns import Resolver, answer, question

NUMBER = b"\x12\x34"


def record(kind, data, name=b"\xc0\x0c"):
    return name + bytes((0, kind, 0, 1, 0, 0, 0, 60, 0, len(data))) + data


def reply(asked, *records, flags=b"\x81\x80"):
    """What a name server says to the bytes of a question."""
    head = asked[:2] + flags + b"\x00\x01" + bytes((0, len(records))) + b"\x00\x00\x00\x00"
    return head + asked[12:] + b"".join(records)


class Server:
    """A name server; `replies(asked)` gives the datagrams that it sends back."""

    def __init__(self, replies):
        self.replies = replies
        self.asked = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while True:
            self.port = random.randint(20000, 60000)
            try:
                self.udp.bind(socket.getaddrinfo("127.0.0.1", self.port)[0][-1])
                break
            except OSError:
                pass
        self.udp.setblocking(False)

    async def run(self):
        while True:
            try:
                data, sender = self.udp.recvfrom(512)
                self.asked.append(data)
                for datagram in self.replies(data):
                    self.udp.sendto(datagram, sender)
            except OSError:
                pass
            await asyncio.sleep_ms(5)


def look_up(host, replies, attempt_ms=300):
    """(address or the error's words, questions asked, turns of the loop meanwhile)."""
    server = Server(replies)
    where = ("127.0.0.1", server.port)
    resolver = Resolver(lambda: where[0], server.port, where)
    turns = [0]

    async def turn():
        while True:
            turns[0] += 1
            await asyncio.sleep_ms(10)

    async def main():
        tasks = [asyncio.create_task(server.run()), asyncio.create_task(turn())]
        try:
            return await resolver.address(host)
        except OSError as error:
            return str(error)
        finally:
            for task in tasks:
                task.cancel()
            server.udp.close()

    kept, module.ATTEMPT_MS = module.ATTEMPT_MS, attempt_ms
    try:
        return asyncio.run(main()), server.asked, turns[0]
    finally:
        module.ATTEMPT_MS = kept


def test_digits_need_no_look_up():
    for address in ("192.168.1.20", "fd00::20"):
        assert asyncio.run(Resolver().address(address)) == address


def test_the_question_is_that_of_the_standard():
    assert question(NUMBER, "a.example") == (
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01"
    )
    assert question(NUMBER, "a.example.") == question(NUMBER, "a.example")
    assert len(question(NUMBER, ("b" * 63 + ".") * 3 + "c" * 61)) == 12 + 255 + 4
    for wrong in ("", ".", "a..b", "b" * 64, ("b" * 63 + ".") * 3 + "c" * 62):
        try:
            question(NUMBER, wrong)
        except OSError:
            continue
        raise AssertionError(wrong)


def test_a_name_and_a_name_of_the_local_network():
    for host in ("receiver.example", "receiver.local", "RECEIVER.LOCAL."):
        got, asked, _ = look_up(host, lambda q: [reply(q, record(1, b"\x0a\x00\x00\x07"))])
        assert got == "10.0.0.7" and len(asked) == 1, (host, got)
        assert asked[0] == question(asked[0][:2], host)


def test_the_loop_turns_and_the_question_is_asked_again():
    answers = [[], [], [b"\x0a\x00\x00\x07"]]
    got, asked, turns = look_up(
        "receiver.example", lambda q: [reply(q, record(1, data)) for data in answers.pop(0)]
    )
    assert got == "10.0.0.7" and len(asked) == 3 and turns > 20, (got, asked, turns)


def test_nobody_answers():
    got, asked, _ = look_up("receiver.example", lambda q: [], attempt_ms=100)
    assert got == "no answer to the look-up of receiver.example", got
    assert len(asked) == module.ATTEMPTS
    try:
        asyncio.run(Resolver().address("receiver.example"))
    except OSError as error:
        assert str(error) == "no name server to ask for receiver.example"


def test_no_such_name():
    got, asked, _ = look_up("no.example", lambda q: [reply(q, flags=b"\x81\x83")])
    assert got == "the name server knows no such host, code 3" and len(asked) == 1


def test_a_name_server_that_fails_or_refuses_is_asked_again():
    """SERVFAIL and REFUSED say nothing of the name (RFC 1035, 4.1.1)."""
    for code in (2, 5):
        answers = [
            lambda q, code=code: reply(q, flags=bytes((0x81, 0x80 | code))),
            lambda q: reply(q, record(1, b"\x0a\x00\x00\x07")),
        ]
        got, asked, _ = look_up("a.example", lambda q, a=answers: [a.pop(0)(q)], attempt_ms=100)
        assert got == "10.0.0.7" and len(asked) == 2, (code, got)
        failing = bytes((0x81, 0x80 | code))
        fails = lambda q, failing=failing: [reply(q, flags=failing)]  # noqa: E731
        got, asked, _ = look_up("a.example", fails, attempt_ms=100)
        assert got == "the name server gave no answer, code %d" % code, got
        assert len(asked) == module.ATTEMPTS


def test_a_name_with_an_ipv6_address_only_says_so():
    def only_v6(asked):
        return [reply(asked, record(28, bytes(16))) if asked[-3] == 28 else reply(asked)]

    got, asked, _ = look_up("v6.example", only_v6)
    assert got == "v6.example has only an IPv6 address; give its IPv4 address", got
    assert [data[-3] for data in asked] == [1, 28] and asked[0][:2] != asked[1][:2]
    got, asked, _ = look_up("none.example", lambda q: [reply(q)])
    assert got == "none.example has no address" and len(asked) == 2, got


def test_other_records_lead_to_the_address_and_none_is_none():
    asked = question(NUMBER, "a.example")
    alias = record(5, b"\x01b\xc0\x0e")
    v6 = record(28, bytes(16))
    a = record(1, b"\xc0\xa8\x01\x14", b"\x01b\x07example\x00")
    assert answer(reply(asked, alias, v6, a), NUMBER) == "192.168.1.20"
    assert answer(reply(asked, alias, v6), NUMBER) == ""
    assert answer(reply(asked, record(1, b"\x01\x02\x03")), NUMBER) == ""


def test_what_is_no_answer_to_this_question_is_none():
    asked = question(NUMBER, "a.example")
    right = reply(asked, record(1, b"\x0a\x00\x00\x07"))
    assert answer(right, NUMBER) == "10.0.0.7"
    assert answer(right, b"\x12\x35") is None, "another question's"
    assert answer(reply(asked, record(1, b"\x0a\x00\x00\x07"), flags=b"\x01\x00"), NUMBER) is None
    for length in range(len(right)):
        assert answer(right[:length], NUMBER) is None, length
    other = reply(asked, record(1, b"\x06\x06\x06\x06"))[2:]
    forged = [b"\x99\x99" + other, b"", right[:20]]
    got, _, _ = look_up("a.example", lambda q: forged + [q[:2] + right[2:]])
    assert got == "10.0.0.7"


def test_whatever_arrives_is_an_address_or_none():
    random.seed(7)
    right = reply(question(NUMBER, "a.example"), record(1, b"\x0a\x00\x00\x07"))
    for _ in range(20000):
        data = bytearray(right)
        for _ in range(random.randint(1, 8)):
            data[random.randint(2, len(data) - 1)] = random.getrandbits(8)
        try:
            found = answer(bytes(data[: random.randint(0, len(data))]), NUMBER)
        except OSError:
            continue
        assert not found or found.count(".") == 3, data


def test_every_connection_looks_its_receiver_up_beside_the_audio():
    class Config:
        receiver_host, receiver_port, receiver_name = "receiver.invalid", 10700, ""
        ssl_ca = ssl_certificate = ssl_key = ""

    class Told:
        def __init__(self, name_server):
            assert name_server() == "192.168.1.1"

        async def address(self, host):
            raise OSError("asked for %s" % host)

    kept = tls.Resolver, tls.context
    tls.Resolver, tls.context = Told, lambda *arguments: None
    try:
        for Config.insecure in (True, False):
            try:
                asyncio.run(tls.connector(Config, None, lambda: "192.168.1.1")())
                raise AssertionError(Config.insecure)
            except OSError as error:
                assert str(error) == "asked for receiver.invalid", (Config.insecure, error)
    finally:
        tls.Resolver, tls.context = kept
