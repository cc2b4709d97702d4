"""Looking after a device over its cable: what it says of itself, and tests of its parts.

Reads; the microphone and the light are used by `microphone` and `self_test` alone, while the
application is stopped, and never against the mute.  Nothing here may unmute, open the gate, or
print a secret; tests/commands/test_diag_cannot.py holds it to that.
"""
