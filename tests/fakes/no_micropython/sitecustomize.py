"""A machine without the host's MicroPython, for what has this folder in PYTHONPATH."""

import sys

sys.modules["micropython_run"] = None  # find_spec() finds nothing, import fails
