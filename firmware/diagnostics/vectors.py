"""Known answers of front end and models; made by `python -m host_tools.known_answers`.

Place: `self_test` compares what `known_answers` works out with them.  Models are named
by the CRC-32 in their file's header.  Imports nothing.
"""

TABLES = 4010206893
FRONTEND = 3516016636
MODELS = {
    1183378793: 3765047897,
    2178999816: 4162208438,
    2642228558: 1481198976,
    3353533235: 1287498113,
}
