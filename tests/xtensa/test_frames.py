"""No function that runs every 10 ms puts its call frame on the heap, by the chip's own bytecode.

Which functions these are follows from the source: everything that is called, by its name, from
what the event loop runs on every chunk, but for what RARE names with its reason.  So a new
function is held too, and one that is called by another way of its own must be a root here.
"""

from __future__ import annotations

import ast
from functools import lru_cache

from host_tools.shared_firmware import FIRMWARE
from host_tools.xtensa.compile import run_mpy_cross
from host_tools.xtensa.frames import EXCEPTION_WORDS, MAX_STACK_WORDS, Frame, frames

MODULES = (
    "satellite/app",
    "satellite/audit_log",
    "satellite/chimes",
    "satellite/counters",
    "satellite/end_of_speech",
    "satellite/gate",
    "satellite/level",
    "satellite/light",
    "satellite/protocol",
    "satellite/device_status",
    "satellite/sound_messages",
    "satellite/speaking",
    "satellite/speech",
    "satellite/speech_audio",
    "satellite/streamer",
    "satellite/volume",
    "satellite/withdrawing",
    "wakeword/detector",
    "wakeword/engine",
    "wakeword/feed",
    "wakeword/frontend/frontend",
    "wakeword/model",
    "drivers/clock",
    "drivers/controls",
    "drivers/debounce",
    "drivers/i2s_microphone",
    "drivers/i2s_port",
    "drivers/i2s_speaker",
    "drivers/lights",
    "drivers/microphone_health",
    "drivers/overruns",
    "drivers/pcm",
    "drivers/watchdog",
    "diagnostics/console",
)
#: What the event loop calls: the loop itself, and what it polls; and other programs' way in.
ROOTS = {
    "wakeword/feed:Feed.process",
    "satellite/app:App.step",
    "satellite/chimes:Chime.fill",
    "drivers/i2s_microphone:I2SMicrophone.read",
    "drivers/i2s_speaker:I2SSpeaker.write",
    "drivers/i2s_microphone:_Read.__await__",
    "drivers/i2s_microphone:_Read.__iter__",
    "drivers/i2s_microphone:_Read.__next__",
    "satellite/streamer:Streamer._write_due",
    "satellite/streamer:Streamer._check_deadlines",
    "diagnostics/console:Console._read",
}
#: What is not called on every chunk, and why; nothing behind it is looked at either.
RARE = {
    "drivers/microphone_health:is_alive": "when the microphone is found dead",
    "satellite/app:App._open": "when the microphone starts",
    "satellite/app:App._record": "writes to the flash",
    "satellite/app:App._record_stream": "at the end of a stream",
    "satellite/app:App._save_mute": "writes to the flash",
    "satellite/app:App._wake": "on a wake word",
    "satellite/audit_log:AuditLog._write_due": "while a fault's repetitions are counted, a minute",
    "satellite/audit_log:AuditLog._count": "when a record is written",
    "satellite/device_status:DeviceStatus.news": "when the device's status has changed",
    "satellite/device_status:DeviceStatus._data": "when the device's status has changed",
    "satellite/sound_messages:SoundMessages.news": "ten times a second while it speaks",
    "satellite/speaking:Speaking._open": "when a sound begins",
    "satellite/speaking:Speaking.refuse_later": "when the network asks for what it may not have",
    "satellite/speaking:Speaking._break_off": "when the loudspeaker fails",
    "satellite/speaking:Speaking._record_end": "when a sound is over",
    "satellite/speech_audio:IncomingAudio.put": "when a message has arrived",
    "satellite/protocol:Decoder._close": "when a message has arrived",
    "satellite/protocol:Decoder._open": "when a message has arrived",
    "satellite/protocol:Decoder._next": "when a message has arrived",
    "satellite/protocol:Decoder.feed": "when a message has arrived",
    "satellite/protocol:Decoder.__next__": "when a message has arrived",
    "satellite/protocol:encode": "when a message is sent that is not audio",
    "satellite/withdrawing:Withdrawing._record": "when the network takes consent back",
    "satellite/withdrawing:Withdrawing._store": "when the network takes consent back",
    "wakeword/model:read": "when the device starts",
}
#: Coroutines that a chunk makes: each is an allocation, whatever its size.
COROUTINES = {
    "satellite/app:App.step": "made once for thousands of chunks",
    "satellite/streamer:Streamer._anchor": "when the log has grown, once a minute at most",
    "satellite/streamer:Streamer._drain": "when something is sent",
    "satellite/streamer:Streamer._end_stream": "at the end of a stream",
    "satellite/streamer:Streamer._open_stream": "at the beginning of a stream",
    "satellite/streamer:Streamer._ping": "every 30 s",
    "satellite/streamer:Streamer._send": "when something is sent",
    "satellite/streamer:Streamer._send_audio": "while streaming",
    "satellite/streamer:Streamer._tell_status": "when the device's status has changed",
    "satellite/streamer:Streamer._write_due": "when the connection is looked after",
}


