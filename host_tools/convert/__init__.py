"""From a .tflite wake-word model to the file the firmware loads, with the proof that nothing
changed.

Stages, in order: `graph` (read and refuse), `dataflow` (who reads what), `bounds` (int32
proof), `plan` (arena and ops), `build` (manifest, bytes), `verify` (against TFLite).
"""

from host_tools.convert.build import ConvertedModel, convert_model

__all__ = ("ConvertedModel", "convert_model")
