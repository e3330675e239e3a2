"""All job scripts: valid shell, a reason for what is not obvious, and nothing that parampi does not know."""

import re
import subprocess

import pytest

from parampi.commands.main import VERBS
from tests.ranks.launch import ROOT

SCRIPTS = sorted((ROOT / "jobs").glob("*.sh"))
every_script = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
DIRECTIVES = ("#SBATCH", "#PBS", "#BSUB", "# flux:")


def test_there_is_one_for_every_system():
    assert {path.stem.split("-")[0] for path in SCRIPTS} == {"slurm", "pbs", "lsf", "flux"}
    assert (ROOT / "jobs" / "apptainer.def").is_file()


@every_script
def test_is_valid_shell(path):
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert "set -eu" in text and any(directive in text for directive in DIRECTIVES)


@every_script
def test_says_how_it_is_submitted_and_why_lines_are_there(path):
    lines = path.read_text().splitlines()
    name = f"jobs/{path.name}"
    assert any(name in line and line.startswith("#     ") for line in lines)
    for k, line in enumerate(lines):
        if line.startswith(("export ", "srun ", "mpiexec ", "flux run")):
            before = [one for one in lines[:k] if one.strip()][-2:]
            assert any(one.startswith("#") for one in before), f"{path.name}: {line} has no reason"


@every_script
def test_verbs_and_keys_are_known(path):
    text = path.read_text()
    for verb in re.findall(r"\bparampi (\w+)", re.sub(r"#.*", "", text)):
        assert verb in VERBS, verb
    for key in re.findall(r"\b((?:checkpoint|parallel|output|sampling)\.\w+)=", text):
        section, name = key.split(".")
        from parampi.run.config import RunConfig

        assert name in RunConfig.model_fields[section].annotation.model_fields, key


@every_script
def test_jobs_that_go_on_know_the_code_that_says_so(path):
    text = path.read_text()
    assert ("resume" in text) == ('"$code" = 75' in text)


def test_those_that_no_scheduler_has_run_say_so():
    for name in ("pbs", "lsf", "flux"):
        head = " ".join((ROOT / "jobs" / f"{name}.sh").read_text().split("\n#\n")[0].replace("#", " ").split())
        assert "Checked for syntax and against the documentation" in head
