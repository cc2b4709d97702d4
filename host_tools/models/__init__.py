"""From a .tflite wake-word model to the file that the firmware loads, with the proof.

Stages of a conversion, in order: `graph` (read and refuse), `detours` (moves in float become
int8), `dataflow` (who reads what), `bounds` (int32 proof), `plan` (arena and ops), `build`
(bytes), `verify` (against TFLite Micro).
"""
