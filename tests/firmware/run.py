"""Runs firmware tests on any runtime: `micropython run.py [test_file.py [test_name ...]]`.

Without arguments every test_*.py beside this file is run, every `def test_*` in it.  The firmware
and this folder must be on the path.  Prints a line for each test; the first failure ends with its
traceback and exit status 1.  Must not import anything that a board does not have.
"""

import sys


def test_files(folder):
    """Names of the test modules in `folder`, sorted."""
    import os

    return sorted(n[:-3] for n in os.listdir(folder) if n[:5] == "test_" and n[-3:] == ".py")


def run_module(module_name, wanted):
    """Run the functions named in `wanted`, or all tests of the module; returns how many ran."""
    module = __import__(module_name)
    names = wanted or sorted(n for n in dir(module) if n.startswith("test_"))
    for name in names:
        getattr(module, name)()
        print("ok", module_name + "." + name)
    return len(names)


def main(arguments):
    if arguments:
        path = arguments[0].split("/")[-1]
        count = run_module(path[:-3] if path.endswith(".py") else path, arguments[1:])
    else:
        folder = sys.path[0] or "."
        count = sum(run_module(name, []) for name in test_files(folder))
    print(count, "passed")


if __name__ == "__main__":
    main(sys.argv[1:])
