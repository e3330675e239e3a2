"""Modules beside a user's file: they can be imported by it, and hide nothing that is installed."""

import subprocess
import sys

import pytest

import parampi
from parampi.__main__ import main
from parampi.errors import ConfigError
from parampi.run.user_files import import_file
from tests.small import NETWORK, write_project


@pytest.fixture(autouse=True)
def modules_are_forgotten():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("beside_", "parampi_user_")):
            del sys.modules[name]


def test_a_module_and_a_package_beside_the_network(tmp_path, capsys):
    path = write_project(tmp_path)
    (tmp_path / "beside_net.py").write_text(NETWORK)
    (tmp_path / "beside_package").mkdir()
    (tmp_path / "beside_package" / "__init__.py").write_text("BEND = 0.3")
    (tmp_path / "net.py").write_text("from beside_net import White\nfrom beside_package import BEND\n")
    before = list(sys.path)
    assert main(["run", str(path)]) == 0, capsys.readouterr().err
    assert sys.path == before


def test_what_is_installed_is_not_hidden(tmp_path):
    for name in ("parampi", "wave", "yaml"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('hidden')")
    (tmp_path / "parampi" / "parampi").mkdir()
    (tmp_path / "file.py").write_text("import wave, yaml, parampi, parampi.bench.table\nfrom parampi import sample\n")
    module = import_file(tmp_path / "file.py", "model.network")
    assert module.parampi is parampi and module.sample is parampi.sample


def test_a_file_that_fails_leaves_the_path_as_it_was(tmp_path):
    (tmp_path / "file.py").write_text("import beside_nothing")
    before = list(sys.path)
    with pytest.raises(ConfigError, match="No module named 'beside_nothing'"):
        import_file(tmp_path / "file.py", "model.network")
    assert sys.path == before


def test_a_folder_named_parampi_does_not_hide_the_package(tmp_path):
    """Python started in the folder that holds a clone."""
    (tmp_path / "parampi").mkdir()
    told = subprocess.run(
        [sys.executable, "-c", "import parampi; print(parampi.sample)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 0, told.stderr
