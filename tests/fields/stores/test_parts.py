"""Parts belong to one ensemble: those of others stay, whatever their joint file is called now; those of killed runs go."""

import shutil

import netCDF4
import numpy as np
import pytest

from parampi.errors import OutputError
from parampi.fields import MemberFacts, StoreTarget
from parampi.fields.atomic_files import partial_name
from parampi.fields.stores.check import check
from parampi.fields.stores.parts import claim_parts, new_identifier, part_name, parts_folder, remove_claimed_parts
from parampi.run.output import EnsembleOutput
from tests.fields.schemas import schema_of

ONE, TWO, THREE = "1" * 32, "2" * 32, "3" * 32
MODES = ["gather", "merged", "virtual"]


@pytest.fixture
def write(statistics, samples):
    """Write an ensemble as a run on one rank does."""

    def write(path, ensemble, mode="virtual"):
        schema = schema_of(statistics, [0, 1], 11, attributes={"parampi_ensemble": ensemble})
        with EnsembleOutput(StoreTarget(path, schema, ensemble, overwrite=True), mode) as output:
            for member in (0, 1):
                output.write(member, samples[member], MemberFacts(11, 5, 90, 1e-3))
        return path

    return write


def part(path, ensemble, rank, *, unfinished=False):
    """A file as a killed run leaves it."""
    place = part_name(path, ensemble, rank)
    place.parent.mkdir(exist_ok=True)
    if unfinished:
        partial_name(place).write_text("half")
        return partial_name(place)
    with netCDF4.Dataset(place, "w") as file:
        file.setncattr("parampi_ensemble", ensemble)
    return place


def parts_of(path):
    return {place.name for place in parts_folder(path).iterdir()} if parts_folder(path).exists() else set()


def assert_whole(path):
    assert not check(path).problems


def test_names_that_differ_in_their_endings_have_folders_of_their_own(tmp_path, write):
    for name, ensemble in (("a.nc", ONE), ("a.nc4", TWO), ("a", THREE)):
        write(tmp_path / name, ensemble)
    for name in ("a.nc", "a.nc4", "a"):
        assert_whole(tmp_path / name)


@pytest.mark.parametrize("mode", MODES)
def test_the_parts_of_a_replaced_ensemble_go(tmp_path, write, mode):
    path = write(tmp_path / "e.nc", ONE)
    assert parts_of(path) == {"11111111-00000.nc"}
    write(path, TWO, mode)
    assert parts_of(path) == ({"22222222-00000.nc"} if mode == "virtual" else set())
    assert parts_folder(path).exists() == (mode == "virtual")
    assert_whole(path)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("keep", [shutil.move, shutil.copy], ids=["renamed", "copied"])
def test_an_ensemble_that_was_renamed_or_copied_keeps_its_parts(tmp_path, write, mode, keep):
    path = write(tmp_path / "e.nc", ONE)
    keep(path, tmp_path / "old.nc")
    for ensemble in (TWO, THREE):
        write(path, ensemble, mode)
    assert_whole(tmp_path / "old.nc")
    assert_whole(path)
    assert "22222222-00000.nc" not in parts_of(path)


def test_a_killed_run_leaves_what_the_next_one_removes(tmp_path, write):
    path = tmp_path / "e.nc"
    claim_parts(path, ONE)
    for rank in (0, 1):
        part(path, ONE, rank, unfinished=rank == 1)
    others = [part(path, THREE, 0), part(path, THREE, 1, unfinished=True), parts_folder(path) / "11111111-00007.nc"]
    with netCDF4.Dataset(others[2], "w") as file:
        file.setncattr("parampi_ensemble", "1" * 31 + "9")
    write(path, TWO)
    assert parts_of(path) == {"22222222-00000.nc", *(other.name for other in others)}


def test_a_run_that_was_killed_after_its_end_leaves_what_it_finished(tmp_path, write):
    """Its claim is still there when the joint file has another name."""
    path = write(tmp_path / "e.nc", ONE)
    claim_parts(path, ONE)
    path.rename(tmp_path / "old.nc")
    write(path, TWO)
    assert_whole(tmp_path / "old.nc")


def test_what_is_no_part_of_ours_stays(tmp_path):
    path = tmp_path / "e.nc"
    claim_parts(path, ONE)
    damaged, theirs = part_name(path, ONE, 0), parts_folder(path) / "20260101-00000.nc"
    damaged.write_text("not NetCDF at all")
    with netCDF4.Dataset(theirs, "w") as file:
        file.createDimension("x", 3)
        file.createVariable("x", "f8", ("x",))[:] = np.arange(3)
    (parts_folder(path) / "11111111-00001.nc").symlink_to(theirs)
    remove_claimed_parts(path)
    assert parts_of(path) == {damaged.name, theirs.name, "11111111-00001.nc"}


def test_no_part_is_written_over_another(tmp_path, write, monkeypatch):
    path = tmp_path / "e.nc"
    mine = part(path, "1" * 31 + "9", 0)
    with pytest.raises(OutputError, match="exists; allow overwriting"):
        write(path, ONE)
    assert parts_of(path) == {mine.name}
    chosen = iter([ONE, TWO])
    monkeypatch.setattr("parampi.fields.stores.parts.uuid.uuid4", lambda: type("UUID", (), {"hex": next(chosen)}))
    assert new_identifier(path) == TWO


@pytest.mark.parametrize("what", ["link", "file"])
def test_a_link_in_the_place_of_the_folder_of_parts_is_refused(tmp_path, write, what):
    (tmp_path / "theirs").mkdir()
    folder = parts_folder(tmp_path / "e.nc")
    folder.symlink_to(tmp_path / "theirs") if what == "link" else folder.write_text("theirs")
    with pytest.raises(OutputError, match="is a link or a file, in the place of the folder of parts; remove it"):
        write(tmp_path / "e.nc", ONE)
    assert not any((tmp_path / "theirs").iterdir())


def test_a_run_that_finishes_nothing_leaves_nothing(tmp_path, write, statistics):
    path = write(tmp_path / "e.nc", ONE)
    before = parts_of(path)
    target = StoreTarget(path, schema_of(statistics, [0, 1], 11), TWO, overwrite=True)
    with pytest.raises(KeyError), EnsembleOutput(target, "virtual"):
        raise KeyError
    assert parts_of(path) == before
    assert_whole(path)
