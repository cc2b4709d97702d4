"""Tests of every part of the device, while the application is stopped: pass or fail, and why.

Place: `diag.selftest` runs them at the prompt; `earnest selftest` runs them one by one and asks
the person about the light, the speaker and the button.  `expected` maps a model's name to its
known answer, for models that `vectors` does not know.  The microphone is tested by
`microphone.measure`, the speaker by `speaker.play`; both refuse while muted.
"""

import asyncio
import binascii
import errno
import gc
import hashlib
import json
import os
import time

from . import known_answers, microphone, speaker, vectors

MANIFEST = "installed.json"
FILE = "selftest.tmp"
FILE_BYTES = 2048
LEAST_STORAGE_BYTES = 16384
LEAST_HEAP_BYTES = 40000
BLOCK_BYTES = 16384
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
COLOUR_MS = 700
BUTTON_MS = 10000
RECEIVER_MS = 8000

#: The order in which they are run.
NAMES = (
    "memory",
    "firmware",
    "kernels",
    "model",
    "microphone",
    "light",
    "speaker",
    "button",
    "storage",
    "wifi",
    "receiver",
)
#: Those that need no driver and no configuration.
BARE = ("memory", "firmware")


def result(name, ok, reason):
    """`ok` is True, False, or None for what was not tested."""
    return {"test": name, "ok": ok, "reason": reason}


def run(name, hardware, config, expected=None):
    """One test by name; a result."""
    if name == "memory":
        return _memory()
    if name == "firmware":
        return _firmware()
    if name == "kernels":
        return _kernels(config, expected or {})
    if name == "model":
        return _model(config)
    if name == "microphone":
        return _microphone(hardware)
    if name == "light":
        return _light(hardware)
    if name == "speaker":
        return _speaker(hardware, config)
    if name == "button":
        return _button(hardware)
    if name == "storage":
        return _storage(hardware)
    if name == "wifi":
        return _wifi(hardware, config)
    if name == "receiver":
        return _receiver(hardware, config)
    raise ValueError("no such test: %s" % name)


def _memory():
    gc.collect()
    free = gc.mem_free()
    if free < LEAST_HEAP_BYTES:
        return result("memory", False, "%d bytes free, %d needed" % (free, LEAST_HEAP_BYTES))
    try:
        block = bytearray(BLOCK_BYTES)
    except MemoryError:
        return result("memory", False, "no %d bytes in one piece" % BLOCK_BYTES)
    for pattern in (0x55, 0xAA, 0x00, 0xFF):
        for i in range(BLOCK_BYTES):
            block[i] = pattern ^ i & 255
        for i in range(BLOCK_BYTES):
            if block[i] != (pattern ^ i & 255):
                return result("memory", False, "byte %d does not hold what was written" % i)
    return result("memory", True, "{:,} bytes free".format(free))


def _firmware():
    """Each file that `earnest install` wrote, by the SHA-256 that it wrote with it."""
    try:
        with open(MANIFEST) as file:
            wanted = dict(json.load(file)["files"])
    except OSError:
        return result("firmware", None, "no %s to compare with: earnest install" % MANIFEST)
    except (ValueError, KeyError, TypeError):
        return result("firmware", False, "%s is damaged: earnest install" % MANIFEST)
    block = bytearray(1024)
    for name in sorted(wanted):
        digest = hashlib.sha256()
        try:
            with open(name, "rb") as file:
                while True:
                    size = file.readinto(block)
                    if not size:
                        break
                    digest.update(memoryview(block)[:size])
        except OSError:
            return result("firmware", False, "%s is not there: earnest install" % name)
        if binascii.hexlify(digest.digest()).decode() != wanted[name]:
            return result("firmware", False, "%s is damaged: earnest install" % name)
    return result("firmware", True, "%d files as installed" % len(wanted))


def _kernels(config, expected):
    from wakeword.frontend import Frontend, tables
    from wakeword.model import _KERNELS, ModelFormatError, read
    from wakeword.model_format import REQUANTISE

    answer = known_answers.tables_answer(tables)
    if answer != vectors.TABLES:
        return result(
            "kernels",
            False,
            "tables: %08x, not %08x: install the firmware again" % (answer, vectors.TABLES),
        )
    answer = known_answers.frontend_answer(Frontend())
    if answer != vectors.FRONTEND:
        return result(
            "kernels",
            False,
            "front end: %08x, not %08x: install the firmware again" % (answer, vectors.FRONTEND),
        )
    errors = known_answers.requantise_errors(_KERNELS[REQUANTISE])
    if errors:
        words = "requantise: %d of %d wrong: install the firmware again"
        return result("kernels", False, words % (errors, known_answers.CASES))
    unknown = []
    for name in config.models:
        gc.collect()
        try:
            model = read("models/%s.ewm" % name)
        except (OSError, ModelFormatError, MemoryError) as error:
            return result("kernels", False, "model %s: %s" % (name, error))
        want = expected.get(name, vectors.MODELS.get(model.header.crc32))
        if want is None:
            unknown.append(name)
            continue
        answer = known_answers.model_answer(model)
        if answer != want:
            return result(
                "kernels",
                False,
                "model %s: %08x, not %08x: install the firmware again" % (name, answer, want),
            )
        errors = known_answers.walk_errors(model)
        if errors:
            words = "model %s in one call: %d of %d slices wrong: install the firmware again"
            return result("kernels", False, words % (name, errors, known_answers.SLICES))
    if unknown:
        words = "no known answer for %s: `earnest selftest` brings it" % ", ".join(unknown)
        return result("kernels", None, "front end is right; " + words)
    return result("kernels", True, "front end and %d model(s) bit for bit" % len(config.models))


