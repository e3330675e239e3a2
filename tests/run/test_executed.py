"""What a run executes, reads and writes, watched by audit events: the page docs/howto/trust.md is held to it."""

import hashlib
from pathlib import Path

import pytest
import torch

from parampi.__main__ import main
from tests.run.test_trust import EVIL
from tests.small import signalled_after, write_conditions, write_project
from tests.watched import code_below, started, watched


def call(capsys, code, *arguments):
    assert main([str(one) for one in arguments]) == code, capsys.readouterr().err


@pytest.fixture
def everything(tmp_path):
    """A project in `in` with a file of each kind, and traps beside them; its outputs go to `work`."""
    source = tmp_path / "in"
    source.mkdir()
    write_conditions(source / "c.nc", times=1)
    write_conditions(source / "static.nc", times=1)
    path = write_project(
        source,
        sampling__members=2,
        sampling__solver={"name": "spectral", "statistics": str(source / "prior.nc")},
        output__directory=str(tmp_path / "work"),
        output__mode="virtual",
        output__grid=str(source / "c.nc"),
        condition__files="c.nc",
        condition__variables=["vorticity"],
        condition__static="static.nc",
        condition__static_variables=["vorticity"],
        checkpoint__every=0.0,
    )
    (source / "prior.nc").write_bytes((source / "statistics.nc").read_bytes())
    evil = EVIL.format(trace=str(tmp_path / "trace"))
    for name in ("evil.py", "sitecustomize.py", "conftest.py", "statistics.py", "numpy.py"):
        (source / name).write_text(evil)
    return path


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_of_all_that_a_run_reads_only_the_network_is_executed(everything, tmp_path, capsys):
    """Run, resume, check, merge, rerun and stats, with a file of every kind: nothing else is executed, no program
    started, no pickle opened, no file written outside of the output's directory, and no input touched."""
    before, work = tree(tmp_path), tmp_path / "work"
    with watched() as events:
        with signalled_after(1):
            call(capsys, 75, "run", everything)
        call(capsys, 0, "resume", work)
        call(capsys, 0, "check", work / "ensemble.nc")
        call(capsys, 0, "rerun", work / "ensemble.nc", "--member", 0, "--case", 0)
        call(capsys, 0, "merge", work / "ensemble.nc", "--output", work / "whole.nc")
        call(capsys, 0, "stats", everything.parent / "c.nc", "--output", work / "s.nc")
    assert code_below(events, tmp_path) == {"in/net.py"}
    assert not started(events)
    after = tree(tmp_path)
    assert {name: digest for name, digest in after.items() if not name.startswith("work")} == before


def test_a_plugin_that_the_configuration_names_is_executed_too(tmp_path, capsys):
    """An empty one: the registries stay as they are."""
    (tmp_path / "plugin.py").write_text("registered = True\n")
    path = write_project(tmp_path, sampling__members=1)
    with watched() as events:
        call(capsys, 0, "run", path, f"model.plugins=[{tmp_path}/plugin.py]")
    assert code_below(events, tmp_path) == {"net.py", "plugin.py"}


class Planted:
    def __reduce__(self):
        return (Path.write_text, (Path("trace"), "was run"))


@pytest.mark.parametrize("key", ["model.weights", "data.statistics", "condition.files", "output.grid"])
def test_a_pickle_in_the_place_of_any_file_is_not_opened(tmp_path, monkeypatch, capsys, key):
    monkeypatch.chdir(tmp_path)
    path = write_project(tmp_path)
    torch.save({"weight": Planted()}, tmp_path / "planted")
    more = ["condition.variables=[vorticity]"] if key == "condition.files" else []
    with watched() as events:
        call(capsys, 2, "run", path, f"{key}={tmp_path / 'planted'}", *more)
    assert not (tmp_path / "trace").exists() and not started(events)


def test_tags_of_yaml_are_refused(tmp_path, capsys):
    path = write_project(tmp_path)
    for value in ("!!python/object/apply:os.mkdir [trace]", "!!python/name:os.system"):
        path.write_text(path.read_text() + f"checkpoint: {value}\n")
        assert main(["run", str(path)]) == 2 and "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("key", ["output.ensemble", "output.report", "output.figure"])
@pytest.mark.parametrize("name", ["net.py", "weights.safetensors", "statistics.nc", "cond.nc", "run.yaml"])
def test_an_output_never_replaces_a_file_that_the_run_reads(tmp_path, capsys, key, name):
    """Nor with --overwrite."""
    write_conditions(tmp_path / "cond.nc", times=1)
    path = write_project(tmp_path, condition__files="cond.nc", condition__variables=["vorticity"], sampling__members=1)
    before = tree(tmp_path)
    call(capsys, 2, "run", path, f"output.directory={tmp_path}", f"{key}={name}", "--overwrite")
    assert tree(tmp_path) == before and not list(tmp_path.glob(".parampi*"))
