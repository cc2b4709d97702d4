"""Known answers of front end and models; made by `python -m host_tools.known_answers`.

Place: `self_test` compares what `known_answers` works out with them.  Models by the CRC-32 in their file's header.  Imports nothing.
"""

FRONTEND = 2527012817
MODELS = {
    469995715: 4017275145,
    1134895688: 1104056899,
    2523427264: 1759633148,
    3535580146: 2620739654,
}
