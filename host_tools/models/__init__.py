"""From a .tflite wake-word model to the file that the firmware loads, with the proof.

Stages of a conversion, in order: `graph` (read and refuse), `dataflow` (who reads what), `bounds`
(int32 proof), `plan` (arena and ops), `build` (manifest, bytes), `verify` (against TFLite Micro).
"""
