"""What reading messages costs: counted for real, and below what the device's limits allow for."""

import json
import re
import shutil

import pytest
from click.testing import CliRunner

from host_tools.commands import bench
from host_tools.shared_firmware import FIRMWARE
from host_tools.xtensa import parser_cost

#: docs/protocol.md: 8192 bytes at once are at most 58 million instructions.
MAX_PER_BYTE = 7080


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_the_dearest_message_is_within_what_the_limits_allow(native_emitter, monkeypatch):
    dearest = "unknown, 13 bytes"
    chosen = {dearest: parser_cost.MESSAGES[dearest]}
    monkeypatch.setattr(parser_cost, "MESSAGES", chosen)
    done = CliRunner().invoke(bench.command, ["--parser", "--json"])
    assert done.exit_code == 0, done.output
    assert 1000 < json.loads(done.stdout)[dearest] <= MAX_PER_BYTE


def test_it_reads_as_much_at_once_as_the_device_does():
    source = (FIRMWARE / "satellite" / "streamer.py").read_text(encoding="utf-8")
    assert re.search(rf"^READ_BYTES = (?:const\()?{parser_cost.READ_BYTES}\b", source, re.M)
