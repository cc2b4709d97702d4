"""What the device says of itself: versions, state, microphone and light as read back, counters.

Place: read by `diag.status` and the console; works on a running application, a stopped one, or
none.  Of the configuration only the receiver's address and the model names are read; no key, no
Wi-Fi name or password.  Writes nothing, starts nothing.
"""

import gc
import json
import os
import sys

from satellite.gate import STATE_NAMES

AUDIT_FILE = "audit.jsonl"
LAST_ERROR_FILE = "last_error.txt"
MAX_ERROR_BYTES = 200
_TAIL_BYTES = 4096
_ERROR_KINDS = ("fault", "refused", "dropped", "torn")
_ERRORS = 5


def remember(storage, error):
    """Keep the error that ended the application for the next `status`; never raises OSError."""
    try:
        text = repr(error)[:MAX_ERROR_BYTES]
        storage.write_atomic(LAST_ERROR_FILE, text.encode()[:MAX_ERROR_BYTES])
    except OSError:
        pass  # a full disk must not hide the error itself


def records(count):
    """The newest `count` (at most 20) audit records as dicts, oldest first; chain not checked."""
    try:
        with open(AUDIT_FILE, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read(_TAIL_BYTES).split(b"\n")
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # the cut first line, or one torn by a power loss
            continue
        if isinstance(record, dict):
            record.pop("prev", None)
            record.pop("hash", None)
            record.pop("v", None)
            found.append(record)
    return found[-min(count, 20) :]


def last_error():
    """The text of the error that last ended the application, or None."""
    try:
        with open(LAST_ERROR_FILE, "rb") as file:
            return file.read(MAX_ERROR_BYTES).decode()
    except (OSError, UnicodeError):
        return None


def collect(app, hardware, is_running):
    """Everything, as a dict that JSON can carry."""
    result = {"version": 1, "running": is_running}
    result["firmware"] = _installed_version()
    result["micropython"] = ".".join(str(part) for part in sys.implementation[1][:3])
    result["board"] = _board_name()
    recent = records(20)
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
        "light": _light(parts.light),
        "peak": peak if mic_on else 0,
        "probability": [model.probability for model in parts.engine.models],
        "cutoff": [detector.cutoff for detector in parts.engine.detectors],
        "models": list(parts.config.models),
        "busy_us": parts.diagnostics.busy_us,
        "at_us": parts.clock.ticks_us() & 0x3FFFFFFF,
        "chunks": parts.diagnostics.snapshot()["chunks"],
        "overruns": parts.mic.overruns,
        "connected": parts.streamer.is_connected,
    }


def text(status):
    """The same for people: a list of short lines."""
    lines = [
        "Earnest %s, MicroPython %s, %s"
        % (status["firmware"], status["micropython"], status["board"])
    ]
    for model in status["models"]:
        cutoff = ", cutoff %d/255" % model["cutoff"] if "cutoff" in model else ""
        lines.append("model       %s%s" % (model["name"], cutoff))
    lines.append("state       %s" % status["state"])
    if "muted" in status:
        by = status["mute_source"]
        if status["mute_switch"] and by != "switch":
            by += "; its switch is on mute"
        lines.append("muted       %s" % ("yes, by " + by if status["muted"] else "no"))
    if "microphone" in status:
        mic = status["microphone"]
        words = "on" if mic["on"] else "off"
        if "health" in mic:
            words += ", health %s, %d overruns" % (mic["health"], mic["overruns"])
        lines.append("microphone  %s (read back)" % words)
    if "light" in status:
        light = status["light"]
        words = "cannot be driven" if not light["ok"] else "shows %s" % light["state"]
        lines.append("light       %s" % words)
    if "wifi" in status:
        lines.append("wifi        %s" % status["wifi"])
    if "receiver" in status:
        receiver = status["receiver"]
        is_up = "connected" if receiver["connected"] else "not connected"
        plain = ", INSECURE" if receiver["insecure"] else ""
        lines.append("receiver    %s, %s%s" % (receiver["address"] or "none", is_up, plain))
    if "counters" in status:
        counted = ["%s %d" % (n, v) for n, v in sorted(status["counters"].items()) if v]
        lines.append("counters    " + (", ".join(counted) or "all 0"))
    lines.append(
        "memory      %d free, %d used" % (status["heap_free_bytes"], status["heap_used_bytes"])
    )
    if "storage_free_bytes" in status:
        lines.append("storage     %d free" % status["storage_free_bytes"])
    lines.append("last reset  %s" % status["reset"])
    if status["last_error"]:
        lines.append("last error  %s" % status["last_error"])
    for record in status["faults"]:
        lines.append("record      %s" % record_text(record))
    return lines


def log_text(log):
    """The records and the last error for people: a list of short lines."""
    lines = [record_text(record) for record in log["records"]]
    if log["last_error"]:
        lines.append("last error  %s" % log["last_error"])
    return lines or ["nothing was recorded"]


def record_text(record):
    """An audit record in a line, `what` first."""
    rest = [
        "%s %s" % (k, "yes" if v is True else "no" if v is False else v)
        for k, v in record.items()
        if k not in ("seq", "t_ms", "kind")
    ]
    rest.sort(key=lambda words: (not words.startswith("what "), words))
    return "#%s %s ms %s %s" % (
        record.get("seq"),
        record.get("t_ms"),
        record.get("kind"),
        ", ".join(rest),
    )


def _is_error(record):
    """Somebody at the cable, such as our own tools, is none."""
    return record.get("kind") in _ERROR_KINDS and record.get("what") != "cable"


def _of_app(result, app, recent):
    parts = app.parts
    gate = parts.gate
    result["models"] = [
        {
            "name": name,
            "cutoff": detector.cutoff,
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
    }
    result["counters"] = parts.diagnostics.snapshot()
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
    return {"ok": True, "state": STATE_NAMES[state], "mic": mic_on}


def _health_name(number):
    from drivers.microphone_health import HEALTH_NAMES

    return HEALTH_NAMES[number]


def _installed_version():
    try:
        with open("installed.json") as file:
            return str(json.load(file)["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"


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
