"""`earnest receive`: the owner's receiver, its devices and its recordings.

One command: without a question it serves; with one (--list, --new-device, ...) it answers and
ends.  The parts: authority and device_list (who may come in), receiver (sockets and limits),
receiver_session (order of messages), recordings (disk), transcription, receiver_view (terminal).
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import click

from host_tools.receiver import authority as authorities
from host_tools.receiver import transcription
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.recordings import DEFAULT_KEEP_DAYS, Recordings
from host_tools.receiver.server import Receiver
from host_tools.receiver.services import Options
from host_tools.receiver.session import MAX_STREAM_MS
from host_tools.receiver.view import JsonView, LineView, LiveView, View, plain

DEFAULT_PORT = 10780
DEFAULT_CONNECTIONS = 8
_SOON_DAYS = 30

EPILOG = """\b
Examples:
  earnest receive                                     serve on port 10780
  earnest receive --new-device kitchen -o kitchen     a key and certificates for a device
  earnest receive --stt tcp://127.0.0.1:10300         print what was said
  earnest receive --list
  earnest receive --export 3f2a heard.wav
  earnest receive --delete-all

Nothing is written to disk unless the device says, in the opening of that very stream, that its
owner wants recordings kept.  Ctrl-C stops the receiver; what it held in memory is dropped.
"""


@click.command("receive", epilog=EPILOG)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("recordings"),
    show_default=True,
    help="Folder of the recordings, the authority and the list of devices.",
)
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--name", help="The name in the receiver's certificate, which devices check.")
@click.option("--stt", metavar="tcp://HOST:PORT", help="Wyoming speech-to-text server.")
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0, min_open=True, max=36500),
    default=DEFAULT_KEEP_DAYS,
    show_default=True,
    help="Recordings are deleted after so long.",
)
@click.option(
    "--max-stream-s",
    type=click.FloatRange(min=0.1, max=MAX_STREAM_MS / 1000),
    default=MAX_STREAM_MS / 1000,
    show_default=True,
    help="Longest stream, without its pre-roll.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1, 256),
    default=DEFAULT_CONNECTIONS,
    show_default=True,
    help="Devices at a time.",
)
@click.option("--insecure", is_flag=True, help="Plain text from anybody, for trying things out.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one object a line, on stdout.")
@click.option(
    "--commands",
    is_flag=True,
    help="Read lines from stdin: mute, stop, or send TYPE (to see it refused).",
)
@click.option("--new-device", metavar="NAME", help="Make a device's key and certificate, in -o.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for --new-device.",
)
@click.option("--devices", "list_devices", is_flag=True, help="List the devices.")
@click.option("--remove-device", metavar="NAME", help="Refuse a device from now on.")
@click.option("--list", "list_all", is_flag=True, help="List the recordings.")
@click.option("--export", nargs=2, metavar="ID FILE", help="Copy a recording to a WAV file.")
@click.option("--delete", metavar="ID", help="Delete a recording.")
@click.option("--delete-all", is_flag=True, help="Delete every recording.")
def command(
    data: Path,
    host: str,
    port: int,
    name: str | None,
    stt: str | None,
    keep_days: float,
    max_stream_s: float,
    max_connections: int,
    insecure: bool,
    as_json: bool,
    commands: bool,
    new_device: str | None,
    output: Path | None,
    list_devices: bool,
    remove_device: str | None,
    list_all: bool,
    export: tuple[str, str] | None,
    delete: str | None,
    delete_all: bool,
) -> int:
    """Receive what devices may send: over TLS, from devices that have a certificate, under the
    consent that opens every stream.  Also lists, exports and deletes what was kept."""
    asked = [new_device, list_devices, remove_device, list_all, export, delete, delete_all]
    if sum(1 for question in asked if question) > 1:
        raise click.UsageError("one question at a time, please")
    if (output is not None) != (new_device is not None):
        raise click.UsageError("--new-device and -o go together")
    devices = DeviceList(data / "devices.json")
    recordings = Recordings(data, keep_days)
    if new_device is not None and output is not None:
        device = devices.add(new_device, authorities.open_or_make(data / "authority"), output)
        _say(
            as_json,
            {"device": device.name, "expires": device.expires, "folder": str(output)},
            f"made {output}: key, certificate, authority; valid until {device.expires}",
        )
    elif remove_device is not None:
        removed = devices.remove(remove_device)
        _say(as_json, {"removed": removed.name}, f"{removed.name} is refused from now on")
    elif list_devices:
        named = {"device": "name", "certificate expires": "expires"}
        _show(as_json, [asdict(device) for device in devices.all()], named)
    elif list_all:
        named = {"id": "id", "created": "created", "expires": "expires", "ms": "duration_ms"}
        named |= {"training": "share_for_training", "wake word": "wake_word"}
        _show(as_json, [asdict(recording) for recording in recordings.all()], named)
    elif export:
        recording = recordings.find(export[0])
        recordings.export(recording, Path(export[1]))
        _say(as_json, {"exported": recording.id}, f"{recording.id} is now also {export[1]}")
    elif delete is not None:
        recording = recordings.find(delete)
        recordings.delete(recording)
        _say(as_json, {"deleted": 1, "id": recording.id}, f"deleted {recording.id}")
    elif delete_all:
        count = recordings.delete_all()
        _say(as_json, {"deleted": count}, f"deleted {count} recordings")
    else:
        address = transcription.parse_address(stt) if stt else None
        authority = authorities.open_or_make(data / "authority")
        context, name = authority.server_context(name)
        options = Options(
            host=host,
            port=port,
            tls=None if insecure else context,
            max_stream_ms=round(max_stream_s * 1000),
            max_connections=max_connections,
            stt=address,
        )
        view: View = JsonView() if as_json else LiveView() if _is_terminal() else LineView()
        try:
            _warn(view, options, devices)
            asyncio.run(_serve(options, authority, devices, recordings, view, name, commands))
        finally:
            view.close()
    return 0


async def _serve(
    options: Options,
    authority: authorities.Authority,
    devices: DeviceList,
    recordings: Recordings,
    view: View,
    name: str,
    reads_commands: bool,
) -> None:
    """Serve until SIGINT or SIGTERM, which is how a receiver ends: no error."""
    receiver = Receiver(options, authority, devices, recordings, view)
    if count := recordings.clean():
        view.tell("deleted", count=count, reason="without sound facts about their consent")
    if count := recordings.expire():
        view.tell("deleted", count=count, reason="expired")
    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(receiver.run(name))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    reading = asyncio.create_task(_obey(receiver)) if reads_commands else None
    try:
        await serving
    except asyncio.CancelledError:
        view.tell("stopped", streams=receiver.counters.streams, kept=receiver.counters.kept)
    finally:
        if reading is not None:
            reading.cancel()


async def _obey(receiver: Receiver) -> None:
    """Pass on what the owner types, until the end of stdin."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        await receiver.command(line.decode(errors="replace").strip())


def _warn(view: View, options: Options, devices: DeviceList) -> None:
    """Say what the owner should know before anything connects."""
    if options.tls is None:
        view.tell("warning", message="insecure: anybody may connect, and anybody may listen")
    elif not devices.all():
        view.tell(
            "warning",
            message="no device may connect yet: `earnest provision` lets a board in; "
            "by hand: `earnest receive --new-device NAME -o FOLDER`",
        )
    for device in devices.all():
        if device.days_left < _SOON_DAYS:
            view.tell(
                "warning", message=f"the certificate of {device.name} expires {device.expires}"
            )
    if options.stt is not None and not transcription.is_on_this_machine(options.stt):
        view.tell("warning", message="audio travels to the speech-to-text server in plain text")


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _say(as_json: bool, facts: dict, sentence: str) -> None:
    click.echo(json.dumps(facts) if as_json else sentence)


def _show(as_json: bool, rows: list[dict], columns: dict[str, str]) -> None:
    """A table for people (title -> field), all fields as JSON lines for programs."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    if not rows:
        click.echo("none")
        return
    lines = [list(columns), *([plain(row[field]) for field in columns.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
