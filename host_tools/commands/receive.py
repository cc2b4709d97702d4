"""`earnest receive`: serves devices until it is stopped.

The parts: receiver/server (sockets and limits), connection and session (order of messages),
recordings (disk), devices and authority (who may connect), transcription, view (what it tells).
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import click
from click.core import ParameterSource

from host_tools.commands import receive_service
from host_tools.commands.options import data_option
from host_tools.companion import network_page
from host_tools.companion import page as pages
from host_tools.companion.access import Access
from host_tools.companion.archive import Archive
from host_tools.companion.checks import Checks
from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.tickets import Tickets
from host_tools.errors import HostToolError
from host_tools.home.identity import DEFAULT_PORT as HOME_PORT
from host_tools.home.identity import IdentityBook
from host_tools.receiver import authority as authorities
from host_tools.receiver import transcription
from host_tools.receiver.anchors import Anchors
from host_tools.receiver.assistant import Assistant
from host_tools.receiver.console import COMMANDS, end_within, obey_stdin, stop_on_signals
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.folder_lock import locked
from host_tools.receiver.journal import JournalHandler
from host_tools.receiver.journal import is_stderr as is_journal
from host_tools.receiver.owner_sounds import COMMANDS as SOUND_COMMANDS
from host_tools.receiver.owner_sounds import OwnerSounds, samples_of
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import DEFAULT_KEEP_DAYS, Recordings
from host_tools.receiver.server import Receiver
from host_tools.receiver.services import Options
from host_tools.receiver.session import MAX_STREAM_MS
from host_tools.receiver.statuses import Statuses
from host_tools.receiver.transcripts import Transcripts
from host_tools.receiver.view import JsonView, LiveView, LogView, View
from host_tools.service.counts import CountedView
from host_tools.service.health import Health

DEFAULT_PORT = 10780
DEFAULT_CONNECTIONS = 8
#: Where Home Assistant may connect unless told otherwise: from this computer alone.
THIS_COMPUTER = "127.0.0.1"
_SOON_DAYS = 30
#: After everything is on disk and told: what still waits for the network is given up then.
_END_S = 1.0
#: From the signal: a task that has not ended then does not hold the end for longer.
_STUCK_S = 3.0
#: Then what was begun gets on disk, and may be told for this time.
_TELL_S = 1.0
#: The default of --data before it was one folder of the user.
_FORMER_DATA = Path("recordings")

EPILOG = """\b
Examples:
  earnest receive                                     serve on port 10780
  earnest receive --stt tcp://127.0.0.1:10300         print what was said
  earnest receive --answers                           answer by itself: time, date, timers, volume
  earnest receive --answers --run ./answer.py         ask a program of yours first
  earnest receive --home-assistant                    let Home Assistant answer
  earnest receive --json | jq 'select(.event == "transcript")'
  earnest receive --answers --install-service         run it always, with these options (systemd)
  earnest companion                                   open the page of the running receiver
  earnest recordings list                             what was kept
  earnest devices list                                who may connect

