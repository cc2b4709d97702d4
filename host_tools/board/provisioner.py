"""Give a board its configuration, its key and its certificates.

Place: below `earnest provision`, which asks; above personal_data, which writes a set of files so
that it counts as a whole.  `plan` decides what has to be written and writes nothing; `carry_out`
writes it.  The device's key is made in memory, goes to the board, and is stored nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from firmware.satellite import config as configuration
from firmware.satellite.config import Config
from host_tools.board import personal_data
from host_tools.board.inventory import Inventory
from host_tools.board.personal_data import (
    CONFIG_FILE,
    SENSITIVITY_FILE,
    WITHDRAWN_FILE,
    Hidden,
    NotWritten,
)
from host_tools.board.serial_link import SerialLink
from host_tools.errors import HostToolError
from host_tools.receiver.authority import Authority
from host_tools.receiver.devices import (
    CA_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    Device,
    DeviceList,
)

_FIELDS = ("ssl_key", "ssl_certificate", "ssl_ca")
#: Two sets of names: a new certificate is written beside the one in use.
_FIRST = (KEY_FILE, CERTIFICATE_FILE, CA_FILE)
_SECOND = ("device.2.key.der", "device.2.cert.der", "ca.2.cert.der")
_RENEW_DAYS = 60
PENDING = ".new"
MAX_NAME = 40 - len(PENDING)


@dataclass(frozen=True)
class Receiver:
    """The owner's side: the CA that signs, and the list of devices."""

    ca: Authority
    devices: DeviceList


@dataclass(frozen=True)
class Plan:
    """What has to be written.

    `device` is the listed one whose certificate the board has now, `name` what it is or shall be
    called; `renews` tells whether it gets a new key and certificate; `sets_sensitivity` whether
    its owner changed that, which undoes what the network raised; `gives_again` whether they give
    the consent again that the network took back.
    """

    config: Config
    text: bytes = field(repr=False)  # of config.json; it holds the password
    device: Device | None
    name: str | None
    renews: bool
    sets_sensitivity: bool
    gives_again: bool
    is_nothing: bool
    hidden: Hidden


def plan(
    present: Inventory,
    config: Config,
    receiver: Receiver,
    choose_name: Callable[[set[str], str | None], str],
    wants_certificate: bool = False,
) -> Plan:
    """Compare a configuration with what the board has.

    Args:
        present: what the board has.
        config: what it shall have.
        receiver: the owner's side.
        choose_name: gets the names that are taken and the one that the device has; returns one.
        wants_certificate: renew the certificate even if it is still valid.

    Raises:
        HostToolError: the name or the configuration cannot be one.
    """
    device = receiver.devices.find(present.certificate) if present.certificate else None
    renews = bool(config.receiver_host) and (
        wants_certificate
        or device is None
        or not present.has_key
        or present.ca != receiver.ca.certificate_der
        or device.days_left < _RENEW_DAYS
    )
    name = device.name.removesuffix(PENDING) if device else None
    if renews:
        taken = {device.name.removesuffix(PENDING) for device in receiver.devices.all()}
        name = _checked(choose_name(taken - {name}, name), taken - {name})
        config = config.changed(**dict(zip(_FIELDS, _free_names(present), strict=True)))
    text = config.to_json().encode()
    if len(text) > configuration.MAX_BYTES:
        raise HostToolError(f"the configuration has {len(text)} bytes", "shorten its texts")
    gives_again = present.is_withdrawn and config.keep_recordings
    passwords = {config.wifi_password, present.config.wifi_password if present.config else ""}
    return Plan(
        config=config,
        text=text,
        device=device,
        name=name,
        renews=renews,
        sets_sensitivity=present.config is None
        or config.sensitivity != present.config.sensitivity,
        gives_again=gives_again,
        is_nothing=not renews and not gives_again and text == present.text,
        hidden=Hidden(tuple(sorted(passwords - {""}))),
    )


def carry_out(
    port: str, plan: Plan, receiver: Receiver, say: Callable[[str], object]
) -> Device | None:
    """Write what was planned, verify it and restart the board; return the device as listed now.

    Raises:
        NotWritten: the set was not written; its text holds no secret.
    """
    device = plan.device
    with SerialLink(port) as link:
        if plan.renews:
            device = _write_with_certificate(link, plan, receiver, say)
        else:
            personal_data.write_set(link, {CONFIG_FILE: plan.text}, plan.hidden, say)
        _tidy(link, plan.config)
        if plan.sets_sensitivity:
            personal_data.remove(link, [SENSITIVITY_FILE])
        if plan.gives_again:  # last: a plug that is pulled before leaves nothing allowed
            personal_data.remove(link, [WITHDRAWN_FILE])
        link.restart_on_leave()
    return device


def _checked(name: str, taken: set[str]) -> str:
    if name in taken:
        raise HostToolError(
            f"there is a device {name!r} already",
            f"choose another --name, or earnest devices remove {name}",
        )
    if len(name) > MAX_NAME:
        raise HostToolError(f"the name {name!r} is too long", f"at most {MAX_NAME} letters")
    return name


def _free_names(present: Inventory) -> tuple[str, str, str]:
    """File names for a new certificate that the present configuration does not use."""
    if present.config is None:
        return _FIRST
    used = {getattr(present.config, field) for field in _FIELDS}
    return _SECOND if used & set(_FIRST) else _FIRST


def _write_with_certificate(
    link: SerialLink, plan: Plan, receiver: Receiver, say: Callable[[str], object]
) -> Device:
    """Sign, list, write; the old certificate is refused only when the board has the new one."""
    devices, old = receiver.devices, plan.device
    assert plan.name is not None
    pending = plan.name + PENDING
    if any(device.name == pending and device != old for device in devices.all()):
        devices.remove(pending)  # of an attempt that failed
    if old is not None and old.name == pending:
        devices.rename(pending, plan.name)
    device, credentials = devices.issue(pending, receiver.ca, renews=old, known_as=plan.name)
    try:
        content = (credentials.key, credentials.certificate, credentials.ca)
        files = {getattr(plan.config, f): c for f, c in zip(_FIELDS, content, strict=True)}
        files[CONFIG_FILE] = plan.text
        personal_data.write_set(link, files, plan.hidden, say)
    except NotWritten as error:
        if error.is_known:
            devices.remove(pending)
        raise
    except KeyboardInterrupt:
        devices.remove(pending)
        raise
    if old is not None:
        devices.remove(old.name.removesuffix(PENDING))
    devices.rename(pending, plan.name)
    return device


def _tidy(link: SerialLink, config: Any) -> None:
    """Remove certificates and keys that the configuration no longer names, and halves of files."""
    used = {CONFIG_FILE, *(getattr(config, field) for field in _FIELDS)}
    plain = {
        name: name.removesuffix(personal_data.TEMPORARY) for name in personal_data.names(link)
    }
    old = [
        name
        for name in plain
        if personal_data.is_personal(name)
        and name not in used
        and (plain[name].endswith(".der") or plain[name] in used)
    ]
    personal_data.remove(link, old)
