"""Importing this puts tests/fakes, the stand-ins for hardware, on the path."""

import sys

FOLDER = __file__.rsplit("/", 2)[0] if __file__.count("/") > 1 else ".."
sys.path.append(FOLDER + "/fakes")
