"""What can be the address of a board's receiver, and what is told where it cannot."""

import pytest

from host_tools.board import receiver_address
from host_tools.board.receiver_address import Address, parse
from host_tools.errors import HostToolError


@pytest.mark.parametrize(
    "text, host, port",
    [
        ("192.168.1.20", "192.168.1.20", None),
        ("192.168.1.20:10780", "192.168.1.20", 10780),
        (" receiver.local ", "receiver.local", None),
        ("receiver.local:65535", "receiver.local", 65535),
        ("My-Computer", "My-Computer", None),
        ("fe80::1", "fe80::1", None),
        ("[2001:db8::7]:1", "2001:db8::7", 1),
    ],
)
def test_what_is_taken(text, host, port):
    assert parse(text) == Address(host, port)


@pytest.mark.parametrize(
    "text, words",
    [
        ("localhost", "localhost is the board itself"),
        ("LocalHost:10780", "LocalHost is the board itself"),
        ("127.0.0.1", "127.0.0.1 is the board itself"),
        ("127.8.9.1:10780", "127.8.9.1 is the board itself"),
        ("::1", "::1 is the board itself"),
        ("0.0.0.0", "0.0.0.0 is the board itself"),
        ("999.1.1.1", "999.1.1.1 is not an IP address"),
        ("192.168.1", "192.168.1 is not an IP address"),
        ("192.168.1.20.", "is not an IP address"),
        ("a:b:c", "a:b:c is not an IP address"),
        ("224.0.0.1", "multicast"),
        ("192.168.1.20:0", "port 0 does not exist"),
        ("receiver.local:65536", "port 65536 does not exist"),
        ("receiver.local:port", "is not an IP address"),
        ("my computer", "'my computer' cannot be a receiver's address"),
        ("tcp://192.168.1.20", "is not an IP address"),
        ("-a.local", "cannot be a receiver's address"),
        ("a..b", "cannot be a receiver's address"),
        ("", "cannot be a receiver's address"),
    ],
)
def test_what_is_refused(text, words, monkeypatch):
    monkeypatch.setattr(receiver_address, "this_computer", lambda: "192.168.1.5")
    with pytest.raises(HostToolError) as caught:
        parse(text)
    assert words in caught.value.message and caught.value.hint
    if "itself" in words:
        assert "this computer's is 192.168.1.5" in caught.value.hint
