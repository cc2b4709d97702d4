"""The receiver's address out of its name: one DNS question over UDP, while the audio loop goes on.

MicroPython's own `getaddrinfo` waits for the answer, with a dead name server longer than the
watchdog does.  Questions and answers are those of RFC 1035; a name that ends in .local is asked
for by multicast, once (RFC 6762, 5.1).  A forged answer leads to a receiver that cannot show the
certificate.  Imports socket; must not import wakeword or satellite.
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
_A, _IN = 1, 1


class Resolver:
    """`name_server()` gives the address of the network's DNS server, in digits; None: there is
    none, and only names that end in .local have an address.
    """

    def __init__(self, name_server=None, dns_port=DNS_PORT, mdns=MDNS):
        self._name_server = name_server
        self._dns_port = dns_port
        self._mdns = mdns

    async def address(self, host):
        """`host` in digits.  Raises OSError: no such name, no way there, or nobody answered after
        ATTEMPTS questions.
        """
        if ":" in host or all(c in "0123456789." for c in host):
            return host
        is_local = host.lower().rstrip(".").endswith(".local")
        if not is_local and self._name_server is None:
            raise OSError("no name server to ask for %s" % host)
        where = self._mdns if is_local else (self._name_server(), self._dns_port)
        number = os.urandom(2)
        asked = question(number, host)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            to = socket.getaddrinfo(*where)[0][-1]  # digits: nobody is asked
            if not is_local:
                udp.connect(to)  # others' answers do not come in
            for _ in range(ATTEMPTS):
                udp.sendto(asked, to) if is_local else udp.send(asked)
                for _ in range(ATTEMPT_MS // _LOOK_MS):
                    await asyncio.sleep_ms(_LOOK_MS)
                    found = answer(_received(udp), number)
                    if found:
                        return found
        finally:
            udp.close()
        raise OSError("no answer to the look-up of %s" % host)


def _received(udp):
    """The next datagram, b"" when there is none; a port where nobody listens is not worse."""
    try:
        return udp.recv(MAX_ANSWER_BYTES)
    except OSError:
        return b""


def question(number, host):
    """The DNS message that asks for the IPv4 address of `host`; `number` is two bytes.

    Raises OSError when it cannot be a name: a label is 1 to 63 bytes, all of it at most 253.
    """
    message = bytearray(number) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    name = host[:-1] if host.endswith(".") else host
    for label in name.encode().split(b"."):
        if not 0 < len(label) <= 63 or len(name) > 253:
            raise OSError("%s is no name of a host" % host)
        message.append(len(label))
        message += label
    message += bytes((0, 0, _A, 0, _IN))
    return message


def answer(data, number):
    """The first IPv4 address, in digits, in the answer with that number; None where there is none,
    whatever `data` is.  Raises OSError when the name server says that there is no such name.
    """
    try:
        if bytes(data[:2]) != bytes(number) or not data[2] & 0x80:
            return None
        code = data[3] & 15
        if code:
            raise OSError("the name server knows no such host, code %d" % code)
        at = 12
        for _ in range(_word(data, 4)):
            at = _after_name(data, at) + 4
        for _ in range(_word(data, 6)):
            at = _after_name(data, at)
            kind, size = _word(data, at), _word(data, at + 8)
            at += 10
            if kind == _A and size == 4:
                return "%d.%d.%d.%d" % tuple(data[at + i] for i in range(4))
            at += size
    except IndexError:
        pass  # cut off
    return None


def _word(data, at):
    return data[at] << 8 | data[at + 1]


def _after_name(data, at):
    """Where the name at `at` ends: at an empty label, or with a pointer to the rest."""
    while data[at]:
        if data[at] & 0xC0:
            return at + 2
        at += data[at] + 1
    return at + 1
