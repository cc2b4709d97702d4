"""What diagnosis over the cable cannot do: unmute, open the gate, send, read a key or a password.

Held over its source - the names that it would have to use - and over what it prints in
test_status.py; the answers are the same with the known-answer table of the models at hand.
"""

import ast

import pytest

from firmware.diagnostics import frame
from host_tools.models import known_answers
from host_tools.shared_firmware import FIRMWARE

FILES = [FIRMWARE / "diag.py", *sorted((FIRMWARE / "diagnostics").glob("*.py"))]
#: Attributes and names by which a gate is opened, a mute undone, or a secret read.
FORBIDDEN = {
    *("unmute", "ready", "wake", "take", "acknowledge", "save", "switch", "remote_mute"),
    *("wifi_password", "wifi_ssid", "ssl_key", "ssl_certificate", "_password", "_ssid"),
    *("eval", "exec", "compile", "__import__", "getattr", "setattr", "webrepl"),
}
#: What is started, and where: microphone and speaker in one place each, after the mute and the
#: light were looked at.
STARTS = {"microphone.py": ["mic"], "speaker.py": ["chime", "speaker"]}


def used(path):
    """Names, attributes and short texts in a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


#: Where a running application keeps samples; of those that are handed one, nobody may look there.
SAMPLES = {
    "chunk",
    "_chunk",
    "_outbox",
    "_preroll",
    "_slots",
    "_raw",
    "payload",
    "slice",
}


@pytest.mark.parametrize("name", ("console.py", "status.py", "text.py"))
def test_beside_a_running_application_it_has_no_word_for_a_sample(name):
    path = FIRMWARE / "diagnostics" / name
    assert not used(path) & SAMPLES, used(path) & SAMPLES
    private = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and node.attr != "__name__"
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    }
    assert not private, private


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_has_no_words_for_it(path):
    assert not used(path) & FORBIDDEN, used(path) & FORBIDDEN
    text = path.read_text(encoding="utf-8")
    for words in (".key.der", "config.json", "wifi_password"):
        assert words not in text, words
    starts = [
        ast.unparse(node.func.value)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "start"
    ]
    assert sorted(starts) == STARTS.get(path.name, [])


@pytest.mark.parametrize(
    "name, function, steps",
    (
        ("microphone.py", "def measure", ("is_muted(", "light.update(IDLE", "mic.start()")),
        (
            "speaker.py",
            "def play",
            ("is_muted(", "mic.is_on()", "light.update(SPEAKING", "speaker.start()"),
        ),
    ),
)
def test_microphone_and_speaker_start_after_mute_and_light(name, function, steps):
    text = (FIRMWARE / "diagnostics" / name).read_text(encoding="utf-8")
    body = text[text.index(function) :]
    order = [body.index(words) for words in steps]
    assert order == sorted(order)


def test_a_frame_and_every_damaged_byte_of_it():
    line = frame.encode({"state": "IDLE", "n": [1, 2]})
    assert frame.decode("noise" + line + "\r") == {"state": "IDLE", "n": [1, 2]}
    for i in range(len(line)):
        for other in ("~", "0", ""):
            if line[i] != other:
                assert frame.decode(line[:i] + other + line[i + 1 :]) is None, (i, other)
    assert frame.decode("") is None and frame.decode("earnest:*") is None


def test_the_table_of_known_answers_is_up_to_date(native_emitter):
    want = known_answers.text()
    assert known_answers.VECTORS.read_text() == want, "python -m host_tools.known_answers"