Nothing is written to disk unless the consent at the opening of that stream allows recordings.
Ctrl-C stops the receiver; audio that it held in memory is dropped.
"""


@click.command("receive", epilog=EPILOG)
@data_option
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option("--name", help="The name in the receiver's certificate, which devices check.")
@click.option(
    "--stt",
    metavar="tcp://HOST:PORT",
    help="Wyoming speech-to-text server; with --answers, in place of the built-in engine.",
)
@click.option("--answers", is_flag=True, help="Answer aloud, without Home Assistant.")
@click.option(
    "--run",
    "program",
    metavar="PROGRAM",
    help="With --answers: a program that gets what was said on stdin and prints the reply.",
)
@click.option(
    "--handle", metavar="tcp://HOST:PORT", help="With --answers: Wyoming handle service."
)
@click.option(
    "--tts",
    metavar="tcp://HOST:PORT",
    help="With --answers: Wyoming text-to-speech server; without it espeak-ng speaks.",
)
@click.option("--home-assistant", is_flag=True, help="Offer each device to Home Assistant.")
@click.option(
    "--home-host",
    metavar="ADDRESS",
    default=THIS_COMPUTER,
    show_default=True,
    help="Address for Home Assistant to connect to.",
)
@click.option(
    "--home-port",
    type=click.IntRange(0, 65535),
    default=HOME_PORT,
    show_default=True,
    help="First device's port for Home Assistant; each further device has the next. 0: free ones.",
)
@click.option(
    "--home-mdns",
    is_flag=True,
    help="Announce the devices on the network, so that Home Assistant finds them.",
)
@click.option("--no-page", is_flag=True, help="Serve no page for the browser.")
@click.option("--no-browser", is_flag=True, help="Serve the page, and open no browser.")
@click.option(
    "--page-host",
    metavar="ADDRESS",
    default=pages.LOOPBACK[0],
    show_default=True,
    help="Address of the page; for one that others reach, run `earnest companion --setup` first.",
)
@click.option(
    "--page-port",
    type=click.IntRange(0, 65535),
    help=f"Port of the page; 0 picks a free one. [default: {pages.DEFAULT_PORT}, or a free one; "
    f"for others {network_page.DEFAULT_PORT}]",
)
@click.option(
    "--page-name",
    "page_names",
    metavar="NAME",
    multiple=True,
    help="With --page-host: a name or address that browsers reach this computer by. Repeatable.",
)
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0, min_open=True, max=36500),
    default=DEFAULT_KEEP_DAYS,
    show_default=True,
    help="Delete recordings after this many days.",
)
@click.option(
    "--max-stream-s",
    type=click.FloatRange(min=0.1, max=MAX_STREAM_MS / 1000),
    default=MAX_STREAM_MS / 1000,
    show_default=True,
    help="Maximum length of a stream in seconds, without its pre-roll.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1, 256),
    default=DEFAULT_CONNECTIONS,
    show_default=True,
    help="Maximum number of connected devices.",
)
@click.option("--insecure", is_flag=True, help="Accept plain text from anybody, for development.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line, on stdout.")
@click.option("--verbose", "-v", is_flag=True, help="Log every message that is not audio.")
@click.option(
    "--commands",
    is_flag=True,
    help=f"Read commands from stdin: {SOUND_COMMANDS}, {COMMANDS} (to see it refused).",
)
@click.option(
    "--reply",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE.wav",
    help="Answer every stream with this sound, to try a loudspeaker.",
)
@click.option(
    "--health-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve /healthz and /metrics (counts only) on this port of 127.0.0.1.",
)
@click.option(
    "--install-service",
    is_flag=True,
    help="Install and start a systemd user service with the other options given.",
)
@click.option("--remove-service", is_flag=True, help="Stop and remove that service.")
@click.pass_context
def command(
    context: click.Context,
    data: Path,
    host: str,
    port: int,
    name: str | None,
    stt: str | None,
    answers: bool,
    program: str | None,
    handle: str | None,
    tts: str | None,
    home_assistant: bool,
    home_host: str,
    home_port: int,
    home_mdns: bool,
    no_page: bool,
    no_browser: bool,
    page_host: str,
    page_port: int | None,
    page_names: tuple[str, ...],
    keep_days: float,
    max_stream_s: float,
    max_connections: int,
    insecure: bool,
    as_json: bool,
    verbose: bool,
    commands: bool,
    reply: Path | None,
    health_port: int | None,
    install_service: bool,
    remove_service: bool,
) -> int:
    """Receive audio from devices over TLS. A device needs a certificate of this receiver's CA, and
    every stream opens with its owner's consent."""
    for option in ("page_host", "page_port", "page_names"):
        if no_page and _is_given(context, option):
            name = option.removesuffix("s").replace("_", "-")
            raise HostToolError(
                f"--no-page serves no page, so there is none for --{name}",
                "leave one of them out",
            )
    is_for_others = not no_page and page_host not in (*pages.LOOPBACK, "localhost")
    if is_for_others and not remove_service:
        network_page.check_set_up(data, page_host)
    elif page_names:
        raise HostToolError(
            "--page-name needs a --page-host that other computers reach",
            "the page of this computer alone has no other name",
        )
    if install_service or remove_service:
        return receive_service.change(context, data, install_service, remove_service)
    assistants: list[Assistant] = []
    sounds = OwnerSounds(_speech, samples_of(reply) if reply else None)
    assistants.append(sounds)
    address = transcription.parse_address(stt) if stt else None
    served = {"--run": program, "--handle": handle, "--tts": tts}
    if answers:
        rivals = {"--home-assistant": home_assistant, "--reply": reply}
        _refuse_beside_answers(rivals, "does not go with --answers", "a stream has one answer")
        assistants.append(_local_answers(data, address, program, handle, tts))
    else:
        _refuse_beside_answers(served, "needs --answers", "add --answers")
        if address is not None:
            assistants.append(Transcripts(address))
    authority = authorities.open_or_make(data / "authority")
    devices = DeviceList(data / "devices.json")
    if home_assistant:
        if reply:
            raise HostToolError(
                "--reply does not go with --home-assistant", "a stream has one answer"
            )
        if insecure:
            raise HostToolError(
                "--home-assistant does not go with --insecure",
                "over plain text devices cannot be told apart",
            )
        assistants.append(_home_assistant(data, devices, home_host, home_port, home_mdns))
    with locked(data):
        place = None
        if is_for_others:
            place = network_page.listen(data, page_host, page_port, page_names, authority)
            page_host, page_port = pages.LOOPBACK[0], None
        listener = None if no_page else pages.listen(page_host, page_port)
        tls, name = authority.server_context(name)
        options = Options(
            host=host,
            port=port,
            tls=None if insecure else tls,
            max_stream_ms=round(max_stream_s * 1000),
            max_connections=max_connections,
        )
        worker = RecordingWorker(Recordings(data, keep_days), devices)
        withdrawals = OwnerWithdrawals(data)
        if listener is not None:
            is_opened = not no_browser and not as_json
            assistants += _page(data, devices, worker, withdrawals, listener, place, is_opened)
        view: View = _view(as_json, verbose)
        health = None
        if health_port is not None:
            view = counts = CountedView(view)
            health = Health(health_port, data, worker, counts)
        try:
            _warn(view, options, address, authority, devices)
            if listener is not None and place is None and _is_given(context, "page_host"):
                view.emit(
                    "warning",
                    message=f"--page-host {page_host} is this computer alone: the page is as "
                    "without it, and nobody else reaches it",
                )
            if answers:
                view.emit("answers", stt=stt or "the built-in engine", tts=tts or "espeak-ng")
            if home_assistant:
                view.emit("home", host=home_host)
            for option, uri in (("--handle", handle), ("--tts", tts)):
                if uri and not transcription.is_on_this_machine(transcription.parse_address(uri)):
                    what = "what is said" if option == "--handle" else "what is answered"
                    view.emit("warning", message=f"{what} travels to {uri} in plain text")
            receiver = Receiver(
                options,
                authority,
                devices,
                worker,
                Anchors(data),
                Statuses(data),
                withdrawals,
                view,
                tuple(assistants),
            )
            spoken = sounds if commands else None
            asyncio.run(_serve(receiver, worker, view, name, spoken, health))
        finally:
            worker.close()
            view.close()
    return 0


