"""Nothing that a file says is run, unless it is the code the file was made with, or the user names it."""

import json
import os
import sys
from pathlib import Path

import netCDF4
import pytest
import torch

from parampi.__main__ import main
from parampi.errors import ConfigError
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.model_loading import build_network
from parampi.run.trust import code_file, code_of, obstacle, require_trust
from parampi.run.user_files import sha256
from tests.small import write_project

EVIL = "from pathlib import Path\nPath({trace!r}).write_text('was run')\n"


@pytest.fixture
def drawn(tmp_path):
    """An ensemble file, and a trap: a file of Python that leaves a trace when it is run."""
    run(load(write_project(tmp_path, sampling__members=1)))
    (tmp_path / "evil.py").write_text(EVIL.format(trace=str(tmp_path / "trace")))
    return tmp_path / "out" / "ensemble.nc"


def crafted(path: Path, digests: dict[str, str] | None = None, **model: object) -> None:
    """Change what a file says of its network and plugins."""
    with netCDF4.Dataset(path, "a") as file:
        tree = json.loads(file.parampi_config)
        tree["model"] |= model
        file.parampi_config = json.dumps(tree)
        file.inputs_sha256 = json.dumps(json.loads(file.inputs_sha256) | (digests or {}))


def attempts(folder: Path) -> list[dict[str, object]]:
    evil = str(folder / "evil.py")
    return [{"network": f"{evil}:White"}, {"plugins": [evil]}, {"network": "evil:White"}, {"plugins": ["evil"]},
            {"network": "evil.inner:White"}]  # fmt: skip


@pytest.mark.parametrize("attempt", range(5))
def test_rerun_runs_no_code_that_the_file_alone_names(drawn, monkeypatch, capsys, attempt):
    monkeypatch.syspath_prepend(str(drawn.parents[1]))
    crafted(drawn, **attempts(drawn.parents[1])[attempt])
    assert main(["rerun", str(drawn), "--member", "0"]) == 2
    error = capsys.readouterr().err
    assert "asks to run model." in error and "evil" in error and "nothing was run" in error and "--trust" in error
    assert not (drawn.parents[1] / "trace").exists() and "evil" not in sys.modules


@pytest.mark.parametrize("by_name", [True, False], ids=["by name", "by path"])
@pytest.mark.parametrize("name", ["this", "torch.fx.graph_module"])
def test_no_installed_module_is_run_whatever_its_digest(drawn, capsys, name, by_name):
    """Some run something when they are imported, and a function of torch runs what its arguments say."""
    path = code_file(name)
    place = name if by_name else str(path)
    for model in ({"plugins": [place]}, {"network": f"{place}:reduce_graph_module"}):
        crafted(drawn, {"model.network": sha256(path), f"model.plugins: {place}": sha256(path)}, **model)
        assert main(["rerun", str(drawn), "--member", "0"]) == 2
        assert "nothing was run" in capsys.readouterr().err and "this" not in sys.modules
        crafted(drawn, plugins=[])


def test_a_digest_that_was_crafted_too_leads_to_a_class_or_nothing(drawn, capsys):
    """With --trust a function of Python's own is still refused for what it is, before it is called."""
    import subprocess

    trace = drawn.parents[1] / "trace"
    crafted(
        drawn,
        {"model.network": sha256(Path(subprocess.__file__))},
        network="subprocess:run",
        arguments={"args": f"touch {trace}", "shell": True},
    )
    assert main(["rerun", str(drawn), "--member", "0", "--trust"]) == 2
    assert "is a function that does not say what it returns, and is not called" in capsys.readouterr().err
    assert not trace.exists()


def test_what_it_was_drawn_with_is_run(drawn):
    assert main(["rerun", str(drawn), "--member", "0"]) == 0


def test_the_source_is_run_and_no_bytecode_of_another_one(tmp_path):
    """Python takes a cache for right whose source has the same size and time."""
    path = tmp_path / "source.py"
    for value in ("0.3", "0.9"):
        path.write_text(f"import torch\n\nclass Net(torch.nn.Module):\n    bend = {value}\n")
        os.utime(path, (1, 1))
        assert build_network(f"{path}:Net", {}).bend == float(value)


def test_a_file_without_digests_of_all_that_decides_is_refused(drawn, capsys):
    with netCDF4.Dataset(drawn, "a") as file:
        digests = json.loads(file.inputs_sha256)
        del digests["model.weights"]
        file.inputs_sha256 = json.dumps(digests)
    assert main(["rerun", str(drawn), "--member", "0"]) == 2
    assert "model.weights is not the file that the ensemble was drawn with (no SHA-256)" in capsys.readouterr().err


