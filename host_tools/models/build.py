"""Turn a .tflite model and its manifest into the bytes of a model file.

Fifth stage of the converter: the manifest's fields, the header, the constants, the checksum;
then the file is held against the same `check` that the firmware runs.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass

from firmware.wakeword import model_format as fmt
from host_tools.errors import HostToolError
from host_tools.models.dataflow import follow
from host_tools.models.graph import read_graph
from host_tools.models.plan import CONSTANT_WORD, Plan, make_plan


@dataclass(frozen=True)
class Manifest:
    """The fields of a microWakeWord v2 manifest that the device needs."""

    wake_word: str
    probability_cutoff: float
    sliding_window_size: int

    @property
    def cutoff(self) -> int:
        """Return the cutoff in 0..255, as ESPHome computes it."""
        return int(self.probability_cutoff * 255)

    @classmethod
    def from_json(cls, data: object) -> Manifest:
        """Read the parsed JSON of a manifest; HostToolError names the field, its value and what is
        allowed.
        """
        if not isinstance(data, dict) or not isinstance(data.get("micro"), dict):
            raise HostToolError(
                "the manifest has no `micro` section",
                "give a microWakeWord v2 manifest (.json beside the .tflite)",
            )
        micro = data["micro"]

        def wrong(name: str, value: object, allowed: str) -> HostToolError:
            return HostToolError(f"manifest: {name} is {value!r}; allowed: {allowed}")

        if data.get("type") != "micro":
            raise wrong("type", data.get("type"), "'micro'")
        if data.get("version") != 2:
            raise wrong("version", data.get("version"), "2")
        word = data.get("wake_word")
        if (
            not isinstance(word, str)
            or not word.isprintable()  # which also leaves out what UTF-8 cannot encode
            or not 1 <= len(word.encode()) <= fmt.MAX_NAME_BYTES
        ):
            raise wrong("wake_word", word, f"1 to {fmt.MAX_NAME_BYTES} bytes of printable text")
        cutoff = micro.get("probability_cutoff")
        if isinstance(cutoff, bool) or not isinstance(cutoff, int | float) or not 0 <= cutoff <= 1:
            raise wrong("micro.probability_cutoff", cutoff, "0 to 1")
        window = micro.get("sliding_window_size")
        if (
            isinstance(window, bool)
            or not isinstance(window, int)
            or not 1 <= window <= fmt.MAX_WINDOW
        ):
            raise wrong("micro.sliding_window_size", window, f"1 to {fmt.MAX_WINDOW}")
        step = micro.get("feature_step_size", fmt.FEATURE_STEP_MS)
        if step != fmt.FEATURE_STEP_MS:
            raise wrong("micro.feature_step_size", step, f"{fmt.FEATURE_STEP_MS} (ms)")
        return cls(word, float(cutoff), window)


@dataclass(frozen=True)
class ConvertedModel:
    """A model file and the facts that the report prints."""

    data: bytes
    manifest: Manifest
    source: bytes
    macs: int
    arena_bytes: int
    stride: int
    ops: int
    headroom_bits: float

    @property
    def ram_bytes(self) -> int:
        """Return the bytes that the model takes on the device: its file and its arena."""
        return len(self.data) + self.arena_bytes


def convert_model(tflite_bytes: bytes, manifest: object) -> ConvertedModel:
    """Convert a microWakeWord v2 model; `manifest` is its parsed JSON.  HostToolError for whatever
    is not supported.
    """
    fields = Manifest.from_json(manifest)
    flow = follow(read_graph(tflite_bytes))
    plan = make_plan(flow)
    data = _file(plan, fields, hashlib.sha256(tflite_bytes).digest(), flow.stride)
    try:
        fmt.check(data)
    except fmt.ModelFormatError as error:
        raise HostToolError(f"the model is beyond what the firmware runs: {error}") from error
    headroom = 31 - math.log2(max(plan.worst, 1))
    return ConvertedModel(
        data,
        fields,
        tflite_bytes,
        plan.macs,
        plan.arena_bytes,
        flow.stride,
        len(plan.input_ops) + len(plan.ops),
        headroom,
    )


def _aligned(size: int) -> int:
    return -(-size // 4) * 4


def _file(plan: Plan, manifest: Manifest, source_sha256: bytes, stride: int) -> bytes:
    name = manifest.wake_word.encode()
    ops = plan.input_ops + plan.ops
    ops_at = _aligned(fmt.HEADER_BYTES + len(name))
    fills_at = ops_at + 4 * sum(len(op) for op in ops)
    constants_at = fills_at + fmt.FILL_BYTES * len(plan.fills)
    body = bytearray(name)
    body.extend(bytes(ops_at - fmt.HEADER_BYTES - len(name)))
    for op in ops:
        words = list(op)
        if op[0] in CONSTANT_WORD:
            words[CONSTANT_WORD[op[0]]] += constants_at
        body.extend(struct.pack(f"<{len(words)}I", *words))
    for fill in plan.fills:
        body.extend(struct.pack("<3I", *fill))
    body.extend(plan.constants)

    def header(crc32: int) -> bytes:
        return struct.pack(
            fmt.HEADER,
            fmt.MAGIC,
            fmt.VERSION,
            fmt.HEADER_BYTES,
            fmt.HEADER_BYTES + len(body),
            crc32,
            source_sha256,
            plan.arena_bytes,
            plan.macs,
            len(plan.input_ops),
            len(ops),
            stride,
            fmt.FEATURES,
            manifest.cutoff,
            manifest.sliding_window_size,
            fmt.INPUT_MULTIPLIER,
            fmt.INPUT_OFFSET,
            fmt.INPUT_DIVISOR,
            len(name),
            ops_at,
            fills_at,
            len(plan.fills),
            plan.input_at,
            plan.output_at,
            fmt.FEATURE_STEP_MS,
            fmt.WAKE_WORD,
        )

    return header(fmt.crc32(header(0) + body)) + bytes(body)