def _is_given(context: click.Context, option: str) -> bool:
    """Whether the user gave the option, and not its default."""
    return context.get_parameter_source(option) is ParameterSource.COMMANDLINE


def _speech(words: str) -> bytes:
    """Return words as 16 kHz samples; espeak-ng is an extra."""
    from host_tools.audio.speech import synthesise

    return synthesise(words).tobytes()


def _refuse_beside_answers(options: Mapping[str, object], why: str, hint: str) -> None:
    """Raise HostToolError if one of these options was given."""
    for name, value in options.items():
        if value:
            raise HostToolError(f"{name} {why}", hint)


def _local_answers(
    data: Path,
    stt: tuple[str, int] | None,
    program: str | None,
    handle: str | None,
    tts: str | None,
) -> Assistant:
    """Return the answers without Home Assistant; their packages are an extra."""
    from host_tools.answers import setup

    return setup.local_answers(
        data,
        stt=stt,
        run=program,
        handle=transcription.parse_address(handle, "--handle") if handle else None,
        tts=transcription.parse_address(tts, "--tts") if tts else None,
    )


def _home_assistant(
    data: Path, devices: DeviceList, address: str, port: int, is_announced: bool
) -> Assistant:
    """Return the gateway; its packages are an extra, so they are imported only here."""
    from host_tools.home.gateway import HomeGateway
    from host_tools.home.neighbours import Neighbours, check_address

    if is_announced:
        check_address(address)
    neighbours = Neighbours(address) if is_announced else None
    return HomeGateway(IdentityBook(data), devices, Statuses(data), address, port, neighbours)


