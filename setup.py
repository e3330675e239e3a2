"""What pyproject.toml cannot say: a wheel has the examples, as parampi/examples; in a clone they are beside the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WRITTEN = ("output", "data", "scores", "scores.csv", "runinfo", ".snakemake", "__pycache__", ".ipynb_checkpoints")
LEFT_OUT = shutil.ignore_patterns(*WRITTEN, "turbulence.nc", "*.partial", "scaling*.png")


class WithExamples(build_py):
    """The package's files, and the examples without what their programs write."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "parampi", "examples")
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree("examples", target, ignore=LEFT_OUT)


setup(cmdclass={"build_py": WithExamples})
