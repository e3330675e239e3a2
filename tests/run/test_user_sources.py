"""Files that a network or a plugin imports from its own folder: their digests are kept, and others are refused."""

import importlib
import json
import os
import sys
from pathlib import Path

import netCDF4
import pytest

import parampi.bench
import tests
from parampi.__main__ import main
from parampi.run import plugins
from parampi.run.checkpoint.folder import Folder
from parampi.run.user_sources import WATCHED, Watched, WatchingFinder, home_of, imported_sources, is_installed
from tests.small import NETWORK, signalled_after, write_project

NET = """
from side_helper import White as Base
from side_package.inner import BEND

class White(Base):
    def forward(self, *inputs):
        import side_late
        return super().forward(*inputs)
"""
SOURCES = {
    "side_helper.py": NETWORK,
    "side_package/__init__.py": "",
    "side_package/inner.py": "BEND = 0.3",
    "side_late.py": "",
    "side_unused.py": "",
}


@pytest.fixture(autouse=True)
def fresh_process():
    """Nothing of another test is imported."""
    before = set(sys.modules)
    yield
    forget(before)


def forget(before=()):
    WATCHED.clear()
    plugins.imported.clear()
    plugins.digests.clear()
    for name in set(sys.modules) - set(before):
        if name.startswith(("side_", "parampi_user_")):
            del sys.modules[name]


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "side_package").mkdir()
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text)
    path = write_project(tmp_path, checkpoint__every=0.0, parallel__batch=1)
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.syspath_prepend(str(tmp_path))  # a module that is imported late is found where it would be by itself
    return path


def digests_of(path):
    with netCDF4.Dataset(path) as file:
        return json.loads(file.inputs_sha256)


def test_what_was_imported_is_recorded(project, tmp_path):
    assert main(["run", str(project)]) == 0
    digests = digests_of(tmp_path / "out" / "ensemble.nc")
    used = {name for name in digests if name.startswith("model.network: ")}
    assert used == {f"model.network: {name}" for name in SOURCES if name != "side_unused.py"}
    forget()
    assert main(["rerun", str(tmp_path / "out" / "ensemble.nc"), "--member", "0"]) == 0
    assert main(["rerun", str(tmp_path / "out" / "ensemble.nc"), "--member", "0"]) == 0


CHANGES = ["side_helper.py", "side_package/__init__.py", "side_package/inner.py", "side_late.py"]


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("change", ["changed", "gone"])
@pytest.mark.parametrize("trust", [(), ("--trust",)], ids=["", "trusted"])
def test_another_source_is_refused(project, tmp_path, capsys, name, change, trust):
    with signalled_after(10):
        assert main(["run", str(project)]) == 75
    ensemble, traces = tmp_path / "out" / "ensemble.nc", tmp_path / "trace"
    forget()
    if change == "gone":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(f"open({str(traces)!r}, 'w')\n{SOURCES[name]}")
    capsys.readouterr()
    for command in (["resume", str(tmp_path / "out")], ["rerun", str(ensemble), "--member", "0"]):
        assert main([*command, *trust]) == 2
        error = capsys.readouterr().err
        assert f"model.network: {name}" in error and error.count("\n") == 1
        assert not traces.exists(), "it was run before it was compared"


def test_a_source_that_is_new_is_refused(project, tmp_path, capsys):
    """Nothing that is recorded has changed: a module of another folder comes into the network's own."""
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (tmp_path / "side_late.py").rename(elsewhere / "side_late.py")
    sys.path.append(str(elsewhere))
    try:
        with signalled_after(10):
            assert main(["run", str(project)]) == 75
        forget()
        (tmp_path / "side_late.py").write_text("")
        capsys.readouterr()
        assert main(["resume", str(tmp_path / "out")]) == 2
        assert "model.network: side_late.py is not the file that the checkpoint in" in capsys.readouterr().err
        forget()
        assert main(["rerun", str(tmp_path / "out" / "ensemble.nc"), "--member", "0"]) == 2
        told = capsys.readouterr().err
        assert "model.network: side_late.py is not a file that the ensemble was drawn with (no SHA-256); bring back" in told
    finally:
        sys.path.remove(str(elsewhere))


