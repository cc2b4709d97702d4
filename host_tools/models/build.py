"""Turn a .tflite model and its manifest into the bytes of a model file.

Sixth stage of the converter: the manifest's fields, the header, the constants, the checksum;
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
from host_tools.models.detours import remove_float_detours
from host_tools.models.graph import read_graph
from host_tools.models.manifest import Manifest
from host_tools.models.plan import CONSTANT_WORD, Plan, make_plan


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
    """Convert a microWakeWord v2 model; `manifest` is its parsed JSON.

    Raises HostToolError for whatever is not supported.
    """
    graph = read_graph(tflite_bytes)  # first: a model of another family says so, not its manifest
    fields = Manifest.from_json(manifest)
    flow = follow(remove_float_detours(graph))
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
    fills_end = fills_at + fmt.FILL_BYTES * len(plan.fills)
    constants_at = -(-fills_end // fmt.VECTOR_BYTES) * fmt.VECTOR_BYTES
    body = bytearray(name)
    body.extend(bytes(ops_at - fmt.HEADER_BYTES - len(name)))
    for op in ops:
        words = list(op)
        if op[0] in CONSTANT_WORD:
            words[CONSTANT_WORD[op[0]]] += constants_at
        body.extend(struct.pack(f"<{len(words)}I", *words))
    for fill in plan.fills:
        body.extend(struct.pack("<3I", *fill))
    body.extend(bytes(constants_at - fills_end))
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
