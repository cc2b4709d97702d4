"""`earnest status`: what a device says of itself, without stopping it."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from host_tools.audit.device_log import describe
from host_tools.board.answers import ConsentStatus, SpeakerStatus, Status
from host_tools.board.console import START_AGAIN, ask
from host_tools.commands.options import json_option, port_option

EPILOG = """\b
Examples:
  earnest status
  earnest status --port /dev/ttyACM0 --json

\b
What to look for:
  state STOPPED       the firmware does not run: see "last error"; press RESET
  microphone on       while muted this must say off; health other than OK: earnest mic
  speaker on          the device speaks: its microphone must say off meanwhile
  light               "cannot be driven" keeps microphone and speaker off
  receiver            "not connected": is `earnest receive` running, is the Wi-Fi connected?
"""


@click.command(epilog=EPILOG, context_settings={"max_content_width": 99})
@port_option
@json_option
def command(port: str | None, as_json: bool) -> None:
    """Show versions, state, who muted, microphone, speaker and light as read back, network and
    errors.

    The device keeps running and listening. It never sends a key, a password or audio.
    """
    status: Status = ask(port, "status")
    if as_json:
        click.echo(json.dumps(status))
    else:
        show(status, Console(highlight=False))


def rows(status: Status) -> list[tuple[str, str, str]]:
    """(what, value, style) for people."""
    found = [
        ("firmware", f"{status['firmware']}, MicroPython {status['micropython']}", ""),
        ("board", str(status["board"]), ""),
    ]
    for model in status["models"]:
        cutoff = f", cutoff {model['cutoff'] / 255:.2f}" if "cutoff" in model else ""
        raised = ", raised by the network" if model.get("raised_by_network") else ""
        found.append(("model", f"{model['name']}{cutoff}{raised}", ""))
    state = status["state"]
    words = f"{state}: {START_AGAIN}" if state == "STOPPED" else state
    found.append(("state", words, "bold red" if state in ("ERROR", "STOPPED") else "bold"))
    if "muted" in status:
        words = f"yes, by {status['mute_source']}" if status["muted"] else "no"
        if status["mute_switch"] and status["mute_source"] != "switch":
            words += "; its switch is on mute"
        found.append(("muted", words, "red" if status["muted"] else ""))
    if "microphone" in status:
        mic = status["microphone"]
        words = "on" if mic["on"] else "off"
        if "health" in mic:
            words += f", health {mic['health']}, {mic['overruns']} overruns"
        bad = mic.get("health", "OK") != "OK" or (mic["on"] and state not in ("IDLE", "STREAMING"))
        found.append(("microphone", words + " (read back)", "yellow" if bad else ""))
    if "speaker" in status:
        found.append(_speaker_row(status["speaker"], status))
    if "light" in status:
        light = status["light"]
        words = f"shows {light['state']}" if light["ok"] else "cannot be driven"
        found.append(("light", words, "" if light["ok"] else "bold red"))
    if "wifi" in status:
        is_up = status["wifi"] == "connected"
        attempts = status["wifi_attempts"]
        words = f"{status['wifi']}, {attempts} attempt{'s' * (attempts != 1)}"
        found.append(("Wi-Fi", words, "" if is_up else "yellow"))
    if "receiver" in status:
        receiver = status["receiver"]
        words = receiver["address"] or "none configured"
        words += ", connected" if receiver["connected"] else ", not connected"
        words += ", INSECURE" if receiver["insecure"] else ""
        found.append(("receiver", words, "" if receiver["connected"] else "yellow"))
    if "consent" in status:
        found.append(_consent_row(status["consent"]))
    if "counters" in status:
        words = ", ".join(f"{k} {v}" for k, v in sorted(status["counters"].items()) if v)
        found.append(("counters", words or "all 0", ""))
    heap = f"{status['heap_free_bytes']:,} bytes free, {status['heap_used_bytes']:,} used"
    found.append(("memory", heap, ""))
    if "storage_free_bytes" in status:
        found.append(("storage", f"{status['storage_free_bytes']:,} bytes free", ""))
    found.append(
        ("last reset", status["reset"], "yellow" if status["reset"] == "watchdog" else "")
    )
    if status["last_error"]:
        found.append(("last error", status["last_error"], "yellow"))
    for record in status["faults"]:
        found.append(("record", describe(record), "yellow"))
    return found


def _consent_row(consent: ConsentStatus) -> tuple[str, str, str]:
    words = "recordings may be kept" if consent["keep_recordings"] else "nothing may be kept"
    words += ", and used for training" if consent["share_for_training"] else ""
    withdrawn = consent.get("withdrawn", "no")
    if withdrawn == "stored":
        words += "; withdrawn over the network, until you answer Yes to `earnest provision`"
    elif withdrawn != "no":
        words += "; withdrawn over the network, which could not be stored yet"
    if elsewhere := consent.get("due_elsewhere", 0):
        words += f"; not yet confirmed by {elsewhere} earlier receiver{'s' * (elsewhere != 1)}"
    return "consent", words, "yellow" if withdrawn not in ("no", "stored") else ""


def _speaker_row(speaker: SpeakerStatus | None, status: Status) -> tuple[str, str, str]:
    """One that is on beside the microphone, or while muted, is wrong."""
    if speaker is None:
        return "speaker", "none: it answers with its light only", ""
    words = "on" if speaker["on"] else "off"
    if "volume" in speaker:
        late = speaker["late"]
        words += f", volume {speaker['volume']} % of at most {speaker['volume_max']} %"
        words += f", {late} time{'s' * (late != 1)} late"
    is_bad = speaker["on"] and (status["microphone"]["on"] or status.get("muted", True))
    return "speaker", words + " (read back)", "bold red" if is_bad else ""


def show(status: Status, console: Console) -> None:
    """A table for people."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for what, value, style in rows(status):
        table.add_row(what, Text(str(value), style=style))
    console.print(table)