def _model(config):
    from wakeword.model import ModelFormatError, read

    sums = []
    for name in config.models:
        gc.collect()
        try:
            header = read("models/%s.ewm" % name).header
        except OSError:
            return result("model", False, "models/%s.ewm is not there: earnest install" % name)
        except (ModelFormatError, MemoryError) as error:
            return result("model", False, "%s: %s: earnest install" % (name, error))
        sums.append("%s %08x" % (name, header.crc32))
    return result("model", True, "checksum right: " + ", ".join(sums))


def _microphone(hardware):
    measured = microphone.measure(hardware)
    if not measured["measured"]:
        return result("microphone", None, measured["advice"])
    words = "%s: %s" % (measured["verdict"], measured["advice"])
    return result("microphone", measured["ok"], words)


def _light(hardware):
    light = hardware.light
    try:
        for r, g, b in COLOURS:
            light.show(r, g, b)
            if not light.is_ok():
                return result("light", False, "its pin does not follow: check wire and board.py")
            time.sleep_ms(COLOUR_MS)
        light.show(0, 0, 0)
    except OSError as error:
        return result("light", False, "cannot be driven: %s" % error)
    colours = "red, green, blue" if light.has_colour else "three times the same colour"
    return result("light", True, "driven; a person must have seen: " + colours)


def _speaker(hardware, config):
    volume = min(config.volume, config.volume_max)
    try:
        speaker.play(hardware, volume)
    except speaker.Refused as error:
        return result("speaker", None, str(error))
    except OSError as error:
        return result("speaker", False, "cannot play: %s" % error)
    words = "played at %d %%; a person must have heard six notes, three up and again" % volume
    return result("speaker", True, words)


def _button(hardware):
    """A press, seen; it changes nothing."""
    controls = hardware.controls
    began_ms = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), began_ms) < BUTTON_MS:
        if controls.was_pressed():
            return result("button", True, "pressed")
        time.sleep_ms(10)
    return result(
        "button", False, "no press seen in %d s: check pin and wire" % (BUTTON_MS // 1000)
    )


def _storage(hardware):
    data = bytes(i * 7 & 255 for i in range(FILE_BYTES))
    storage = hardware.storage
    try:
        try:
            storage.write_atomic(FILE, data)
            if storage.read(FILE, FILE_BYTES + 1) != data:
                return result("storage", False, "what was written reads back differently")
        finally:
            storage.remove(FILE)
            storage.remove(FILE + ".new")
        free = storage.free_bytes()
    except OSError as error:
        if error.args and error.args[0] == 28:
            return result("storage", False, "the disk is full: remove files, or flash again")
        return result("storage", False, "cannot write: %s" % error)
    if free < LEAST_STORAGE_BYTES:
        return result("storage", False, "only %d bytes free" % free)
    return result("storage", True, "{:,} bytes free".format(free))


def _wifi(hardware, config):
    if hardware.wifi is None:
        return result("wifi", False, "not configured: earnest provision")
    asyncio.new_event_loop()  # nothing of a stopped application may run on
    if not hardware.wifi.is_connected() and not asyncio.run(hardware.wifi.connect()):
        return result("wifi", False, hardware.wifi.status())
    return result("wifi", True, "connected")


def _receiver(hardware, config):
    if not config.receiver_host:
        return result("receiver", False, "no receiver configured: earnest provision")
    network = _wifi(hardware, config)
    if not network["ok"]:
        return result("receiver", False, "no Wi-Fi: " + network["reason"])
    asyncio.new_event_loop()
    try:
        asyncio.run(asyncio.wait_for_ms(_ping(hardware.connect), RECEIVER_MS))
    except asyncio.TimeoutError:
        return result("receiver", False, "no answer in %d s" % (RECEIVER_MS // 1000))
    except (OSError, ValueError) as error:
        return result("receiver", False, _why_no_receiver(error, config))
    return result("receiver", True, "answers" + (", INSECURE" if config.insecure else ", TLS"))


def _why_no_receiver(error, config):
    """In a line; lwIP, the chip's TCP, says ECONNRESET also where nobody listens."""
    where = "%s:%d" % (config.receiver_host, config.receiver_port)
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ECONNREFUSED:
        return "nobody listens at %s: is `earnest receive` running?" % where
    if number == errno.ECONNRESET:
        return "nobody listens at %s, or it broke off: is `earnest receive` running?" % where
    words = " ".join(str(error).split())
    if "not correctly signed" in words:  # by mbedTLS, perhaps with other faults
        return "the receiver's certificate was issued by a different CA: earnest provision"
    return words or repr(error)


async def _ping(connect):
    from satellite import protocol

    reader, writer = await connect()
    try:
        writer.write(protocol.encode(protocol.PING))
        await writer.drain()
        decoder = protocol.Decoder(0)
        while True:
            data = await reader.read(256)
            if not data:
                raise OSError("the receiver closed the connection")
            for event in decoder.feed(data):
                if event.type == protocol.PONG:
                    return
    finally:
        writer.close()


def tidy():
    """Remove what a test that was interrupted left."""
    for name in (FILE, FILE + ".new"):
        try:
            os.remove(name)
        except OSError:
            pass  # not there
