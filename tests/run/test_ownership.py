"""What is not ours is neither removed nor written through, whatever its name; what is ours is known by a file of ours."""

import os
from pathlib import Path

import pytest
import torch

from parampi.__main__ import main
from parampi.errors import DataError, OutputError
from parampi.fields.atomic_files import new_partial, partial_name, write_whole
from parampi.report import MemberReport
from parampi.run.checkpoint.folder import Folder
from parampi.run.checkpoint.ownership import LOCK, recognised
from parampi.run.config import load
from parampi.run.input_files import file_digests
from parampi.run.job import run
from tests.small import run_record, write_project

CONFIG = {"sampling": {"seed": 1}, "output": {"directory": "a"}}
REPORT = MemberReport(7, 5, 60, 0.25, 1e-3, "converged")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def begun(directory: Path, ensemble: str = "e.nc") -> Folder:
    """An unfinished run, whose job is gone."""
    folder = Folder(directory, ensemble)
    folder.lock()
    folder.begin(run_record(CONFIG, {}))
    folder.keep(torch.ones(2), REPORT)
    (folder.rounds / f"{5:020d}-0").mkdir()
    write_whole(folder.rounds / f"{5:020d}-0" / "rank-0.safetensors", b"")
    os.close(folder.descriptor)
    return Folder(directory, ensemble)


@pytest.mark.parametrize(
    "name", ["checkpoint", "members", ".parampi-other.nc", "ensemble.nc.parts", "ensemble.parts", "rounds"]
)
@pytest.mark.parametrize("overrides", [["sampling.steps=3"], ["sampling.seed=1"], ["checkpoint.every=null"]], ids=str)
def test_folders_of_others_stay(tmp_path, name, overrides):
    """Also where the run is refused."""
    theirs = tmp_path / "out" / name / "epoch10" / "model.ckpt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("weeks of work")
    code = main(["run", str(write_project(tmp_path)), *overrides])
    assert code == (2 if "steps" in overrides[0] else 0) and theirs.read_text() == "weeks of work"


def test_a_folder_of_our_name_that_is_not_ours_is_refused(tmp_path):
    theirs = tmp_path / ".parampi-e.nc" / "members" / "7.safetensors"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("not ours")
    folder = Folder(tmp_path, "e.nc")
    with pytest.raises(OutputError, match=r"is no checkpoint of parampi \(it has no file parampi-lock\), and nothing in it"):
        folder.lock()
    folder.clear()
    folder.release()
    assert theirs.read_text() == "not ours"


def test_files_of_others_in_our_folder_stay(tmp_path):
    folder = begun(tmp_path)
    theirs = [folder.path / "notes.txt", folder.members / "mine.safetensors", folder.rounds / "a" / "rank-0.safetensors"]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_text("not ours")
    folder.clear()
    assert files(tmp_path) == {str(path.relative_to(tmp_path)) for path in [*theirs, folder.path / LOCK]}
    again = Folder(tmp_path, "e.nc")
    again.lock()
    assert not again.exists
    again.release()


def test_links_that_were_left_in_a_checkpoint_go_with_it(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "7.safetensors").write_text("precious")
    folder, stamp = begun(tmp_path / "out"), f"{6:020d}-0"
    folder.lock()
    for place in (folder.members / "9.safetensors", folder.rounds / f"{5:020d}-0" / "done.json", folder.rounds / stamp):
        place.symlink_to(victim / "7.safetensors" if place.suffix else victim)
    (folder.path / "run.json").unlink()
    (folder.path / "run.json").symlink_to(victim / "7.safetensors")
    folder.clear()
    assert not any((tmp_path / "out").iterdir()) and (victim / "7.safetensors").read_text() == "precious"


@pytest.mark.parametrize("name", ["note", "members/note", "rounds/note"])
def test_another_link_in_a_checkpoint_stays_and_keeps_no_run_out(tmp_path, name):
    folder = begun(tmp_path / "out", "ensemble.nc")
    (folder.path / name).symlink_to(tmp_path)
    for _ in range(2):
        run(load(write_project(tmp_path)), overwrite=True)
        assert (folder.path / name).is_symlink() and (tmp_path / "out" / "ensemble.nc").is_file()


def test_a_checkpoint_leaves_nothing(tmp_path):
    folder = begun(tmp_path)
    partial_name(folder.members / "8.safetensors").write_text("half")
    partial_name(folder.path / "run.json").write_text("half")
    folder.clear()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_a_kill_while_it_is_cleared_leaves_what_the_next_run_removes(tmp_path, left):
    """`left` steps of the removal are done."""
    folder = begun(tmp_path / "out", "ensemble.nc")
    for path in [folder.path / "run.json", folder.members / "7.safetensors", folder.members][:left]:
        path.rmdir() if path.is_dir() else path.unlink()
    assert recognised(folder.path)
    run(load(write_project(tmp_path), ["checkpoint.every=null"]), overwrite=left == 0)
    assert not folder.path.exists() and (tmp_path / "out" / "ensemble.nc").is_file()