def _page(
    data: Path,
    devices: DeviceList,
    worker: RecordingWorker,
    withdrawals: OwnerWithdrawals,
    listener: socket.socket,
    place: network_page.Place | None,
    is_opened: bool,
) -> tuple[Assistant, ...]:
    """Return the page, and what it knows of the devices.  Only a terminal gets a ticket: a log
    has other readers."""
    now = DevicesNow(devices, Statuses(data), Checks(data), withdrawals)
    access = Access(data)
    is_terminal = sys.stdout.isatty()
    page = pages.Page(
        listener,
        Tickets(data),
        now,
        Archive(worker),
        access,
        is_shown=is_terminal,
        is_opened=is_terminal and is_opened and pages.has_browser(),
    )
    if place is None:
        return now, page
    archive = Archive(worker, "page-network")
    return now, page, network_page.NetworkPage(place, access, now, archive)


def _view(as_json: bool, is_verbose: bool) -> View:
    if as_json:
        return JsonView(is_verbose)
    if is_journal():
        return LogView(JournalHandler(), is_verbose, has_words=False)
    if sys.stdout.isatty():
        return LiveView(None, is_verbose)
    return LogView(None, is_verbose, has_words=False)


async def _serve(
    receiver: Receiver,
    worker: RecordingWorker,
    view: View,
    name: str,
    commands: OwnerSounds | None,
    health: Health | None,
) -> None:
    """Serve until SIGINT or SIGTERM, which is how a receiver ends: no error."""

    async def obey(line: str) -> None:
        if commands is not None and not await commands.obey(line):
            await receiver.command(line)

    if health is not None:
        await health.begin()
    serving = asyncio.create_task(receiver.run(name))

    has_begun_to_end = False

    def stop() -> None:
        """End; a second signal cancels at once what did not obey the first."""
        nonlocal has_begun_to_end
        if not has_begun_to_end:
            has_begun_to_end = True
            end_within(_STUCK_S, partial(_finish, worker, view))
        serving.cancel()

    stop_on_signals(stop)
    if commands is not None:
        obey_stdin(obey)
    try:
        await serving
    except asyncio.CancelledError:
        counters = receiver.counters
        view.emit("stopped", streams=counters.streams, kept=counters.kept)
        worker.close()  # waits for what was begun
        end_within(_END_S, view.close)


def _finish(worker: RecordingWorker, view: View) -> None:
    """Let a receiver that does not end lose nothing that was begun."""
    worker.finish()
    time.sleep(_TELL_S)
    view.close()


def _warn(
    view: View,
    options: Options,
    stt: tuple[str, int] | None,
    authority: authorities.Authority,
    devices: DeviceList,
) -> None:
    """Tell what the owner should know before anything connects."""
    if authority.is_new:
        view.emit("ca", folder=str(authority.folder))
        if (_FORMER_DATA / "authority").is_dir():
            view.emit(
                "warning",
                message=f"{_FORMER_DATA.absolute()} holds a CA and recordings of an earlier "
                f"version: --data {_FORMER_DATA}, or move it to {authority.folder.parent}",
            )
    if options.tls is None:
        view.emit("warning", message="insecure: anybody may connect, and anybody may listen")
    elif not devices.all():
        view.emit(
            "warning",
            message="no device may connect yet: `earnest provision` adds a board; "
            "by hand: `earnest devices add NAME -o FOLDER`",
        )
    for device in devices.all():
        if device.days_left < _SOON_DAYS:
            view.emit(
                "warning", message=f"the certificate of {device.name} expires {device.expires}"
            )
    if stt is not None and not transcription.is_on_this_machine(stt):
        view.emit("warning", message="audio travels to the speech-to-text server in plain text")
