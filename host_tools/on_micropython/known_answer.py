"""The known answer of each model file named; runs inside MicroPython, for `earnest selftest`."""

import sys

from diagnostics.known_answers import model_answer
from wakeword.model import read

for path in sys.argv[1:]:
    model = read(path)
    print(model.header.crc32, model_answer(model))
