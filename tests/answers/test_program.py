"""The owner's program: real ones, good and bad."""

import asyncio
import os
import time

import pytest

from host_tools.answers import program
from host_tools.answers.program import ProgramError
from host_tools.errors import HostToolError


@pytest.fixture
def script(tmp_path):
    def write(body, mode=0o755):
        path = tmp_path / "answer.sh"
        path.write_text("#!/bin/sh\n" + body)
        path.chmod(mode)
        return path

    return write


def ask(path, text="turn on the light", **extra):
    return asyncio.run(program.ask(path, text, extra))


def test_it_gets_the_words_and_says_the_reply(script):
    path = script('read words; echo "You said: $words on $EARNEST_DEVICE, $#."')
    assert ask(path, "größer 🍕; $(id)", EARNEST_DEVICE="kitchen") == (
        "You said: größer 🍕; $(id) on kitchen, 0."
    )


def test_its_words_are_one_clean_line(script):
    assert (
        ask(script(r"printf 'a\033[31m red\nline\377\n'"))
        == "a [31m red line\N{REPLACEMENT CHARACTER}"
    )


@pytest.mark.parametrize("body, reply", [("exit 0", ""), ("echo no; exit 1", None)])
def test_nothing_to_say_and_not_meant_for_it(script, body, reply):
    assert ask(script(body)) == reply


def test_it_need_not_read(script):
    path = script("exec <&-; sleep 0.1; echo done")
    assert ask(path, "x" * 500_000) == "done"


@pytest.mark.parametrize(
    "body, reason",
    [
        ("echo broken >&2; exit 3", "answer.sh ended with status 3: broken"),
        ("kill -9 $$", "answer.sh ended with status -9"),
        ("yes", "prints more than 16384 bytes"),
        ("setsid yes & yes", "prints more than 16384 bytes"),
        ("yes >&2 & sleep 0.2; kill $!; exit 4", "status 4: y"),
    ],
)
def test_a_program_that_fails_is_told(script, body, reason):
    with pytest.raises(ProgramError, match=reason):
        ask(script(body))


def test_its_output_at_the_limit_and_one_past(script):
    path = script(f"head -c {program.MAX_OUTPUT_BYTES} /dev/zero | tr '\\0' x")
    assert ask(path) == "x" * 4000  # what is spoken is cut further
    path.write_text(path.read_text().replace("16384", "16385"))
    with pytest.raises(ProgramError):
        ask(path)


def test_one_that_hangs_is_ended_with_its_children(script, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "ANSWER_S", 0.3)
    path = script(f"sleep 100 & echo $! > {tmp_path}/child; sleep 100")
    began = time.monotonic()
    with pytest.raises(ProgramError, match="takes longer than"):
        ask(path)
    assert time.monotonic() - began < 5
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not is_running(child):
            break
        time.sleep(0.02)
    assert not is_running(child)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_that_may_not_be_ended_has_answered_all_the_same(script, monkeypatch):
    def killpg(group, number):
        raise PermissionError  # what runs as another user

    monkeypatch.setattr(os, "killpg", killpg)
    assert ask(script("echo done")) == "done"


def test_one_that_vanished_or_cannot_be_run(script, tmp_path):
    path = script("", mode=0o644)
    with pytest.raises(ProgramError, match="Permission denied"):
        ask(path)
    with pytest.raises(ProgramError, match="No such file"):
        ask(tmp_path / "gone")
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    with pytest.raises(ProgramError, match="Exec format error"):
        ask(path)


def test_a_program_is_looked_up_when_the_receiver_starts(script, monkeypatch, tmp_path):
    path = script("")
    monkeypatch.chdir(tmp_path)
    assert program.find("./answer.sh") == path
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    assert program.find("answer.sh") == path
    path.chmod(0o644)
    with pytest.raises(HostToolError, match="is not a program"):
        program.find("./answer.sh")
