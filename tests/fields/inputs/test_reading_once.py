"""Statistics of files read every chunk once, in whatever chunks and shares, with the same bits."""

import netCDF4
import numpy as np
import pytest

from parampi.fields import FileSamples
from parampi.fields.inputs import samples as module
from parampi.fields.inputs.encoding import MASKED, mask


class Share:
    """One of two processes, whose sums are its own."""

    size = 2

    def __init__(self, rank):
        self.rank, self.parts = rank, []

    def add(self, work):
        self.parts.append(work())
        return self.parts[-1]


def write(path, values, chunk):
    with netCDF4.Dataset(path, "w") as file:
        for name, size in zip(("time", "y", "x"), values.shape, strict=True):
            file.createDimension(name, size)
        file.createVariable("t", "f4", ("time", "y", "x"), zlib=True, chunksizes=(chunk, *values.shape[1:]))[:] = values
    return path


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(280.0, 9.0, (150, 6, 8)).astype(np.float32)


def test_each_run_is_read_once(tmp_path, values, monkeypatch):
    monkeypatch.setattr("parampi.fields.inputs.file_fields.AHEAD", 1)
    spans = []
    read = module.read_run
    monkeypatch.setattr(module, "read_run", lambda *arguments: (spans.append(arguments[3:]), read(*arguments))[1])
    with FileSamples([write(tmp_path / "a.nc", values, 20)]) as samples:
        statistics = samples.statistics()
    assert spans == [(k, min(k + 20, 150)) for k in range(0, 150, 20)]
    assert np.array_equal(statistics.reference[[0, -1], 0], values[[0, -1]])


def test_chunks_change_no_bit(tmp_path, values, monkeypatch):
    monkeypatch.setattr("parampi.fields.inputs.file_fields.AHEAD", 1)
    measured = []
    for chunk in (1, 7, 20, 150):
        with FileSamples([write(tmp_path / f"{chunk}.nc", values, chunk)]) as samples:
            measured.append(samples.statistics())
    for name in ("mean", "standard_deviation", "kurtosis", "spectrum", "reference"):
        assert all(np.array_equal(getattr(one, name), getattr(measured[0], name)) for one in measured), name


def test_shares_add_up_to_the_kept_samples(tmp_path, values):
    values[0, 0, 0] = -0.0
    path, parts = write(tmp_path / "a.nc", values, 20), []
    for rank in (0, 1):
        team = Share(rank)
        with FileSamples([path]) as samples:
            samples.statistics(team)
        parts.append(team.parts[-1])
    with FileSamples([path]) as samples:
        whole = samples.statistics().reference
    assert (parts[0] + parts[1]).tobytes() == whole.tobytes()


def test_markers_are_masked_where_they_are():
    values = np.arange(2 * MASKED + 5, dtype=np.float32)
    expected = np.where((values == 3) | (values == MASKED + 1), np.nan, values)
    mask(values, [np.float32(3), np.float32(MASKED + 1)])
    np.testing.assert_array_equal(values, expected)