@lru_cache(maxsize=1)
def compiled() -> dict[str, Frame]:
    """{module:qualified name: frame} of MODULES."""
    return {
        f"{module}:{frame.name}": frame
        for module in MODULES
        for frame in frames(FIRMWARE / f"{module}.py")
    }


@lru_cache(maxsize=1)
def named() -> dict[str, set[str]]:
    """{module:qualified name: names that the function mentions} of MODULES."""
    found: dict[str, set[str]] = {}

    def visit(node, module, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                found[f"{module}:{prefix}{child.name}"] = {
                    item.attr if isinstance(item, ast.Attribute) else item.id
                    for item in ast.walk(child)
                    if isinstance(item, ast.Attribute | ast.Name)
                }
            elif isinstance(child, ast.ClassDef):
                visit(child, module, f"{prefix}{child.name}.")
            else:
                visit(child, module, prefix)

    for module in MODULES:
        visit(ast.parse((FIRMWARE / f"{module}.py").read_text()), module, "")
    return found


def per_chunk() -> set[str]:
    """Everything that can be reached from ROOTS without passing RARE."""
    reached: set[str] = set()
    waiting = set(ROOTS)
    while waiting:
        key = waiting.pop()
        if key in reached or key in RARE:
            continue
        reached.add(key)
        for name in named()[key]:
            waiting |= {other for other in named() if other.split(":")[1].split(".")[-1] == name}
    return reached


def test_no_frame_of_the_audio_path_is_on_the_heap():
    own = {key for key in per_chunk() if key in compiled()}  # the rest is machine code
    assert len(own) > 100
    too_large = {
        key: compiled()[key].words
        for key in own
        if compiled()[key].words > MAX_STACK_WORDS and not compiled()[key].is_generator
    }
    assert too_large == {}, f"more than {MAX_STACK_WORDS} words"


def test_the_coroutines_of_a_chunk_are_known():
    assert {key for key in per_chunk() if key in compiled() and compiled()[key].is_generator} == (
        set(COROUTINES)
    )


def test_what_is_called_rarely_is_there_and_would_be_found():
    """Otherwise its line above says nothing."""
    mentioned = {name for key in per_chunk() for name in named()[key]}
    for key in RARE:
        assert key in named() and key.split(":")[1].split(".")[-1] in mentioned, key


SOURCE = """
def small(a, b, c):
    return a + b

class Large:
    def __init__(self, a, b, c, d, e, f):
        g = h = i = a
        self.words = [b for b in (c, d, e, f, g, h, i)]

    def caught(self):
        try:
            try:
                return self.x
            except OSError:
                return None
        except ValueError:
            return lambda: self.y

    async def wait(self):
        yield 1
"""


def test_a_frame_is_as_large_as_the_interpreter_makes_it(tmp_path):
    """Locals and the deepest stack, as mpy-cross counts them; 3 words more for each try."""
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    assert b"Large" in run_mpy_cross(path)
    found = {frame.name: frame for frame in frames(path)}
    assert found["small"].words == 5 and not found["small"].is_on_heap
    assert found["Large.__init__"].words > MAX_STACK_WORDS and found["Large.__init__"].is_on_heap
    assert found["Large.__init__.<listcomp>"].words > 4
    assert found["Large.caught"].words == 7 + 2 * EXCEPTION_WORDS
    assert found["Large.caught.<lambda>"].words < 4
    assert found["Large.wait"].is_generator and found["Large.wait"].is_on_heap
