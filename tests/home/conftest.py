"""What talks to Home Assistant needs Python 3.11: elsewhere its tests are not collected."""

from importlib.util import find_spec

if find_spec("aioesphomeapi") is None:
    collect_ignore_glob = ["test_*.py"]
