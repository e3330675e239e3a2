"""Output paths: what is refused before the work, and the rename at its end."""

import errno
import os
import tempfile
import threading

import pytest

from parampi.errors import OutputError
from parampi.fields import check_target
from parampi.fields.atomic_files import await_file, partial_name, put_in_place, writing


def test_a_good_target_leaves_its_folder_and_nothing_else(tmp_path):
    check_target(tmp_path / "a" / "b" / "e.nc")
    assert list(tmp_path.rglob("*")) == [tmp_path / "a", tmp_path / "a" / "b"]


def test_an_existing_file_needs_overwrite(tmp_path):
    (tmp_path / "e.nc").write_text("old")
    with pytest.raises(OutputError, match=r"e\.nc exists; .*--overwrite"):
        check_target(tmp_path / "e.nc")
    check_target(str(tmp_path / "e.nc"), overwrite=True)
    assert (tmp_path / "e.nc").read_text() == "old"


def test_a_link_to_nowhere_counts_as_existing(tmp_path):
    (tmp_path / "e.nc").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists"):
        check_target(tmp_path / "e.nc")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_no_target(tmp_path, overwrite):
    with pytest.raises(OutputError, match="is a folder"):
        check_target(tmp_path, overwrite)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        check_target(tmp_path / "file" / "e.nc")
    with pytest.raises(OutputError, match="cannot be written"):
        check_target(tmp_path / "file" / "folder" / "e.nc")


def test_a_read_only_file_system_is_noticed_whoever_runs_this(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(OutputError, match=r"Read-only file system.*choose a folder"):
        check_target(tmp_path / "e.nc")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        check_target(tmp_path / "e.nc")


def test_putting_in_place_is_a_rename(tmp_path):
    target = tmp_path / "e.nc"
    assert partial_name(target).parent == tmp_path and partial_name(target).name == ".e.nc.parampi-partial"
    partial_name(target).write_text("new")
    put_in_place(target)
    assert [path.name for path in tmp_path.iterdir()] == ["e.nc"]
    partial_name(target).write_text("newer")
    with pytest.raises(OutputError, match="someone else"):
        put_in_place(target)
    put_in_place(target, overwrite=True)
    assert target.read_text() == "newer"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("NetCDF: HDF error")])
def test_errors_while_writing_name_the_file_and_the_cause(error):
    causes = r"\((No space left on device|NetCDF: HDF error)\)"
    with pytest.raises(OutputError, match=r"e\.nc cannot be written " + causes), writing("e.nc"):
        raise error


def test_a_file_of_another_rank_that_cannot_be_seen_yet_is_waited_for(tmp_path):
    path = tmp_path / "late.nc"
    threading.Timer(0.3, lambda: path.write_text("here")).start()
    await_file(path, 20.0)
    with pytest.raises(OutputError, match=r"never\.nc was written by another rank but cannot be seen by this one; all ranks"):
        await_file(tmp_path / "never.nc", 0.2)
