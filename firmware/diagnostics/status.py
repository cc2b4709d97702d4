"""What the device says of itself: versions, state, microphone, speaker and light as read back.

Place: read by `diag.status` and the console; works on a running application, a stopped one, or
none.  Of the configuration only the receiver's address and the model names are read; no key, no
Wi-Fi name or password.  Writes nothing, starts nothing.
"""

import gc
import json
import os
import sys

from satellite.gate import STATE_NAMES
from satellite.light import SHOWN_NAMES

from .records import newest

LAST_ERROR_FILE = "last_error.txt"
MAX_ERROR_BYTES = 200
_ERROR_KINDS = ("fault", "refused", "dropped", "torn")
_ERRORS = 5
_ERRORS_OF_FILES = {2: "no such file", 5: "the flash failed", 28: "the disk is full"}


def remember(storage, error, run_ms):
    """Keep the error that ended a run of `run_ms` for the next `status`; never raises OSError."""
    text = "%s (after %d s)" % (_described(error)[:MAX_ERROR_BYTES], run_ms // 1000)
    try:
        storage.write_atomic(LAST_ERROR_FILE, text.encode())
    except OSError:
        pass  # a full disk must not hide the error itself


def forget(storage):
    """After a good run; never raises OSError."""
    try:
        storage.remove(LAST_ERROR_FILE)
    except OSError:
        pass  # it is shown for longer


def _described(error):
    """The class and what it says; an OSError by the name of its number, with its file."""
    said = str(error)
    if isinstance(error, OSError) and error.args and isinstance(error.args[0], int):
        said = _ERRORS_OF_FILES.get(error.args[0], "number %d" % error.args[0])
        if len(error.args) > 1:
            said += ", %s" % error.args[1]
    return "%s: %s" % (type(error).__name__, said)


def last_error():
    """The text of the error that last ended the application, or None."""
    try:
        with open(LAST_ERROR_FILE, "rb") as file:
            return file.read(2 * MAX_ERROR_BYTES).decode()
    except (OSError, UnicodeError):
        return None


def collect(app, hardware, is_running):
    """Everything, as a dict that JSON can carry."""
    result = {"version": 1, "running": is_running}
    result["firmware"] = installed_version() or "unknown"
    result["micropython"] = ".".join(str(part) for part in sys.implementation[1][:3])
    result["board"] = _board_name()
    recent = newest()
    result["state"] = STATE_NAMES[app.parts.gate.state] if is_running else "STOPPED"
    if app is None:
        result["models"] = _model_files()
    else:
        _of_app(result, app, recent)
    if hardware is not None:
        wifi = hardware.wifi
        result["wifi"] = "not configured" if wifi is None else wifi.status()
        result["wifi_attempts"] = 0 if wifi is None else wifi.attempts
        result["storage_free_bytes"] = hardware.storage.free_bytes()
        if app is None:
            result["microphone"] = {"on": hardware.mic.is_on()}
            speaker = hardware.speaker
            result["speaker"] = None if speaker is None else {"on": speaker.is_on()}
    result["reset"] = _reset_reason()
    result["heap_free_bytes"] = gc.mem_free()
    result["heap_used_bytes"] = gc.mem_alloc()
    result["last_error"] = last_error()
    result["faults"] = [r for r in recent if _is_error(r)][-_ERRORS:]
    return result


def levels(app, peak):
    """Little, for `earnest monitor` several times a second; `peak`: 0..32768, the loudest."""
    parts = app.parts
    mic_on = parts.mic.is_on()
    return {
        "state": STATE_NAMES[parts.gate.state],
        "muted": parts.gate.muted,
        "mic": mic_on,
        "speaker": parts.speaker is not None and parts.speaker.is_on(),
        "light": _light(parts.light),
        "peak": peak if mic_on else 0,
        "probability": [model.probability for model in parts.engine.models],
        "cutoff": [detector.cutoff for detector in parts.engine.detectors],
        "models": list(parts.config.models),
        "busy_us": parts.counters.busy_us,
        "at_us": parts.clock.ticks_us() & 0x3FFFFFFF,
        "chunks": parts.counters.snapshot()["chunks"],
        "overruns": parts.mic.overruns,
        "connected": parts.streamer.is_connected,
    }


def _is_error(record):
    """Whether it is an error; somebody at the cable, such as our own tools, is not one."""
    return record.get("kind") in _ERROR_KINDS and record.get("what") != "cable"


def _of_app(result, app, recent):
    parts = app.parts
    gate = parts.gate
    result["models"] = [
        {
            "name": name,
            "cutoff": detector.cutoff,
            "raised_by_network": parts.sensitivity.is_raised(name),
            "crc32": "%08x" % model.header.crc32,
            "file_bytes": model.header.file_bytes,
        }
        for name, model, detector in zip(
            parts.config.models, parts.engine.models, parts.engine.detectors
        )
    ]
    result["muted"] = gate.muted
    result["mute_switch"] = gate.switch_muted
    result["mute_source"] = _mute_source(gate, recent)
    result["microphone"] = {
        "on": parts.mic.is_on(),
        "health": _health_name(parts.mic.health()),
        "overruns": parts.mic.overruns,
    }
    result["light"] = _light(parts.light)
    result["speaker"] = _speaker(parts)
    config = parts.config
    result["receiver"] = {
        "address": "%s:%d" % (config.receiver_host, config.receiver_port)
        if config.receiver_host
        else "",
        "connected": parts.streamer.is_connected,
        "insecure": config.insecure,
    }
    result["consent"] = {
        "keep_recordings": config.keep_recordings,
        "share_for_training": config.share_for_training,
        "due_elsewhere": parts.consent.due_elsewhere(),
        "withdrawn": parts.withdrawn.state,
    }
    result["counters"] = parts.counters.snapshot()
    result["first_byte_ms"] = app.worst_first_byte_ms
    result["uptime_ms"] = parts.clock.now_ms()


def _mute_source(gate, recent):
    """none, switch, or who muted last: button, network, boot (so stored, or set for the start)."""
    if not gate.muted:
        return "none"
    if not gate.soft_muted:
        return "switch"
    for record in reversed(recent):
        if record.get("kind") == "mute" and record.get("on"):
            return record.get("source", "stored")
    return "stored"


def _light(light):
    if light.shown is None:
        return {"ok": False, "state": None, "mic": None}
    state, mic_on = light.shown
    return {"ok": True, "state": SHOWN_NAMES[state], "mic": mic_on}


def _speaker(parts):
    """As read back, and how loud; None on a board without one."""
    speaker = parts.speaker
    if speaker is None:
        return None
    speech = parts.speech
    return {
        "on": speaker.is_on(),
        "late": speaker.late,
        "volume": speech.volume,
        "volume_max": speech.volume_max,
    }


def _health_name(number):
    from drivers.microphone_health import HEALTH_NAMES

    return HEALTH_NAMES[number]


def installed_version():
    """What `earnest install` wrote, at most 64 printable ASCII characters; None without it."""
    try:
        with open("installed.json") as file:
            version = str(json.load(file)["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_plain = 0 < len(version) <= 64 and all(32 <= ord(c) < 127 for c in version)
    return version if is_plain else None


def _board_name():
    try:
        import board

        return board.NAME
    except (ImportError, AttributeError):
        return "no board.py"


def _model_files():
    try:
        return [{"name": n[:-4]} for n in sorted(os.listdir("models")) if n.endswith(".ewm")]
    except OSError:
        return []


def _reset_reason():
    try:
        from drivers.watchdog import reset_reason

        return reset_reason()
    except (ImportError, AttributeError):
        return "unknown"
