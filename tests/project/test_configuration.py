"""docs/configuration.md and docs/audit.md say what the firmware does."""

import json
import re

from firmware.satellite import audit_record
from host_tools.shared_firmware import ROOT

PRINT = """
import json
from satellite import config
for name, default, kind in config.FIELDS:
    default = list(default) if isinstance(default, tuple) else default
    print(json.dumps([name, default, kind.allowed]))
print(config.MAX_BYTES)
"""
AUDIT = """
from satellite import audit_log
print(audit_log.FILE_BYTES, audit_log.FILES, audit_log.BURST, audit_log.REFILL_MS // 1000)
print(audit_log.MAX_DAY_BYTES)
"""


def rows(name):
    """The cells of all table rows of a page, without their backquotes."""
    for line in (ROOT / "docs" / name).read_text().splitlines():
        if line.startswith("| `"):
            yield [cell.strip().strip("`") for cell in line.strip("|").split(" | ")]


def test_every_field_with_its_default_and_what_is_allowed(run_micropython):
    *lines, size = run_micropython(PRINT).decode().splitlines()
    fields = [json.loads(line) for line in lines]
    documented = [row for row in rows("configuration.md") if len(row) == 4]
    assert [row[0] for row in documented] == [name for name, _, _ in fields]
    for (name, default, allowed), row in zip(fields, documented, strict=True):
        assert json.loads(row[1]) == default, name
        assert row[2] == allowed, name
        assert row[3], name
    assert f"at most {size} bytes" in " ".join(
        (ROOT / "docs" / "configuration.md").read_text().split()
    )


def test_every_kind_of_record_with_its_fields():
    documented = dict(row[:2] for row in rows("audit.md"))
    assert list(documented) == list(audit_record.KINDS)
    for kind, (must, may) in audit_record.KINDS.items():
        cell = documented[kind]
        required = re.findall(r"(?<!\[)`?\b([a-z_]+)`(?!\])", "`" + cell.split(":")[0] + "`")
        optional = re.findall(r"\[`([a-z_]+)`\]", "`" + cell + "`")
        assert [name for name, _ in may] == optional, kind
        assert {name for name, _ in must} <= set(required), kind


def test_the_numbers_of_the_audit_log(run_micropython):
    text = " ".join((ROOT / "docs" / "audit.md").read_text().split())
    size, files, burst, refill_s, day_bytes = map(int, run_micropython(AUDIT).split())
    assert f"Past {size:,} bytes" in text and f"up to {files} files" in text
    assert f"a budget of {burst} records that grows by one every {refill_s} s" in text
    assert f"{86400 // refill_s + burst:,} records a day, {day_bytes / 1e6:.1f} MB" in text
