"""`parampi run` in one process: the files it writes, and what it keeps and says when something is wrong."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
import xarray
from safetensors.torch import save_file

import parampi
from parampi import ConfigError, DataError, NonFiniteError, OutputError
from parampi.__main__ import main
from parampi.commands.main import NETWORK_ERROR, USER_ERROR
from parampi.fields import STORES, MemoryStore, StoreTarget
from parampi.report import MemberReport, Report
from parampi.run import model_loading
from parampi.run.config import load
from parampi.run.inputs import read_inputs
from parampi.run.job import run
from parampi.run.sampling import MemberWriter
from parampi.run.user_files import sha256
from tests.small import write_conditions, write_project


def call(*arguments: object) -> int:
    code = main([str(a) for a in arguments])
    assert isinstance(code, int)
    return code


def test_the_ensemble_file_holds_the_fields_of_sample_in_physical_units(tmp_path: Path) -> None:
    config = load(write_project(tmp_path))
    run(config)
    inputs = read_inputs(config)
    network = model_loading.build_network(config.model.network, {})
    again = parampi.sample(
        parampi.denoisers.EDMDenoiser(network, sigma_data=1.0),
        (1, 8, 8),
        4,
        inputs.sigmas,
        inputs.sampler,
        inputs.solver,
        tol=1e-4,
        seed=3,
    )
    statistics = parampi_statistics(tmp_path)
    assert again.fields is not None
    with xarray.open_dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert file["vorticity"].dims == ("member", "y", "x")
        expected = again.fields.numpy() * statistics.standard_deviation[0] + statistics.mean[0]
        np.testing.assert_allclose(file["vorticity"].values, expected[:, 0], rtol=1e-5, atol=1e-5)
        assert file["realization"].values.tolist() == [0, 1, 2, 3]
        assert file["seed"].values.tolist() == [3] * 4
        assert file["rounds"].values.tolist() == [m.rounds for m in again.report.members]
        assert file["evaluations"].values.tolist() == [m.evaluations for m in again.report.members]
        assert json.loads(file.attrs["parampi_config"]) == config.as_dict()
        files = {"model.weights": "weights.safetensors", "model.network": "net.py", "data.statistics": "statistics.nc"}
        assert json.loads(file.attrs["inputs_sha256"]) == {key: sha256(tmp_path / name) for key, name in files.items()}
        assert file.attrs["rank_layout"].startswith("1 rank = 1 group")


def parampi_statistics(folder: Path) -> Any:
    from parampi.fields import DatasetStatistics

    return DatasetStatistics.from_file(folder / "statistics.nc")


def test_the_report_tells_rounds_evaluations_residuals_and_seconds(tmp_path: Path) -> None:
    run(load(write_project(tmp_path)))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["serial_rounds"] == 12 and report["serial_evaluations"] == 48
    assert 1 < report["rounds"] <= 12
    assert report["evaluations"] == sum(m["evaluations"] for m in report["members"])
    assert all(m["error"] <= 1e-4 and m["outcome"] == "converged" for m in report["members"])
    assert set(report["seconds"][0]) == {"network", "communication", "output", "total"}
    history = report["residuals"]["0"]
    assert [r["round"] for r in history] == list(range(1, len(history) + 1))
    assert history[0]["first"] == 0 and len(history[0]["changes"]) == 12


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    run(load(write_project(tmp_path, output__figure="report.png")))
    assert (tmp_path / "out" / "report.png").read_bytes().startswith(b"\x89PNG")


class ArrayStore(MemoryStore):
    """A store of a format of its own."""

    path: Path

    @classmethod
    def open(cls, target: StoreTarget, rank: int, comm: Any) -> Self:
        store = super().open(target, rank, comm)
        store.path = target.path
        return store

    def finish(self, complete: bool) -> None:
        self.path.write_bytes(b"".join(field.tobytes() for field in self.fields.values()))


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["output.members=false", "output.summary=[mean]"], "output.members = false leaves members out of the file"),
        (
            ["output.mode=arrays", "output.ensemble=ensemble.npz"],
            "output.mode = arrays writes no NetCDF file of parampi's schema",
        ),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_said_before_sampling_and_not_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, overrides: list[str], reason: str
) -> None:
    monkeypatch.setitem(STORES, "arrays", ArrayStore)
    run(load(write_project(tmp_path, output__figure="report.png"), overrides))
    before, _, after = capsys.readouterr().out.partition("members, round 1,")
    assert f"no figure: {reason}\n" in before
    assert f"no {tmp_path / 'out' / 'report.png'}: {reason}\n" in after
    (written,) = [line.removeprefix("wrote ").split(", ") for line in after.splitlines() if line.startswith("wrote ")]
    files = sorted(str(path) for path in (tmp_path / "out").iterdir() if path.is_file())
    assert sorted([*written, str(tmp_path / "out" / "run.log")]) == files


def test_the_figure_of_all_variables_by_name_is_drawn(tmp_path: Path) -> None:
    run(load(write_project(tmp_path, output__figure="report.png"), ["output.variables=[vorticity]"]))
    assert (tmp_path / "out" / "report.png").is_file()


@pytest.mark.parametrize("finished", [0, 1, 4])
def test_the_report_after_going_on_counts_every_member_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], finished: int
) -> None:
    """Cut when some members are finished, all of them included, it says what a run says that was not cut."""
    changes = {"parallel__batch": 1, "checkpoint__every": 0.0, "parallel__mode": "bitwise"}
    whole = run(load(write_project(tmp_path, **changes, output__directory="whole"))).report
    kept = list[int]()
    keep = MemberWriter.keep

    def keep_some(self: MemberWriter, state: torch.Tensor, member: Any) -> None:
        if len(kept) == finished:
            raise OutputError("the disk is full")
        keep(self, state, member)
        kept.append(member.member)

    monkeypatch.setattr(MemberWriter, "keep", keep_some)
    path = write_project(tmp_path, **changes, output__figure="report.png")
    if finished < 4:
        with pytest.raises(OutputError):
            run(load(path))
    else:
        monkeypatch.setattr("parampi.run.job.finish", cut)
        with pytest.raises(KeyboardInterrupt):
            run(load(path))
    monkeypatch.undo()
    capsys.readouterr()
    assert call("resume", tmp_path / "out") == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["serial_evaluations"] == whole.serial_evaluations == 48
    assert report["evaluations"] == whole.evaluations and report["redundancy"] == whole.redundancy
    assert [m["rounds"] for m in report["members"]] == [m.rounds for m in whole.members]
    assert report["serial_rounds"] == 12 * max(4 - finished, 1) and report["rounds"] >= max(m.rounds for m in whole.members)
    drawn = "report.png" in capsys.readouterr().out.partition("wrote ")[2].splitlines()[0]
    assert drawn == (tmp_path / "out" / "report.png").is_file() == (finished < 4)


def cut(*_: Any) -> str:
    raise KeyboardInterrupt


def test_a_report_of_lead_times_that_were_finished_before() -> None:
    def members(lead: int, rounds: int) -> list[MemberReport]:
        return [MemberReport(k, rounds, 20, 0.0, 0.0, "converged", lead) for k in range(2)]

    report = Report(10, 1e-3, serial_rounds=10, serial_evaluations=10, rounds=5, members=members(1, 5)[1:])
    report.add_earlier([*members(0, 4), *members(1, 6)[:1]], serial=10)
    assert (report.rounds, report.serial_rounds, report.evaluations, report.serial_evaluations) == (10, 20, 80, 40)


def test_the_start_says_what_is_about_to_happen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(load(write_project(tmp_path)))
    said = capsys.readouterr().out
    for words in (
        "1 rank = 1 group of 1 along time; 4 members",
        "12 points",
        "window 12",
        "cpu",
        "pays only if",
        "of 4 members, round 1",
    ):
        assert words in said
    assert "fewer" in said and "wrote" in said


def test_an_existing_output_is_refused_unless_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_project(tmp_path)
    assert call("run", path) == 0
    before = (tmp_path / "out" / "ensemble.nc").read_bytes()
    assert call("run", path) == USER_ERROR
    assert "ensemble.nc exists" in capsys.readouterr().err
    assert (tmp_path / "out" / "ensemble.nc").read_bytes() == before
    assert call("run", path, "--overwrite", "sampling.members=2") == 0
    with xarray.open_dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert file.sizes["member"] == 2


def test_an_unwritable_output_is_refused_before_sampling(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot be written"):
        run(load(write_project(tmp_path)))


def test_nan_keeps_the_members_finished_before_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # the network fails at low noise levels in the second batch only: it is spoilt when the first member is written
    networks = []
    build, keep = model_loading.build_network, MemberWriter.keep
    monkeypatch.setattr(model_loading, "build_network", lambda *told: networks.append(build(*told)) or networks[-1])

    def keep_and_spoil(self: MemberWriter, state: torch.Tensor, member: Any) -> None:
        keep(self, state, member)
        networks[0].bad = -0.4

    monkeypatch.setattr(MemberWriter, "keep", keep_and_spoil)
    with pytest.raises(NonFiniteError) as failure:
        run(load(write_project(tmp_path, parallel__batch=1, model__arguments={"bad": -1e9})))
    assert failure.value.member == 1 and failure.value.point > 0
    assert f"member 1 at point {failure.value.point} (sigma = " in str(failure.value)
    assert "kept 1 finished member in" in capsys.readouterr().out
    with xarray.open_dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert file.attrs["parampi_complete"] == 0
        assert np.isfinite(file["vorticity"].values[0]).all() and np.isnan(file["vorticity"].values[1:]).all()
        assert file["complete"].values.tolist() == [1, 0, 0, 0]


def test_nan_from_the_start_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_project(tmp_path, model__arguments={"bad": 1e9}, model__probe=False)
    assert call("run", path) == NETWORK_ERROR
    error = capsys.readouterr().err
    assert "NaN or Inf for member 0 at point 0 (sigma = 20) in round 1" in error and "Traceback" not in error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.log"]
    assert "ended by NonFiniteError: the network returned NaN" in (tmp_path / "out" / "run.log").read_text()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"weight": torch.zeros(3)}, r"weight is \(3,\), the network's is \(2,\)"),
        ({"other": torch.zeros(2)}, "weight is missing; other is unknown to the network"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, state: dict[str, torch.Tensor], words: str) -> None:
    path = write_project(tmp_path)
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match=words):
        run(load(path))


def test_a_weights_file_of_another_kind_is_refused_and_nothing_in_it_executed(tmp_path: Path) -> None:
    path = write_project(tmp_path)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match="no safetensors file"):
        run(load(path))


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"model__shape": [1, 16, 16]}, ConfigError, r"\[1, 16, 16\] but the fields of data.statistics = .* are \[1, 8, 8\]"),
        ({"model__network": "net.py:Nothing"}, ConfigError, "defines no 'Nothing'"),
        ({"model__network": "gone.py:White"}, DataError, "no file .*gone.py"),
        ({"model__network": "White"}, ConfigError, "file.py:Class"),
        ({"model__arguments": {"depth": 3}}, ConfigError, "unexpected keyword argument 'depth'"),
        (
            {"model__arguments": {"channels": 3}},
            ConfigError,
            r"fails with RuntimeError: expected 3 channels, got 1; it was called with x \(1, 1, 8, 8\) .*; check model.network",
        ),
        ({"model__arguments": {"crop": True}}, ConfigError, r"must return a tensor of its input's shape \(1, 1, 8, 8\)"),
        ({"model__weights": "gone.safetensors"}, DataError, "no file .*gone.safetensors"),
        ({"data__statistics": "net.py"}, DataError, "net.py cannot be read as NetCDF"),
        ({"data__statistics": "gone.nc"}, DataError, "gone.nc"),
        ({"parallel__device": "abacus"}, ConfigError, "parallel.device = 'abacus'"),
        ({"parallel__time_ranks": 2}, ConfigError, "time_ranks = 2 does not divide the number of ranks, 1"),
        ({"sampling__solver": {"name": "serial"}, "sampling__window": 4}, ConfigError, "set it to null"),
    ],
)
def test_what_cannot_work_is_refused_before_sampling(
    tmp_path: Path, changes: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        run(load(write_project(tmp_path, **changes)))
    assert not (tmp_path / "out" / "ensemble.nc").exists()


def test_a_single_member_can_be_drawn_again_by_number(tmp_path: Path) -> None:
    path = write_project(tmp_path)
    run(load(path, ["parallel.mode=bitwise"]))
    run(load(path, ["sampling.members=[2]", "parallel.mode=bitwise", f"output.directory={tmp_path / 'two'}"]))
    with (
        xarray.open_dataset(tmp_path / "out" / "ensemble.nc") as all_of_them,
        xarray.open_dataset(tmp_path / "two" / "ensemble.nc") as one,
    ):
        np.testing.assert_array_equal(all_of_them["vorticity"].values[2], one["vorticity"].values[0])
        assert one["realization"].values.tolist() == [2]


def test_a_member_that_cannot_be_kept_ends_the_run_and_keeps_the_ones_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = MemberWriter.keep

    def keep_two(self: MemberWriter, state: torch.Tensor, member: Any) -> None:
        if member.member == 2:
            raise OutputError("the disk is full")
        keep(self, state, member)

    monkeypatch.setattr(MemberWriter, "keep", keep_two)
    with pytest.raises(OutputError, match="the disk is full"):
        run(load(write_project(tmp_path)))
    with xarray.open_dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert file["complete"].values.tolist() == [1, 1, 0, 0]


INPUTS = {
    "weights.safetensors": "model.weights", "net.py": "model.network", "statistics.nc": "data.statistics", "p.nc": "solver",
    "c-1.nc": "condition.files", "static.nc": "condition.static", "grid.nc": "output.grid", "mine.py": "model.plugins",
    "run.yaml": "the configuration", "link.nc": "data.statistics",
}  # fmt: skip


@pytest.mark.parametrize("name", INPUTS)
def test_an_output_in_the_place_of_an_input_is_refused_with_overwrite_too(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for conditions in ("c-1.nc", "static.nc", "grid.nc"):
        write_conditions(tmp_path / conditions, times=1)
    (tmp_path / "mine.py").write_text("")
    path = write_project(
        tmp_path,
        model__plugins=["mine.py"],
        condition__files="c-*.nc",
        condition__variables=["vorticity"],
        condition__static="static.nc",
        condition__static_variables=["vorticity"],
        sampling__solver={"name": "spectral", "statistics": str(tmp_path / "p.nc")},
        output__grid="grid.nc",
    )
    (tmp_path / "p.nc").write_bytes((tmp_path / "statistics.nc").read_bytes())
    (tmp_path / "link.nc").symlink_to("statistics.nc")
    before = (tmp_path / name).read_bytes()
    assert call("run", path, "--overwrite", f"output.report={name}", f"output.directory={tmp_path}") == USER_ERROR
    error = capsys.readouterr().err
    assert f"output.report = {tmp_path / name} is {INPUTS[name]}" in error.replace("sampling.", "")
    assert "which the run reads; choose another name" in error
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("basis=fourrier", r"sampling.solver: there is no basis 'fourrier'; did you mean 'fourier'\?"),
        ("basis=eof", "sampling.solver: EOF needs either samples"),
        ("basis=mixed", "sampling.solver: the basis 'mixed' needs the option kinds; give it"),
        ("basis=3", "sampling.solver: basis = 3 is no basis; give its name, such as 'fourier', or a basis"),
        ("statistics=gone.nc", "gone.nc does not exist"),
    ],
)
def test_a_basis_that_does_not_fit_is_refused_before_the_network_is_loaded(
    tmp_path: Path, capsys: Any, option: str, message: str
) -> None:
    path = write_project(tmp_path)
    (tmp_path / "net.py").write_text("raise RuntimeError('the network was loaded')")
    with pytest.raises((ConfigError, DataError), match=message):
        run(load(path, ["sampling.solver.name=spectral", f"sampling.solver.{option}"]))
    assert capsys.readouterr().out == "" and not (tmp_path / "out").exists()