@pytest.mark.parametrize("place", [LOCK, "members", "rounds", "run.json", ""])
def test_a_link_in_the_place_of_our_files_is_refused(tmp_path, place):
    victim = tmp_path / "victim"
    victim.mkdir() if place in ("members", "rounds", "") else victim.write_text("precious")
    folder = Folder(tmp_path / "out", "e.nc")
    link = folder.path / place
    link.parent.mkdir(parents=True)
    if place not in ("", LOCK):
        (folder.path / LOCK).touch()
    link.symlink_to(victim)
    with pytest.raises(OutputError, match="is a link"):
        folder.lock()
    folder.clear()
    assert list(victim.iterdir()) == [] if victim.is_dir() else victim.read_text() == "precious"


def test_links_at_files_that_are_being_written_are_not_followed(tmp_path):
    (tmp_path / "victim").write_text("precious")
    partial_name(tmp_path / "a.json").symlink_to(tmp_path / "victim")
    partial_name(tmp_path / "e.nc").hardlink_to(tmp_path / "victim")
    write_whole(tmp_path / "a.json", b"ours")
    new_partial(tmp_path / "e.nc").write_text("ours")
    assert (tmp_path / "victim").read_text() == "precious" and (tmp_path / "a.json").read_text() == "ours"


@pytest.mark.parametrize("mode", ["gather", "virtual"])
def test_a_run_writes_through_no_link(tmp_path, mode):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "out").mkdir()
    for name in ("ensemble.nc", "report.json"):
        partial_name(tmp_path / "out" / name).symlink_to(tmp_path / "victim")
        (tmp_path / "out" / name).symlink_to(tmp_path / "victim")
    run(load(write_project(tmp_path), [f"output.mode={mode}"]), overwrite=True)
    assert (tmp_path / "victim").read_text() == "precious" and not (tmp_path / "out" / "ensemble.nc").is_symlink()


def test_only_its_owner_can_hold_the_lock(tmp_path):
    folder = begun(tmp_path)
    assert (folder.path / LOCK).stat().st_mode & 0o777 == 0o600


def test_several_unfinished_runs_in_one_directory(tmp_path):
    begun(tmp_path, "a.nc")
    begun(tmp_path, "b.nc")
    with pytest.raises(
        DataError, match=rf"holds several unfinished runs; give the name of one: {tmp_path}/a.nc, {tmp_path}/b.nc"
    ):
        Folder.find(tmp_path)
    assert Folder.find(tmp_path / "b.nc").path == tmp_path / ".parampi-b.nc"


def test_ensembles_of_one_name_in_subfolders_have_checkpoints_of_their_own(tmp_path):
    for name in ("e.nc", "a/e.nc", "a%2Fe.nc", "b/e.nc"):
        begun(tmp_path, name)
    assert len(list(tmp_path.glob(".parampi-*"))) == 4
    assert Folder.find(tmp_path / "a" / "e.nc").path == tmp_path / ".parampi-a%2Fe.nc"
    with pytest.raises(DataError, match=rf"give the name of one: .*{tmp_path}/a/e.nc, {tmp_path}/b/e.nc"):
        Folder.find(tmp_path)


def test_a_resumed_run_writes_below_the_directory_it_was_given(tmp_path, capsys):
    config = load(write_project(tmp_path))
    folder = Folder(tmp_path / "out", "ensemble.nc")
    folder.lock()
    tree = config.as_dict()
    tree["output"]["report"] = "../victim.json"
    folder.begin(run_record(tree, file_digests(config)))
    folder.release()
    (tmp_path / "victim.json").write_text("precious")
    assert main(["resume", str(tmp_path / "out")]) == 2
    assert "outside of the directory" in capsys.readouterr().err and (tmp_path / "victim.json").read_text() == "precious"


def test_a_linked_folder_leads_a_run_nowhere(tmp_path, capsys):
    """A folder that somebody handed on may have a link in the place of a subfolder."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "report.json").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "theirs")
    assert main(["run", str(write_project(tmp_path)), "--overwrite", "output.report=sub/report.json"]) == 2
    assert "by a link; remove the link" in capsys.readouterr().err
    assert (tmp_path / "theirs" / "report.json").read_text() == "precious"
