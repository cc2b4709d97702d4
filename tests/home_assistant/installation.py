"""A real Home Assistant in a folder of its own, from Debian's and Python's registries.

Home Assistant needs a newer Python than the project: it comes as Debian packages, unpacked into
the folder and run there with chroot; nothing of this computer's own is changed.  Chromium, for the
picture, comes the same way.  Needs root, Linux x86-64, apt-get and about 3 GB.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.places import MADE

FOLDER = MADE / "home-assistant"
ROOT = FOLDER / "root"
CONFIG = ROOT / "config"
PYTHON = "/ha/bin/python"
HOME_ASSISTANT = "homeassistant==2026.11.0"
PLAYWRIGHT = "playwright==1.65.2"
#: Its wheel has the program itself, which Home Assistant calls for every reply.
FFMPEG = "imageio-ffmpeg==0.8.1"
#: With Python 3.14; the release after the one that is stable today.
SUITE = "forky"
_DEBIAN = ("python3.14", "python3.14-venv", "python3.14-dev", "g++", "chromium", "bash", "dash")
_DEBIAN += ("fonts-dejavu-core", "libc-bin")
#: Whose packages are needed: what configuration.yaml names, and what those import.
_INTEGRATIONS = ("frontend", "esphome", "wyoming", "assist_pipeline", "conversation", "template")
_INTEGRATIONS += ("onboarding", "config", "input_boolean", "intent", "tts", "stt", "ffmpeg")
_INTEGRATIONS += ("backup", "camera", "image_processing", "ai_task", "infrared", "analytics")
_INTEGRATIONS += ("radio_frequency", "api", "websocket_api", "hassio")
_NEEDS = """
import json, pathlib, sys
folder = pathlib.Path("/ha/lib/python3.14/site-packages/homeassistant/components")
todo, seen, needed = sys.argv[1:], set(), set()
while todo:
    manifest = folder / (name := todo.pop()) / "manifest.json"
    if name not in seen and manifest.exists():
        content = json.loads(manifest.read_text())
        needed |= set(content.get("requirements", ()))
        todo += content.get("dependencies", ())
    seen.add(name)
print("\\n".join(sorted(needed)))
"""
_LINK_FFMPEG = """
import os, imageio_ffmpeg
os.symlink(imageio_ffmpeg.get_ffmpeg_exe(), "/usr/bin/ffmpeg")
"""
_APT = """
Dir::State "{apt}";
Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache";
Dir::Etc::sourcelist "{apt}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Install-Recommends "false";
"""
_DEVICES = {"null": 3, "zero": 5, "random": 8, "urandom": 9}
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def install(say=print) -> None:
    """Make the folder unless it is there; some minutes."""
    if (FOLDER / "done").exists():
        return
    if os.name != "posix" or os.geteuid() != 0 or platform.machine() != "x86_64":
        raise HostToolError("this needs root on Linux x86-64", "run it in a container, as root")
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise HostToolError("this needs apt-get and dpkg-deb", "run it on Debian or Ubuntu")
    shutil.rmtree(FOLDER, ignore_errors=True)
    ROOT.mkdir(parents=True)
    say(f"unpacking Python 3.14 and Chromium of Debian {SUITE} into {ROOT}")
    _unpack(_fetch_debian())
    _furnish()
    say(f"installing {HOME_ASSISTANT}")
    inside("/usr/bin/python3.14", "-m", "venv", "/ha")
    inside("/ha/bin/pip", "install", "--quiet", "uv")
    _pip(HOME_ASSISTANT)
    needed = inside(PYTHON, "-c", _NEEDS, *_INTEGRATIONS).split()
    # The project's own version, where the registry has not got Home Assistant's yet.
    ours = _pin("aioesphomeapi")
    needed = [ours if name.startswith("aioesphomeapi==") else name for name in needed]
    _pip(*needed, PLAYWRIGHT, FFMPEG)
    inside(PYTHON, "-c", _LINK_FFMPEG)
    (FOLDER / "done").touch()


def command(*arguments: str) -> list[str]:
    """Return what runs a program inside, with a /proc of its own that ends with it."""
    script = f'mount -t proc proc {ROOT}/proc && exec nice chroot {ROOT} "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", *arguments]


def environment() -> dict[str, str]:
    return {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/ha/bin:/usr/bin:/usr/sbin:/bin:/sbin",
        "SSL_CERT_FILE": str(_CERTIFICATES),
    }


def inside(*arguments: str) -> str:
    """Run a program inside to its end; returns its output."""
    return _run(command(*arguments), environment())


def _fetch_debian() -> list[Path]:
    apt = FOLDER / "apt"
    (apt / "lists" / "partial").mkdir(parents=True)
    (apt / "cache" / "archives" / "partial").mkdir(parents=True)
    (apt / "status").touch()
    (apt / "apt.conf").write_text(_APT.format(apt=apt))
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (apt / "sources.list").write_text(
        f"deb [signed-by={keys}] http://deb.debian.org/debian {SUITE} main\n"
    )
    own = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    _run(["apt-get", "update"], own)
    _run(["apt-get", "install", "--yes", "--download-only", *_DEBIAN], own)
    return sorted((apt / "cache" / "archives").glob("*.deb"))


def _unpack(packages: list[Path]) -> None:
    for name in ("bin", "sbin", "lib", "lib64"):
        (ROOT / "usr" / name).mkdir(parents=True, exist_ok=True)
        (ROOT / name).symlink_to(f"usr/{name}")
    for package in packages:
        _run(["nice", "dpkg-deb", "-x", str(package), str(ROOT)])
        package.unlink()


def _furnish() -> None:
    """Add what a running system has, and a package does not bring."""
    for name in ("dev", "proc", "tmp", "etc/ssl/certs", "root", "config"):
        (ROOT / name).mkdir(parents=True, exist_ok=True)
    for name, minor in _DEVICES.items():
        os.mknod(ROOT / "dev" / name, 0o20666, os.makedev(1, minor))
    for path in (Path("/etc/resolv.conf"), Path("/etc/hosts"), _CERTIFICATES):
        shutil.copy(path, ROOT / path.relative_to("/"))


def _pip(*packages: str) -> None:
    # Plain pip does not finish resolving these.
    inside("/ha/bin/uv", "pip", "install", "--quiet", "--python", PYTHON, *packages)


def _pin(name: str) -> str:
    """Return the project's own requirement of a package."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.strip().startswith(f'"{name}=='))
    return line.strip().strip('",').partition(";")[0].strip()


def _run(arguments: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise HostToolError(
            f"{' '.join(arguments[:6])} ... failed: {done.stderr[-600:].strip()}",
            f"remove {FOLDER} and try again",
        )
    return done.stdout
