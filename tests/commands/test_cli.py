"""The command line as a user meets it: real processes, exit codes, one clear line for a mistake."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import xarray
from safetensors.torch import save_file

import parampi
from parampi import __version__
from tests.small import parampi_command, write_project

pytestmark = pytest.mark.slow


def call(*arguments: object, timeout: float = 120.0) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(parampi_command(*arguments), capture_output=True, text=True, timeout=timeout, check=False)


def test_run_and_verify(tmp_path: Path) -> None:
    path = write_project(tmp_path)
    done = call("run", path, "sampling.members=3")
    assert done.returncode == 0, done.stderr
    ensemble = tmp_path / "out" / "ensemble.nc"
    with xarray.open_dataset(ensemble) as file:
        assert file.sizes["member"] == 3
    checked = call("verify", ensemble, "--statistics", tmp_path / "statistics.nc")
    assert checked.returncode == 0 and "kurtosis" in checked.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sampling.membrs=3"], "sampling.membrs is not a known key"),
        (["model.weights=gone.safetensors"], "there is no file"),
        (["parallel.time_ranks=3"], "time_ranks = 3 does not divide the number of ranks, 1"),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = call("run", write_project(tmp_path), *arguments)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not done.stdout


def test_stats_of_samples(tmp_path: Path) -> None:
    data = xarray.Dataset({"u": (("sample", "y", "x"), np.random.default_rng(0).standard_normal((20, 16, 16)))})
    data.to_netcdf(tmp_path / "data.nc")
    done = call("stats", tmp_path / "data.nc", "--output", tmp_path / "new.nc")
    assert done.returncode == 0 and "u: mean" in done.stdout and "20 samples" in done.stdout, done.stderr
    again = call("stats", tmp_path / "data.nc", "--output", tmp_path / "new.nc")
    assert again.returncode == 2 and "--overwrite" in again.stderr
    missing = call("stats", tmp_path / "data.nc", "--variable", "w", "--output", tmp_path / "other.nc")
    assert missing.returncode == 2 and "has no variable w; it has u" in missing.stderr
    assert parampi.Statistics.from_file(tmp_path / "new.nc").spectrum.shape == (12,)


def test_usage_is_explained() -> None:
    assert "run" in call("--help").stdout and "verify" in call("--help").stdout
    wrong = call("run")
    assert wrong.returncode == 2 and "Missing argument 'CONFIG'" in wrong.stderr


def test_version_needs_no_installation() -> None:
    done = call("--version")
    assert done.returncode == 0 and __version__ in done.stdout


def test_info_names_versions() -> None:
    assert "torch" in call("info").stdout


@pytest.mark.slow
def test_bench_tables_come_as_text_and_json() -> None:
    rows = json.loads(call("bench", "rounds", "--case", "ddim-100", "--problem", "gmm64", "--seeds", "1", "--json").stdout)
    assert all(row["problem"] == "gmm64" for row in rows)
    assert len(rows) == 11 and all(row["error"] <= row["tolerance"] for row in rows if row["solver"] != "PIADM")
    assert all(row["hindsight"] <= 1.1 * row["published"] for row in rows if row["published"])
    assert "choose one of" in call("bench", "rounds", "--case", "nothing").stderr


def test_the_cost_of_a_round_is_measured_without_the_network() -> None:
    answer = call("bench", "engine", "--json", "--shape", "1x8x8", "--points", "6")
    rows = {(row["solver"], row["sampler"]): row for row in json.loads(answer.stdout)}
    assert len(rows) == 7 and all(row["milliseconds"] > 0 and row["kernels"] > 0 for row in rows.values())
    assert all(row["forward"] == row["inverse"] == 0 for (solver, _), row in rows.items() if solver in ("Picard", "ParaTAA"))
    assert rows["Spectral", "ddim"]["forward"] > 0 and rows["collocation", "ode"]["inverse"] > 0
    assert "choose one of" in call("bench", "engine", "--solver", "nothing").stderr
    assert "is no shape of fields" in call("bench", "engine", "--shape", "8x0").stderr


def test_weights_that_hold_nan_are_met_before_sampling_or_end_with_their_own_exit_code(tmp_path: Path) -> None:
    import torch

    path = write_project(tmp_path)
    save_file({"weight": torch.full((2,), torch.nan)}, tmp_path / "weights.safetensors")
    done = call("run", path)
    assert done.returncode == 2
    assert "the denoiser returned NaN or Inf for finite fields" in done.stderr and "Traceback" not in done.stderr
    done = call("run", path, "model.probe=false")
    assert done.returncode == 3
    assert "NaN or Inf for member 0 at point 0" in done.stderr and "Traceback" not in done.stderr
