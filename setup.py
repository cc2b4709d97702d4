"""What pyproject.toml cannot say: a wheel carries boards/ and models/ as host_tools/data/."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithData(build_py):
    """Builds the packages, then lays the data beside them; an editable install needs none."""

    def run(self):
        super().run()
        if not self.editable_mode:
            data = Path(self.build_lib) / "host_tools" / "data"
            shutil.rmtree(data, ignore_errors=True)
            for name in ("boards", "models"):
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(name, data / name, ignore=ignored)


setup(cmdclass={"build_py": BuildWithData})
