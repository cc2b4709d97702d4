"""What is announced on the network: the fields that Home Assistant reads, and no more."""

from host_tools.home.identity import IdentityBook
from host_tools.home.neighbours import service


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