def test_a_second_run_of_one_process_reads_sources_anew(project, tmp_path):
    assert main(["run", str(project)]) == 0
    before = digests_of(tmp_path / "out" / "ensemble.nc")
    (tmp_path / "side_package" / "inner.py").write_text("BEND = 0.9")
    os.utime(tmp_path / "side_package" / "inner.py", (1, 1))
    assert main(["run", str(project), "--overwrite"]) == 0
    after = digests_of(tmp_path / "out" / "ensemble.nc")
    assert {name for name in before if before[name] != after[name]} == {"model.network: side_package/inner.py"}
    assert sys.modules["side_package.inner"].BEND == 0.9


def test_a_plugin_and_what_it_imports(project, tmp_path, capsys):
    (tmp_path / "plugin.py").write_text("import side_unused")
    with signalled_after(10):
        assert main(["run", str(project), f"model.plugins=[{tmp_path / 'plugin.py'}]"]) == 75
    key = f"model.plugins: {tmp_path / 'plugin.py'}: side_unused.py"
    assert key in Folder.find(tmp_path / "out").about().inputs
    forget()
    (tmp_path / "side_unused.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')")
    assert main(["resume", str(tmp_path / "out")]) == 2
    assert (
        f"{key} (it is not the file whose SHA-256 is stored)" in capsys.readouterr().err and not (tmp_path / "trace").exists()
    )


def test_a_network_in_a_package(project, tmp_path):
    (tmp_path / "side_package" / "net.py").write_text("from side_package import inner\nfrom side_helper import White\n")
    assert main(["run", str(project), "model.network=side_package.net:White"]) == 0
    digests = digests_of(tmp_path / "out" / "ensemble.nc")
    assert {name for name in digests if name.startswith("model.network")} == {
        "model.network", "model.network: __init__.py", "model.network: inner.py",
    }  # fmt: skip
    own = ["model.network=side_package.net:White"]
    assert main(["rerun", str(tmp_path / "out" / "ensemble.nc"), *own, "--member", "0"]) == 0
    forget()
    assert main(["rerun", str(tmp_path / "out" / "ensemble.nc"), *own, "--member", "0"]) == 0


def test_names_that_lead_out_of_the_folder_are_no_sources(project, tmp_path, capsys):
    assert main(["run", str(project)]) == 0
    path = tmp_path / "out" / "ensemble.nc"
    for name in ("../weights.safetensors", "/etc/hostname", "a\0b"):
        with netCDF4.Dataset(path, "a") as file:
            file.inputs_sha256 = json.dumps(json.loads(file.inputs_sha256) | {f"model.network: {name}": "0" * 64})
        assert main(["rerun", str(path), "--member", "0"]) == 2
        assert "it is not the file whose SHA-256 is stored" in capsys.readouterr().err


def test_what_is_installed_is_not_watched(tmp_path):
    assert home_of("torch.nn") is None and home_of("parampi.diffusion") is None and home_of("no_such_thing") is None
    assert home_of("yaml.loader").name == "yaml" and home_of(str(tmp_path / "net.py")) == tmp_path.resolve()
    assert home_of("this") is None and is_installed(home_of("yaml")) and imported_sources("no_such_thing") == {}


def test_what_an_earlier_run_of_the_process_imported_is_not_compared(project, tmp_path):
    """Another run had another source; the run that goes on has the one it began with."""
    with signalled_after(10):
        assert main(["run", str(project)]) == 75
    (tmp_path / "side_package" / "inner.py").write_text("BEND = 0.9")
    assert main(["run", str(project), f"output.directory={tmp_path / 'other'}"]) == 0
    (tmp_path / "side_package" / "inner.py").write_text(SOURCES["side_package/inner.py"])
    assert main(["resume", str(tmp_path / "out")]) == 0
    assert main(["rerun", str(tmp_path / "out" / "ensemble.nc"), "--member", "0"]) == 0


def test_parampi_beside_the_network_is_not_watched(tmp_path):
    """A clone is often the folder that one works in."""
    finder = WatchingFinder()
    WATCHED["net.py"] = Watched(Path(parampi.__file__).resolve().parents[1], replaced=True)
    assert finder.find_spec("parampi.bench.table", parampi.bench.__path__) is None
    assert finder.find_spec("tests.crew", tests.__path__).loader.watched is WATCHED["net.py"]
    sys.modules.pop("parampi.bench.table", None)
    importlib.import_module("parampi.bench.table")
    assert not [name for name in imported_sources("net.py") if name.startswith("parampi/")]
