"""The container files, read as a builder reads them: nothing that opens, nothing that is missing.

docs/receiver-service.md says how they were built and run.
"""

import re
from pathlib import Path

import yaml

from host_tools.commands.receive import command
from host_tools.service import ask_health
from host_tools.shared_firmware import ROOT

FOLDER = ROOT / "host_tools" / "service"
LINES = [
    line
    for line in (FOLDER / "Containerfile").read_text().replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
RECEIVER = COMPOSE["services"]["receiver"]


def values(instruction):
    """What comes after each such instruction of the last stage."""
    last = max(i for i, line in enumerate(LINES) if line.startswith("FROM "))
    found = (line.split(None, 1) for line in LINES[last:])
    return [rest for name, rest in found if name == instruction]


def test_every_file_that_it_copies_is_there():
    copied = [line.split()[1:-1] for line in LINES if re.match(r"COPY (?!--from)", line)]
    names = [name for names in copied for name in names]
    assert names and all((ROOT / name).exists() for name in names), names
    assert "." not in names  # the whole folder: with .git, .venv and whatever lies there


def test_it_runs_as_nobody_in_particular_with_one_volume():
    assert values("USER") == ["1000:1000"] and values("VOLUME") == ["/data"]
    assert values("EXPOSE") == ["10780"] and values("STOPSIGNAL") == ["SIGTERM"]
    assert RECEIVER["read_only"] is True and RECEIVER["cap_drop"] == ["ALL"]
    assert RECEIVER["security_opt"] == ["no-new-privileges:true"]
    assert [v.split(":")[1] for v in RECEIVER["volumes"]] == ["/data"]
    assert not {"privileged", "cap_add", "network_mode", "devices", "pid"} & set(RECEIVER)


def test_only_the_receivers_port_is_open_to_the_network():
    ports = {name: service["ports"] for name, service in COMPOSE["services"].items()}
    assert ports == {"receiver": ["10780:10780"], "home-assistant": ["127.0.0.1:8123:8123"]}


def test_it_starts_the_receiver_with_options_that_there_are():
    [entry] = values("ENTRYPOINT")
    words = [*yaml.safe_load(entry), *RECEIVER["command"]]
    assert words[:2] == ["earnest", "receive"]
    context = command.make_context("receive", words[2:])
    assert context.params["data"] == Path("/data")
    assert context.params["health_port"] == ask_health.PORT
    assert context.params["home_assistant"] is True
    assert context.params["no_page"] is True
    [alone] = values("CMD")
    assert yaml.safe_load(alone) == ["--no-page"], "without a command of its own"
    assert context.params["port"] == int(values("EXPOSE")[0])


def test_both_ask_for_its_health_in_the_same_way():
    [check] = values("HEALTHCHECK")
    asked = yaml.safe_load(check.split("CMD", 1)[1].strip())
    assert RECEIVER["healthcheck"]["test"] == ["CMD", *asked]
    assert asked == ["python", "-m", ask_health.__name__]


def test_asking_says_whether_the_receiver_is_well(healthy):
    assert ask_health.ask(healthy.health_port) == (True, "ok")
    is_well, said = ask_health.ask(1)  # where nobody answers
    assert not is_well and said.startswith("no answer: ")
