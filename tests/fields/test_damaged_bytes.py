"""Files of which some bytes are damaged: every reader says so in one line, or reads them."""

import random
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from parampi.errors import DataError, UserError
from parampi.fields import DatasetStatistics, EnsembleAxes, EnsembleSchema, MemberFacts, read_members
from parampi.fields.stores.base import StoreTarget
from parampi.fields.stores.check import check
from parampi.fields.stores.merge import merge
from parampi.fields.stores.netcdf import NetCDFStore
from parampi.fields.stores.virtual import VirtualStore
from parampi.run.rerun import read_description, stored_fields
from tests.small import write_statistics

COUNT = 120
CONFIG = '{"model": {"network": "net.py:White"}, "condition": null, "sampling": {"members": 3}}'


def damages(data, count, seed):
    """Copies of a file, each with one to eight bytes changed, or cut."""
    chance = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        yield bytes(damaged[: chance.randrange(len(damaged))] if chance.random() < 0.1 else damaged)


def met(*readers):
    """What readers raised other than a UserError."""
    for reader in readers:
        try:
            reader()
        except UserError as error:
            assert "\n" not in str(error)


def read_all(path, folder):
    met(
        lambda: check(path).table(),
        lambda: merge([path], folder / "merged.nc", overwrite=True),
        lambda: read_description(path),
        lambda: stored_fields(path, 1, None),
        lambda: read_members(path, ["vorticity"]),
    )


def write_ensemble(folder, kind):
    """An ensemble in one file, or in a joint one and a part; returns both names."""
    write_statistics(folder / "statistics.nc")
    statistics = DatasetStatistics.from_file(folder / "statistics.nc")
    attributes = {"parampi_config": CONFIG, "parampi_ensemble": "0123456789abcdef", "parampi_inputs_sha256": "{}"}
    schema = EnsembleSchema(statistics, EnsembleAxes([0, 1, 2]), seed=0, attributes=attributes)
    target = StoreTarget(folder / "ensemble.nc", schema, "0123456789abcdef")
    with kind.open(target, 0, None) as store:
        for member in range(3):
            store.write(member, np.random.default_rng(member).normal(size=statistics.shape), MemberFacts(0, 5, 60, 1e-5))
    kind.join(target, [0], store.summary)
    return target.path, store.path


def test_a_file_of_statistics(tmp_path):
    path = tmp_path / "statistics.nc"
    write_statistics(path)
    for damaged in damages(path.read_bytes(), 3 * COUNT, seed=1):
        path.write_bytes(damaged)
        met(lambda: DatasetStatistics.from_file(path))


@pytest.mark.parametrize(("kind", "which"), [(NetCDFStore, 0), (VirtualStore, 0), (VirtualStore, 1)])
def test_an_ensemble_its_joint_file_and_a_part(tmp_path, kind, which):
    joint, part = write_ensemble(tmp_path, kind)
    path: Path = (joint, part)[which]
    for damaged in damages(path.read_bytes(), COUNT, seed=2):
        path.write_bytes(damaged)
        read_all(joint, tmp_path)


def test_the_configuration_in_an_ensemble(tmp_path):
    path, _ = write_ensemble(tmp_path, NetCDFStore)
    data = path.read_bytes()
    start = data.index(CONFIG.encode())
    for damaged in damages(CONFIG.encode(), COUNT, seed=3):
        text = damaged.ljust(len(CONFIG))
        path.write_bytes(data[:start] + text + data[start + len(CONFIG) :])
        met(lambda: read_description(path), lambda: stored_fields(path, 1, None))


def test_texts_of_statistics(tmp_path):
    path = tmp_path / "statistics.nc"
    write_statistics(path)
    with netCDF4.Dataset(path, "a") as file:
        file.level_axes = "{no json"
    with pytest.raises(DataError, match=r"statistics\.nc is no file of statistics that parampi can read"):
        DatasetStatistics.from_file(path)