def test_the_users_own_word_is_enough(drawn, capsys):
    """An override, a configuration, or --trust."""
    folder = drawn.parents[1]
    moved = folder / "moved.py"
    (folder / "net.py").rename(moved)
    assert main(["rerun", str(drawn), "--member", "0"]) == 2
    assert "there is no such file" in capsys.readouterr().err
    assert main(["rerun", str(drawn), f"model.network={moved}:White", "--member", "0"]) == 0
    (folder / "own.yaml").write_text((folder / "run.yaml").read_text().replace("net.py", "moved.py"))
    assert main(["rerun", str(drawn), "--member", "0", "--config", str(folder / "own.yaml")]) == 0
    (folder / "net.py").write_text(moved.read_text() + "\n# changed\n")
    assert main(["rerun", str(drawn), "--member", "0"]) == 2
    assert "it has changed, or is another file" in capsys.readouterr().err
    assert main(["rerun", str(drawn), "--member", "0", "--trust"]) == 2
    assert "model.network is not the file that the ensemble was drawn with" in capsys.readouterr().err


def unfinished(tmp_path: Path) -> Path:
    config = write_project(tmp_path, checkpoint__every=0.0, checkpoint__max_walltime=0.001)
    assert main(["run", str(config)]) == 75
    return tmp_path / "out"


def test_resume_runs_no_code_that_the_checkpoint_alone_names(tmp_path, capsys):
    """Also where its digest was made anew by whoever changed it."""
    from parampi.run.checkpoint.folder import Folder

    out = unfinished(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL.format(trace=str(tmp_path / "trace")))
    folder = Folder.find(out)
    about = folder.about()
    about.config["model"]["plugins"] = [str(tmp_path / "evil.py")]
    folder.begin(about)
    assert main(["resume", str(out), "checkpoint.max_walltime=null"]) == 2
    assert "asks to run model.plugins" in capsys.readouterr().err and not (tmp_path / "trace").exists()


def test_resume_takes_a_configuration_of_the_users_own(tmp_path):
    out = unfinished(tmp_path)
    assert main(["resume", str(out), "--config", str(tmp_path / "run.yaml"), "checkpoint.max_walltime=null"]) == 0
    assert (out / "ensemble.nc").is_file()


KINDS = """
import torch

class Net(torch.nn.Module):
    pass

class Other:
    pass

made = Net()
number = 3

def plain():
    raise SystemError("called")

def typed() -> torch.nn.Module:
    return Net()

def named() -> "Net":
    return Net()

def wrong() -> int:
    raise SystemError("called")
"""


@pytest.mark.parametrize("name", ["Net", "typed", "named"])
def test_classes_and_functions_of_networks_are_taken(tmp_path, name):
    (tmp_path / "kinds.py").write_text(KINDS)
    assert isinstance(build_network(f"{tmp_path}/kinds.py:{name}", {}), torch.nn.Module)


REFUSED = {
    "kinds.py:torch": "is a module",
    "kinds.py:Other": "is the class Other, no torch.nn.Module",
    "kinds.py:made": "is a network that is made already",
    "kinds.py:number": "is a int",
    "kinds.py:plain": "is a function that does not say what it returns",
    "kinds.py:wrong": "is a function of <class 'int'>",
    "subprocess:run": "is a function that does not say what it returns",
    "os:system": "is a function that does not say what it returns",
    "builtins:exec": "is a function that does not say what it returns",
}


@pytest.mark.parametrize("reference", REFUSED)
def test_other_kinds_are_refused_before_they_are_called(tmp_path, reference):
    (tmp_path / "kinds.py").write_text(KINDS)
    place = f"{tmp_path}/{reference}" if ".py" in reference else reference
    with pytest.raises(ConfigError, match=r"and is not called; give a class of torch\.nn\.Module") as caught:
        build_network(place, {})
    assert REFUSED[reference] in str(caught.value)


def test_files_behind_modules_are_found_without_importing_them(tmp_path, monkeypatch):
    package = tmp_path / "untouched" / "inner"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("raise SystemError('imported')")
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert code_file("untouched.inner.net") == package / "net.py" and code_file("untouched") == package.parent / "__init__.py"
    assert code_file("json.decoder") is not None
    assert code_file("untouched.missing") is None and code_file("no_such_package.x") is None and code_file("sys") is None
    assert (
        code_file("this.innocent") is None
        and code_file(str(tmp_path / "none.py")) is None
        and code_file("") is None
        and code_file("a/b") is None
    )
    assert "untouched" not in sys.modules


def test_what_a_tree_names(tmp_path):
    tree = {"model": {"network": "a/net.py:Net", "plugins": ["b.py", "c.d"]}}
    assert code_of(tree) == {"model.network": "a/net.py", "model.plugins: b.py": "b.py", "model.plugins: c.d": "c.d"}
    assert code_of({}) == code_of({"model": None}) == code_of({"model": {"network": None, "plugins": None}}) == {}
    (tmp_path / "b.py").write_text("")
    digest = sha256(tmp_path / "b.py")
    code = {"model.plugins: b": str(tmp_path / "b.py")}
    require_trust(code, {"model.plugins: b": digest}, {}, tmp_path)
    require_trust(code, {}, {"another key": str(tmp_path / "b.py")}, tmp_path)
    with pytest.raises(ConfigError, match="no SHA-256 of it is stored"):
        require_trust(code, {}, {}, tmp_path)
    assert obstacle(str(tmp_path / "b.py"), "0") and not obstacle(str(tmp_path / "b.py"), digest)
