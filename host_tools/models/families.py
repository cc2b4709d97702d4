"""Recognise models of other families by their input and ops, and refuse them by their names.

`graph` calls this before it looks at anything else, so that the first message is the true one.
"""

from __future__ import annotations

from collections.abc import Iterable

from host_tools.errors import HostToolError

#: What first-generation microWakeWord models compute with, beside the ops of v2 models.
FIRST_GENERATION_OPS = frozenset(("MUL", "ADD", "MEAN", "AVERAGE_POOL_2D"))
FIRST_GENERATION_INPUT = (1, 1, 40)
#: The float32 inputs of openWakeWord's three stages, without the batch and the length.
_EMBEDDING_SIZE = 96
_EMBEDDER_INPUT = (76, 32, 1)

TAKE_V2 = "use a microWakeWord v2 model of this wake word, or train one with microWakeWord"


def refuse_other_families(
    unsupported: Iterable[str], input_type: str, input_shape: tuple[int, ...]
) -> None:
    """Raise HostToolError for a model of a family that is known and not supported.

    Args:
        unsupported: The names of the ops that the converter does not know.
        input_type: The element type of the model's one input.
        input_shape: Its shape.
    """
    others = set(unsupported)
    shape = list(input_shape)
    if input_type == "INT8" and input_shape == FIRST_GENERATION_INPUT:
        if others and others <= FIRST_GENERATION_OPS:
            raise HostToolError(
                f"a first-generation microWakeWord model (int8 {shape} in, computes with "
                f"{', '.join(sorted(others))}); this firmware runs v2 models",
                TAKE_V2,
            )
        return
    if input_type != "FLOAT32":
        return
    if (len(shape) == 3 and shape[2] == _EMBEDDING_SIZE) or input_shape[1:] == _EMBEDDER_INPUT:
        raise HostToolError(
            f"an openWakeWord model (float32 {shape} in); this firmware runs microWakeWord v2 "
            "models, which take int8 [1, stride, 40]",
            TAKE_V2,
        )
    raise HostToolError(
        f"the input is FLOAT32, not INT8 (shape {shape})",
        "quantise the model to int8; float models are not supported",
    )
