"""What a wheel holds of `data/`; everything else about the package is in pyproject.toml.

An installed package finds these files inside itself (`store.data_path`), one that lies in the
project finds them beside itself.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RUNS = ["blimp-8M", "grammar"]  # that a report compares with: `beside.REFERENCES`
TABLES = ["manifest.json", "accuracy.csv", "gradient*.csv.xz", "tasks.csv*"]
NEEDED = ["README.md", "scales.yml", "grammar/*", "hypotheses/*", "profiles/*", "published/*"]
NEEDED += ["reference/README.md", *(f"reference/{run}/{table}" for run in RUNS for table in TABLES)]


class WithData(build_py):
    """Puts the needed part of `data/` into the package."""

    def run(self) -> None:
        if not self.editable_mode:  # an earlier build leaves its modules here, gone ones too
            shutil.rmtree(Path(self.build_lib, "taskspace_utils"), ignore_errors=True)
        super().run()
        if self.editable_mode:
            return
        for pattern in NEEDED:
            for path in Path("data").glob(pattern):
                target = Path(self.build_lib, "taskspace_utils", path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


setup(cmdclass={"build_py": WithData})
