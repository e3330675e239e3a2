"""What comes after the sampling takes no finished ensemble back: report, figure, and a reader of the output who has gone."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import netCDF4
import numpy as np
import pytest

from parampi.__main__ import main
from parampi.commands.main import AFTERWARDS
from parampi.errors import InterruptionError
from parampi.fields import DatasetStatistics
from parampi.run.checkpoint.ownership import folder_name
from parampi.run.config import load
from parampi.run.job import run
from parampi.verify import figures
from tests.ranks.launch import ROOT
from tests.small import parampi_command, signalled_after, write_project

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def is_complete(folder):
    with netCDF4.Dataset(folder / "out" / "ensemble.nc") as file:
        return file.parampi_complete == 1 and not (folder / "out" / folder_name("ensemble.nc")).exists()


@pytest.mark.parametrize("error", [ValueError("no such\ncolour"), OSError(28, "No space left on device")], ids=str)
def test_a_figure_that_fails_leaves_a_complete_ensemble_and_a_code_of_its_own(tmp_path, monkeypatch, capsys, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(figures, "report_figure", fail)
    path = write_project(tmp_path, output__figure="report.png")
    assert main(["run", str(path)]) == AFTERWARDS == 4
    written, said = capsys.readouterr()
    assert is_complete(tmp_path) and "report.png" not in written.splitlines()[-1] and "report.json" in written
    (line,) = said.splitlines()
    assert line.startswith(f"parampi: {tmp_path}/out/ensemble.nc is complete, but its figure {tmp_path}/out/report.png")
    assert line.endswith((str(error).replace("\n", " "), "No space left on device"))


def test_a_report_that_fails_stops_neither_the_figure_nor_the_ensemble(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("parampi.run.artifacts.to_json", lambda *_, **__: 1 / 0)
    path = write_project(tmp_path, output__figure="report.png")
    assert main(["run", str(path)]) == AFTERWARDS
    assert is_complete(tmp_path) and (tmp_path / "out" / "report.png").is_file()
    assert "ensemble.nc is complete, but its report" in capsys.readouterr().err


def test_statistics_without_samples_have_no_figure_which_is_said_before(tmp_path, capsys):
    path = write_project(tmp_path, output__figure="report.png")
    statistics = DatasetStatistics.from_file(tmp_path / "statistics.nc")
    replace(statistics, reference=np.zeros((0, *statistics.shape), np.float32)).save(tmp_path / "statistics.nc")
    assert main(["run", str(path)]) == 0, capsys.readouterr().err
    assert "no figure: the statistics hold no sample" in capsys.readouterr().out and is_complete(tmp_path)


def test_the_report_of_a_run_that_was_resumed_and_stopped_again_has_all_members(tmp_path):
    path = write_project(tmp_path, parallel__batch=1, checkpoint__every=0, sampling__members=8)
    finished = 0
    for resume in (False, True):
        with signalled_after(10), pytest.raises(InterruptionError):
            run(load(path), resume=resume)
        report = json.loads((tmp_path / "out" / "report.json").read_text())
        with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
            complete = np.flatnonzero(file["complete"][:]).tolist()
        assert [member["member"] for member in report["members"]] == complete
        assert report["evaluations"] == sum(member["evaluations"] for member in report["members"])
        assert report["probe_evaluations"] == 9 and len(complete) > finished
        finished = len(complete)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["module://nonsense", "nonsense"])
def test_figures_take_no_backend_from_the_environment(tmp_path, backend):
    path = write_project(tmp_path, output__figure="report.png")
    command = parampi_command("run", path)  # a process that has not loaded matplotlib
    environment = {**ENVIRONMENT, "MPLBACKEND": backend}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and (tmp_path / "out" / "report.png").is_file(), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("info",), ("--help",), ("run", "run.yaml")], ids=str)
def test_a_pipe_that_closes_is_no_error(tmp_path, arguments):
    write_project(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "parampi", *arguments],
            env=ENVIRONMENT, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert arguments[0] != "run" or is_complete(tmp_path)
