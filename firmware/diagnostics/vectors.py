"""Known answers of front end and models; made by `python -m host_tools.known_answers`.

Place: `self_test` compares what `known_answers` works out with them.  Models are named
by the CRC-32 in their file's header.  Imports nothing.
"""

TABLES = 4010206893
FRONTEND = 3516016636
MODELS = {
    469995715: 229061957,
    1134895688: 20286266,
    2523427264: 859752756,
    3535580146: 1496865157,
}
