"""What `earnest provision` asks and shows, in plain words.

Place: between the person and board/wanted_config, which checks every answer.  A password is typed
without echo and is in no text that leaves this module: not in an error, not in a listing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from firmware.satellite import config as configuration
from firmware.satellite.config import Config
from host_tools.board.receiver_address import parse, this_computer
from host_tools.board.sensitivity import LEVELS, Own, setting_of, text_of
from host_tools.board.wake_words import OTHERS
from host_tools.board.wanted_config import PASSWORD, words_of
from host_tools.errors import HostToolError

NONE = "-"


def ask(
    current: Config,
    models: Mapping[str, Own | None],
    receiver_name: str,
    has_speaker: bool,
    taken_back: str | None,
    err: bool,
) -> dict[str, Any]:
    """Return the owner's answers as fields of the configuration; Enter keeps what is in brackets.

    Args:
        current: what the board has, whose values are proposed.
        models: what the board can listen for, in the order proposed.
        receiver_name: the name in the receiver's certificate.
        has_speaker: whether the board can speak; nothing is asked of it otherwise.
        taken_back: how consent was taken back since it was given, which is said; No is proposed.
        err: ask on standard error, since standard output is for a program.
    """
    answers: dict[str, Any] = {}
    click.echo(f'Enter keeps what is in brackets; "{NONE}" means none.', err=err)
    answers["wifi_ssid"] = _ask_field("Wi-Fi network", "wifi_ssid", current.wifi_ssid, err)
    if answers["wifi_ssid"]:
        is_known = answers["wifi_ssid"] == current.wifi_ssid and bool(current.wifi_password)
        answers[PASSWORD] = _ask_password(current.wifi_password if is_known else "", err)
    else:
        answers[PASSWORD] = ""
    answers |= _ask_receiver(current, receiver_name, err)
    if models:
        answers |= _ask_words(current, models, err)
    click.echo(
        "\nAfter the wake word your sentence is sent to your receiver, and to nobody else. The "
        "audio is\ndiscarded when it has been answered. You may allow more. If you take that back "
        "later, what was\nkept is deleted. If you let Home Assistant answer (`earnest receive "
        "--home-assistant`), it gets\nthe audio too: it can keep what was said, and in debug mode "
        "the audio, whatever you answer here.",
        err=err,
    )
    if taken_back is not None:
        click.echo(f"{taken_back} Only your Yes here gives it again.", err=err)
    may_propose = taken_back is None
    keep = click.confirm(
        "May your receiver keep recordings?", may_propose and current.keep_recordings, err=err
    )
    answers["keep_recordings"] = keep
    answers["share_for_training"] = keep and click.confirm(
        "May they be marked for training wake words? Earnest uploads nothing.",
        may_propose and current.share_for_training,
        err=err,
    )
    if has_speaker:
        answers |= _ask_loudspeaker(current, err)
    answers["muted_on_boot"] = click.confirm(
        "Start muted at every power-on? (No: restore the last mute state.)",
        current.muted_on_boot,
        err=err,
    )
    return answers


def _ask_loudspeaker(current: Config, err: bool) -> dict[str, Any]:
    click.echo(
        "\nThis board has a loudspeaker. It answers what you said to it. You may allow more.",
        err=err,
    )
    return {
        "volume": _ask_field("Volume, in percent", "volume", current.volume, err),
        "volume_max": _ask_field(
            "The loudest that your receiver may set", "volume_max", current.volume_max, err
        ),
        "timers": click.confirm("May your receiver ring timers?", current.timers, err=err),
        "announcements": click.confirm(
            "May it announce something unasked, ten times an hour at most?",
            current.announcements,
            err=err,
        ),
    }


def _ask_receiver(current: Config, receiver_name: str, err: bool) -> dict[str, Any]:
    text = "Receiver: address of the computer that runs `earnest receive`"
    default = current.receiver_host or this_computer()
    while True:
        answer = click.prompt(text, default, show_default=bool(default), err=err, type=str)
        if answer in (NONE, ""):
            return {"receiver_host": ""}
        try:
            address = parse(answer)
            break
        except HostToolError as error:
            error.show()
    answers: dict[str, Any] = {"receiver_host": address.host, "receiver_port": address.port}
    if address.port is None:
        port = current.receiver_port
        answers["receiver_port"] = _ask_field("Its port", "receiver_port", port, err)
    answers["receiver_name"] = _ask_field(
        "The name in its certificate", "receiver_name", receiver_name, err
    )
    return answers


def _ask_words(current: Config, models: Mapping[str, Own | None], err: bool) -> dict[str, Any]:
    """The wake words, of those that are on the board, and how sensitive each shall be."""
    words = words_of(current, models)
    click.echo(f"\nWake words on the board: {', '.join(models)}; {OTHERS}", err=err)
    while len(models) > 1:
        answer = click.prompt("Wake words, separated by commas", ",".join(words), err=err)
        chosen = [word.strip() for word in answer.split(",") if word.strip()]
        unknown = [word for word in chosen if word not in models]
        if chosen and not unknown and len(chosen) == len(set(chosen)):
            words = chosen
            break
        click.echo(f"error: not on the board, or named twice: {', '.join(unknown)}", err=True)
    sensitivity = {}
    for word in words:
        own, setting = models[word], current.sensitivity.get(word, {})
        if own is not None:
            now = text_of(setting, own)
            choice = click.Choice(list(dict.fromkeys([*LEVELS, now])))
            level = click.prompt(f"Sensitivity of {word}", now, type=choice, err=err)
            setting = setting if level == now else setting_of(level, own)
        if setting:
            sensitivity[word] = setting
    return {"models": words, "sensitivity": sensitivity}


def listing(
    config: Config, models: Mapping[str, Own | None], has_speaker: bool
) -> list[tuple[str, str]]:
    """(what, value) of the configuration for people; the password is hidden."""
    ssid, host = config.wifi_ssid, config.receiver_host
    where = f"{host}, port {config.receiver_port}, certificate name {config.receiver_name}"
    if config.insecure:
        where = f"{host}, port {config.receiver_port}, INSECURE: anybody on the way can listen"
    rows = [
        ("Wi-Fi network", ssid or "none: the board stays offline"),
        ("Wi-Fi password", "(hidden)" if config.wifi_password else "none"),
        ("receiver", where if host else "none: nothing is ever sent"),
        ("recordings", "may be kept" if config.keep_recordings else "not kept"),
        ("training", "allowed" if config.share_for_training else "not allowed"),
        ("at power-on", "muted" if config.muted_on_boot else "the last mute state"),
        ("pre-roll", f"{config.preroll_ms} ms"),
        ("wake words", ", ".join(config.models)),
        ("sensitivity", _sensitivity(config, models)),
        ("brightness", f"{config.brightness} of 255"),
    ]
    if has_speaker:
        rows += [
            ("volume", f"{config.volume} %; the receiver may set {config.volume_max} % at most"),
            ("timers", "may ring" if config.timers else "not allowed"),
            ("announcements", "allowed" if config.announcements else "not allowed"),
        ]
    return rows if ssid else [row for row in rows if row[0] != "Wi-Fi password"]


def _sensitivity(config: Config, models: Mapping[str, Own | None]) -> str:
    shown = [
        f"{word} {text_of(setting, models.get(word))}"
        for word, setting in config.sensitivity.items()
    ]
    return "; ".join(shown) or "normal"


def facts(config: Config) -> dict[str, Any]:
    """All fields for `--json`, secrets hidden."""
    secret = configuration.SECRETS
    values = {name: getattr(config, name) for name in configuration.NAMES}
    return {k: "(hidden)" if k in secret and v else v for k, v in values.items()}


def _ask_field(words: str, field: str, current: Any, err: bool) -> Any:
    """Ask until the answer is one that the configuration allows."""
    while True:
        shown = bool(current)
        answer = click.prompt(words, default=current, show_default=shown, err=err, type=str)
        value: Any = "" if answer == NONE else answer
        if isinstance(current, int) and str(value).isdecimal():
            value = int(value)
        try:
            configuration.Config({field: value})
            return value
        except configuration.ConfigError as error:
            click.echo(f"error: {error}", err=True)


def _ask_password(current: str, err: bool) -> str:
    """Ask without echo until it can be a password."""
    known = "Enter keeps the one on the board" if current else "Enter for an open network"
    while True:
        words = f"Wi-Fi password, not shown ({known})"
        answer = click.prompt(
            words, default="", show_default=False, hide_input=True, err=err, type=str
        )
        value = current if not answer else "" if answer == NONE else answer
        try:
            configuration.Config({"wifi_ssid": "x", PASSWORD: value})
            return value
        except configuration.ConfigError as error:
            click.echo(f"error: {error}", err=True)
