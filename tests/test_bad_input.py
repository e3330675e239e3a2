"""Every mistake of tests/bad_input.py is met by one exact message, without a traceback, and leaves nothing half done."""

import h5py
import netCDF4
import pytest
import torch
import yaml

from parampi.__main__ import main
from parampi.commands.main import USER_ERROR
from tests.bad_input import HELD, MISTAKES, prepare
from tests.ranks.launch import ROOT

MESSAGES = yaml.safe_load((ROOT / "tests" / "messages.yaml").read_text())


def test_there_are_enough():
    assert len(MISTAKES) >= 60 and list(MESSAGES) == list(MISTAKES)


@pytest.fixture
def unlocked():
    yield
    while HELD:
        HELD.pop().release()


def finished(folder):
    """Members in the ensemble files of a folder."""
    found = {}
    for path in sorted(folder.rglob("ensemble.nc")):
        if path.is_file():
            with netCDF4.Dataset(path) as file:
                found[path] = int(file["complete"][:].sum())
    return found


@pytest.mark.usefixtures("unlocked")
@pytest.mark.parametrize("name", MISTAKES)
def test_the_message(tmp_path, name, capsys):
    if (name == "a device that is not there" and torch.cuda.is_available()) or (
        name == "one process writing in parallel" and h5py.get_config().mpi
    ):
        pytest.skip("this is no mistake here")
    command = prepare(tmp_path, MISTAKES[name])
    before = finished(tmp_path)
    capsys.readouterr()
    code = main(command)
    told = capsys.readouterr().err.replace(str(tmp_path), "FOLDER")
    assert told == f"parampi: {MESSAGES[name]}\n"
    assert code == USER_ERROR and finished(tmp_path) == before
    assert not list(tmp_path.rglob(".*.parampi-partial"))
