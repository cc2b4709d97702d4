"""Diagnostics over the cable: the state of the device, and tests of its parts.

It reads.  Only `microphone` and `self_test` use the microphone and the light, while the
application is stopped, and never against the mute.  Nothing here may unmute, open the gate, or
print a secret; tests/commands/test_diag_cannot.py holds it to that.
"""
