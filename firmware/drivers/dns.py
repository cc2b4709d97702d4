"""The receiver's address out of its name: one DNS question over UDP, while the audio loop goes on.

MicroPython's own `getaddrinfo` waits for the answer, with a dead name server longer than the
watchdog does.  Questions and answers are those of RFC 1035; a name that ends in .local is asked
for by multicast, once (RFC 6762, 5.1).  A forged answer leads to a receiver that cannot show the
certificate.  A name server that fails or refuses is asked again; only "no such name" is final.
"""

import asyncio
import os
import socket

DNS_PORT = 53
MDNS = ("224.0.0.251", 5353)
ATTEMPTS = 4
ATTEMPT_MS = 1500
MAX_ANSWER_BYTES = 512
_LOOK_MS = 50
_A, _AAAA, _IN = 1, 28, 1
_NO_SUCH_NAME = 3


class ServerFailed(OSError):
    """The name server could not or would not answer; asking again may help."""


class Resolver:
    """`name_server()` gives the address of the network's DNS server, in digits; None: there is
    none, and only names that end in .local have an address.
    """

    def __init__(self, name_server=None, dns_port=DNS_PORT, mdns=MDNS):
        self._name_server = name_server
        self._dns_port = dns_port
        self._mdns = mdns

    async def address(self, host):
        """Return `host` in digits.

        Raises OSError, and says why: no such name, no IPv4 address, no way there, or no answer
        after ATTEMPTS questions.
        """
        if ":" in host or all(c in "0123456789." for c in host):
            return host
        is_local = host.lower().rstrip(".").endswith(".local")
        if not is_local and self._name_server is None:
            raise OSError("no name server to ask for %s" % host)
        where = self._mdns if is_local else (self._name_server(), self._dns_port)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            to = socket.getaddrinfo(*where)[0][-1]  # digits: nobody is asked
            if is_local:
                return await _ask(host, lambda asked: udp.sendto(asked, to), udp)
            udp.connect(to)  # others' answers do not come in
            return await _ask(host, udp.send, udp)
        finally:
            udp.close()


async def _ask(host, send, udp):
    """The address of `host`; where it has none of IPv4, ask for one of IPv6 to say so."""
    kind = _A
    why = OSError("no answer to the look-up of %s" % host)
    for _ in range(ATTEMPTS):
        number = os.urandom(2)
        send(question(number, host, kind))
        for _ in range(ATTEMPT_MS // _LOOK_MS):
            await asyncio.sleep_ms(_LOOK_MS)
            try:
                found = answer(_received(udp), number, kind)
            except ServerFailed as error:
                why = error
                continue
            if found is None:
                continue
            if found and kind == _A:
                return found
            if found:
                raise OSError("%s has only an IPv6 address; give its IPv4 address" % host)
            if kind == _AAAA:
                raise OSError("%s has no address" % host)
            kind = _AAAA
            break
    raise why


def _received(udp):
    """The next datagram, b"" when there is none; a port where nobody listens is not worse."""
    try:
        return udp.recv(MAX_ANSWER_BYTES)
    except OSError:
        return b""


def question(number, host, kind=_A):
    """Return the DNS message that asks for an address of `host`; `number` is two bytes.

    Raises OSError when it cannot be a name: a label is 1 to 63 bytes, all of it at most 253.
    """
    message = bytearray(number) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    name = host[:-1] if host.endswith(".") else host
    for label in name.encode().split(b"."):
        if not 0 < len(label) <= 63 or len(name) > 253:
            raise OSError("%s is not a host name" % host)
        message.append(len(label))
        message += label
    message += bytes((0, 0, kind, 0, _IN))
    return message


def answer(data, number, kind=_A):
    """Return the first address of that kind in the answer with that number: IPv4 in digits.

    "" where the answer has none; None where `data` is not that answer, whatever it is.  Raises
    ServerFailed, and OSError when the name server says that there is no such name.
    """
    try:
        if bytes(data[:2]) != bytes(number) or not data[2] & 0x80:
            return None
        code = data[3] & 15
        if code == _NO_SUCH_NAME:
            raise OSError("the name server knows no such host, code %d" % code)
        if code:
            raise ServerFailed("the name server gave no answer, code %d" % code)
        at = 12
        for _ in range(_word(data, 4)):
            at = _after_name(data, at) + 4
        for _ in range(_word(data, 6)):
            at = _after_name(data, at)
            found, size = _word(data, at), _word(data, at + 8)
            at += 10
            if found == kind == _A and size == 4:
                return "%d.%d.%d.%d" % tuple(data[at + i] for i in range(4))
            if found == kind == _AAAA and size == 16:
                return "IPv6"
            at += size
        return "" if at <= len(data) else None
    except IndexError:
        return None  # cut off


def _word(data, at):
    return data[at] << 8 | data[at + 1]


def _after_name(data, at):
    """Where the name at `at` ends: at an empty label, or with a pointer to the rest."""
    while data[at]:
        if data[at] & 0xC0:
            return at + 2
        at += data[at] + 1
    return at + 1
