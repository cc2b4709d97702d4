"""The log as the journal of systemd reads it."""

import logging
import os

from host_tools.commands.receive import _view
from host_tools.receiver.journal import JournalHandler, is_stderr
from host_tools.receiver.view import LogView


def test_each_line_has_its_level(capsys):
    view = LogView(JournalHandler(), is_verbose=True)
    view.emit("connected", device="kitchen\n<0>forged", address="[::1]:9")
    view.emit("refused", address="[::1]:9", reason="unknown")
    view.emit("received", device="kitchen", type="ping")
    logging.getLogger("asyncio").error("one\ntwo")
    view.close()
    told = capsys.readouterr()
    assert told.out == "" and told.err.splitlines() == [
        "<6>kitchen <0>forged connected from [::1]:9",
        "<4>refused [::1]:9: unknown",
        "<7>kitchen sent ping",
        "<3>one",
        "<3>two",
    ]


def test_it_is_used_only_when_standard_error_goes_to_the_journal(monkeypatch, capsys):
    status = os.fstat(2)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert not is_stderr()
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + 1}")
    assert not is_stderr()
    view = _view(False, False)
    view.emit("warning", message="to a file")
    view.close()
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    assert is_stderr()
    view = _view(False, False)
    view.emit("warning", message="to the journal")
    view.close()
    told = capsys.readouterr()
    assert "WARNING to a file" in told.out and told.err == "<4>to the journal\n"


def test_what_was_said_is_in_no_log_that_is_kept(monkeypatch, capsys):
    status = os.fstat(2)
    for stream in ("", f"{status.st_dev}:{status.st_ino}"):  # a file, a container; the journal
        monkeypatch.setenv("JOURNAL_STREAM", stream)
        view = _view(False, True)
        view.emit("transcript", device="kitchen", stream="0", text="secret one")
        view.emit("answer", device="kitchen", stream="0", text="secret two", by="nobody")
        view.emit("timer-rang", device="kitchen", timer="secret three timer", ended="button")
        view.emit("timer-lost", timer="secret four timer", reason="nobody was there")
        view.close()
        told = capsys.readouterr()
        lines = (told.err if stream else told.out).splitlines()
        assert len(lines) == 4 and "secret" not in told.out + told.err, lines
        assert lines[0].endswith("“...”") and lines[1].endswith("kitchen: “...” (nobody)")
