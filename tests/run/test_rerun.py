"""`parampi rerun`: a member drawn again from the file's own attributes."""

import json
import math
import subprocess
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from parampi.__main__ import main
from parampi.errors import ConfigError, DataError, InterruptionError
from parampi.run import rerun as rerun_module
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.rerun import rerun
from tests.small import parampi_command, write_conditions, write_project

pytestmark = pytest.mark.slow


@pytest.fixture
def ensemble(tmp_path):
    run(load(write_project(tmp_path, parallel__mode="bitwise", parallel__network_batch=4)))
    return tmp_path / "out" / "ensemble.nc"


def test_a_member_is_the_same_to_the_last_bit(ensemble):
    found = rerun(ensemble, 2)
    assert found.differences == {"vorticity": 0.0} and found.same
    assert found.table() == "member 2: vorticity is identical to the last bit"


def test_from_the_command_line(ensemble):
    done = subprocess.run(parampi_command("rerun", ensemble, "--member", 3), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "member 3: vorticity is identical" in done.stdout, done.stderr


def test_a_sampler_whose_options_are_infinite_runs_is_reported_and_is_drawn_again(tmp_path, capsys):
    path = write_project(tmp_path)
    assert main(["run", str(path), "sampling.sampler.name=edm"]) == 0, capsys.readouterr().err
    texts = [(tmp_path / "out" / "report.json").read_text()]
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        texts.append(file.parampi_config)
    for text in texts:
        tree = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        assert tree.get("config", tree)["sampling"]["sampler"]["s_tmax"] == math.inf
    assert main(["rerun", str(tmp_path / "out" / "ensemble.nc"), "--member", "1"]) == 0, capsys.readouterr().err


def test_a_run_whose_options_are_infinite_goes_on_where_it_was_cut(tmp_path, capsys):
    path = write_project(tmp_path, sampling__sampler={"name": "euler"})
    with pytest.raises(InterruptionError):
        run(load(path, ["checkpoint.max_walltime=0.001", "checkpoint.every=0"]))
    assert "Infinity" not in (tmp_path / "out" / ".parampi-ensemble.nc" / "run.json").read_text()
    assert main(["resume", str(tmp_path / "out"), "checkpoint.max_walltime=null"]) == 0, capsys.readouterr().err


def test_a_fast_run_is_the_same_to_the_tolerance(tmp_path):
    run(load(write_project(tmp_path)))
    found = rerun(tmp_path / "out" / "ensemble.nc", 1)
    assert found.same and found.differences["vorticity"] < 1e-5


def test_some_variables_or_what_the_file_has(tmp_path, ensemble):
    assert rerun(ensemble, 1, variables=["vorticity"]).same
    with pytest.raises(DataError, match=r"has no fields of members of q; it has vorticity"):
        rerun(ensemble, 1, variables=["q"])
    run(load(tmp_path / "run.yaml", ["output.members=false", "output.summary=[mean]"]), overwrite=True)
    with pytest.raises(DataError, match=r"has no fields of members; it has statistics over members alone"):
        rerun(ensemble, 1)


def test_a_rounded_field_is_the_same(tmp_path, ensemble):
    run(load(tmp_path / "run.yaml", ["output.compression=3", "output.digits=3"]), overwrite=True)
    found = rerun(ensemble, 1)
    assert found.same and 0 < found.differences["vorticity"] < 1e-2
    scale(tmp_path / "out" / "ensemble.nc", 1.03)
    with pytest.raises(DataError, match="have the same bits before they are rounded to 3 digits"):
        rerun(ensemble, 1)


def test_a_changed_field_is_found_out(ensemble):
    with netCDF4.Dataset(ensemble, "a") as file:
        file["vorticity"][1, 0, 0] += 1.0
    with pytest.raises(
        DataError, match=r"does not hold what is drawn again: member 1: vorticity is different by .*or changed\?"
    ):
        rerun(ensemble, 1)
    assert rerun(ensemble, 0).same


def spoil(ensemble: Path, what: str) -> None:
    with netCDF4.Dataset(ensemble, "a") as file:
        if what == "config":
            file.delncattr("parampi_config")
        else:
            file["complete"][1] = 0
            file["vorticity"][1] = np.nan


@pytest.mark.parametrize(
    ("what", "member", "told"),
    [
        (None, 9, "has no member 9; it has 0, 1, 2, 3"),
        ("complete", 1, "member 1 of .* was not finished; there is nothing to compare with"),
        ("config", 1, "does not say how it was made"),
    ],
)
def test_what_cannot_be_compared(ensemble, what, member, told):
    if what:
        spoil(ensemble, what)
    with pytest.raises(DataError, match=told):
        rerun(ensemble, member)


def scale(ensemble: Path, factor: float) -> None:
    with netCDF4.Dataset(ensemble, "a") as file:
        file["vorticity"][1] *= factor


@pytest.mark.parametrize("factor", [1 + 2e-4, 1 + 1e-6])
def test_bitwise_means_bits(ensemble, factor):
    scale(ensemble, factor)
    with pytest.raises(
        DataError, match=r"different by .*, but two runs in bitwise mode have the same bits, on one kind of mach"
    ):
        rerun(ensemble, 1)


def test_fast_means_the_tolerance(tmp_path):
    run(load(write_project(tmp_path)))
    scale(tmp_path / "out" / "ensemble.nc", 1 + 1e-4)
    assert rerun(tmp_path / "out" / "ensemble.nc", 1).same
    scale(tmp_path / "out" / "ensemble.nc", 1 + 3e-4)
    with pytest.raises(DataError, match=r"two runs to a tolerance of 0.0001 differ by at most twice that;"):
        rerun(tmp_path / "out" / "ensemble.nc", 1)


def test_a_case_where_there_are_none(ensemble):
    with pytest.raises(DataError, match="has no cases, as it was drawn without conditions; leave --case 3 out"):
        rerun(ensemble, 1, 3)


def other_weights(folder):
    save_file({"weight": torch.ones(2)}, folder / "weights.safetensors")


def other_statistics(folder):
    with netCDF4.Dataset(folder / "statistics.nc", "a") as file:
        file["mean"][:] += 1e-9


def other_network(folder):
    with (folder / "net.py").open("a") as file:
        file.write("# changed\n")


def other_prior(folder):
    with netCDF4.Dataset(folder / "prior.nc", "a") as file:
        file["mean"][:] += 1e-9


def other_static(folder):
    write_conditions(folder / "static.nc", times=2)


INPUTS = {
    "model.weights": other_weights, "data.statistics": other_statistics, "model.network": other_network,
    "sampling.solver.statistics": other_prior, "condition.static": other_static,
}  # fmt: skip


@pytest.fixture
def with_all_inputs(tmp_path):
    write_conditions(tmp_path / "c.nc", times=1)
    write_conditions(tmp_path / "static.nc", times=1)
    path = write_project(
        tmp_path,
        sampling__solver={"name": "spectral", "statistics": str(tmp_path / "prior.nc")},
        condition__files="c.nc",
        condition__variables=["vorticity"],
        condition__static="static.nc",
        condition__static_variables=["vorticity"],
    )
    (tmp_path / "prior.nc").write_bytes((tmp_path / "statistics.nc").read_bytes())
    return path


@pytest.mark.parametrize("key", INPUTS)
def test_other_inputs_are_refused(with_all_inputs, key):
    folder = with_all_inputs.parent
    run(load(with_all_inputs))
    INPUTS[key](folder)
    with pytest.raises(ConfigError, match=rf"{key} is not the file that the ensemble was drawn with \(its SHA-256 is"):
        rerun(folder / "out" / "ensemble.nc", 1, 0, trust=True)


def test_no_ensemble(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        rerun(tmp_path / "none.nc", 0)
    (tmp_path / "text.nc").write_text("no file of fields")
    with pytest.raises(DataError, match="cannot be read as NetCDF"):
        rerun(tmp_path / "text.nc", 0)


def test_a_member_is_drawn_again_with_as_many_threads(tmp_path, monkeypatch, capsys):
    """The last bits depend on how many there are."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        run(load(write_project(tmp_path)))
        path = tmp_path / "out" / "ensemble.nc"
        torch.set_num_threads(1)
        threads, drawn = [], rerun_module.draw_member

        def noted(*arguments, **options):
            threads.append(torch.get_num_threads())
            return drawn(*arguments, **options)

        monkeypatch.setattr(rerun_module, "draw_member", noted)
        assert rerun(path, 1).same and threads == [2] and torch.get_num_threads() == 1
        assert capsys.readouterr().err == ""
        with netCDF4.Dataset(path, "a") as file:
            file.threads_per_rank = 100_000
        assert rerun(path, 1).same and threads == [2, 1]
        assert (
            "was drawn with 100000 threads per rank, and the member is drawn with 1: the last bits" in capsys.readouterr().err
        )
        with netCDF4.Dataset(path, "a") as file:
            file.delncattr("threads_per_rank")
        assert rerun(path, 1).same and threads == [2, 1, 1]
        assert "does not say with how many threads it was drawn" in capsys.readouterr().err
    finally:
        torch.set_num_threads(before)
