"""The tutorial on global forecasts: all its commands, one after another in an empty folder, as a reader types them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import xarray

from tests.warm import warm_program

pytestmark = [pytest.mark.slow, pytest.mark.mpi]

ROOT = Path(__file__).parents[2]
SMALLER = {
    "--days 40": "--days 23 --spin-up 10",
    "steps: 20": "steps: 3",
    "members: 6": "members: 3",
    "lead_times: 4": "lead_times: 2",
}
"""What the page says, and what a test has time for; and a limit of time that is over before anything is drawn."""
SMALLER |= {"max_walltime=12": "max_walltime=0.5", "--figures figures": "--figures figures --replicates 50"}


def test_every_command_of_the_tutorial(tmp_path, tmp_path_factory):
    page = (ROOT / "docs" / "tutorial_global.md").read_text()
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    # the commands of the environment that the test runs in
    paths = [warm_program(tmp_path_factory.mktemp("warm") / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "MPLBACKEND": "agg",
        "PATH": os.pathsep.join(paths),
    }
    said = ""
    assert {long: page.count(long) for long in SMALLER} == dict.fromkeys(SMALLER, 1)
    for language, block in blocks:
        for long, short in SMALLER.items():
            block = block.replace(long, short)
        command = ["bash", "-euo", "pipefail", "-c", block] if language == "bash" else [sys.executable, "-c", block]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        said += done.stdout + done.stderr
    assert "left with code 75" in said and "no problem was found" in said
    assert page.split("```text\n")[1].split("\n```")[0] in said
    with xarray.open_dataset(tmp_path / "scores.nc", decode_timedelta=False) as scores:
        assert scores["u_crps"].shape == (2,) and scores["u_brier"].shape == (2, 1)
        assert "spherical harmonics" in scores.attrs["grid"]
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
