"""The engine in a MicroPython for ARM (Thumb-2), under qemu-arm: equal values, instructions, heap.

`.venv/bin/python -m tests.long.engine_on_arm MICROPYTHON` prints the table of docs/engine.md;
MICROPYTHON is MicroPython's unix port, 1.28.0, for ARM Linux (hard float).

Every probability must be the one that the host's MicroPython computes.  Instructions are of the
whole interpreter, not of the kernels alone: N chunks of speech more, in everything that runs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from host_tools import micropython
from host_tools.audio import speech
from host_tools.models.catalog import find_model, known_models
from host_tools.release.packages import engine_package, lay

ROOT_OF_ARM = "/usr/arm-linux-gnueabihf"
KINDS = ("armv7emsp", "armv6m", "py")
CHUNKS, MORE_CHUNKS = 90, 150  # a whole number of strides
#: A plugin for qemu 7 and newer (its qemu-plugin.h): adds up the instructions of every block that
#: is executed.
COUNTER = r"""
#include <stdint.h>
#include <stdio.h>
typedef uint64_t id_t_;
struct tb;
extern void qemu_plugin_register_vcpu_tb_trans_cb(id_t_, void (*)(id_t_, struct tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct tb *, int, void *, uint64_t);
extern void qemu_plugin_register_atexit_cb(id_t_, void (*)(id_t_, void *), void *);
extern uint64_t qemu_plugin_tb_n_insns(const struct tb *);
extern void qemu_plugin_outs(const char *);
int qemu_plugin_version = 1;
static uint64_t count;
static void translated(id_t_ id, struct tb *tb)
{
    qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &count, qemu_plugin_tb_n_insns(tb));
}
static void ended(id_t_ id, void *data)
{
    char text[32];
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)count);
    qemu_plugin_outs(text);
}
int qemu_plugin_install(id_t_ id, const void *info, int argc, char **argv)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, 0);
    return 0;
}
"""
#: Prints the CRC-32 of all probabilities, detections, bytes of heap for the modules and for a
#: model, and how long chunks 30 to 89 took.
GUEST = """
import binascii, gc, sys, time
gc.collect()
begin = gc.mem_alloc()
from wakeword.engine import Engine
from wakeword.feed import Feed
from wakeword.model import read
gc.collect()
imported = gc.mem_alloc()
feed = Feed(Engine([read(sys.argv[1])]))
gc.collect()
made = gc.mem_alloc()
chunk = bytearray(320)
model = feed.engine.models[0]
crc = detections = 0
with open(sys.argv[2], "rb") as file:
    for i in range(int(sys.argv[3])):
        if i == 30:
            began = time.ticks_us()
        file.readinto(chunk)
        detections += feed.process(chunk) >= 0
        if i == 89:
            took_us = time.ticks_diff(time.ticks_us(), began)
        crc = binascii.crc32(bytes((model.probability,)), crc)
print(crc, detections, imported - begin, made - imported, took_us)
"""


def arm(binary: str, library: Path, *arguments: object, options: tuple[str, ...] = ()):
    """The command that runs the guest on ARM."""
    path = ["-E", f"MICROPYPATH={library}"]
    heap = ["-X", "heapsize=4M"]
    return ["qemu-arm", "-L", ROOT_OF_ARM, *path, *options, binary, *heap, *map(str, arguments)]


def said(command: list[str], **environment: str) -> list[int]:
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [int(word) for word in done.stdout.split()]


def instructions(binary: str, library: Path, counter: Path, *arguments: object) -> int:
    """All that qemu executes."""
    command = arm(binary, library, *arguments, options=("-plugin", str(counter), "-d", "plugin"))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stderr)


def compiled_counter(folder: Path) -> Path:
    """The plugin for qemu, made by the C compiler."""
    source, library = folder / "counter.c", folder / "counter.so"
    source.write_text(COUNTER)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def all_words() -> bytes:
    """Speech with every known model's wake word in it."""
    spoken = [speech.synthesise(find_model(known).wake_word) for known in known_models()]
    return b"".join(speech.pad(part, 0.3, 0.5).astype("<i2").tobytes() for part in spoken)


def main(binary: str) -> None:
    with tempfile.TemporaryDirectory(prefix="earnest-arm-") as name:
        folder = Path(name)
        pcm, guest = folder / "speech.pcm", folder / "guest.py"
        pcm.write_bytes(all_words())
        counter = compiled_counter(folder)
        chunks = pcm.stat().st_size // 320
        guest.write_text(GUEST)
        print("| model | package | M instr/s | heap: import + model, bytes | equal to the host |")
        print("|---|---|---:|---:|---:|")
        for kind in KINDS:
            library = folder / kind
            lay(library, engine_package(kind))
            for known in known_models():
                model = find_model(known).path
                usual = said(
                    micropython.command(guest, model, pcm, chunks), MICROPYPATH="firmware"
                )
                crc, detections, code, made, _ = said(
                    arm(binary, library, guest, model, pcm, chunks)
                )
                assert [crc, detections] == usual[:2], (known, kind)
                few, many = (
                    instructions(binary, library, counter, guest, model, pcm, n)
                    for n in (CHUNKS, MORE_CHUNKS)
                )
                millions = (many - few) / (MORE_CHUNKS - CHUNKS) / 1e4
                print(
                    f"| {known} | {kind} | {millions:.1f} | {code:,} + {made:,} | "
                    f"{chunks} chunks, {detections} heard |",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1])
