"""A resumed run replaces its own files and those that were there when it began, and none that others have put there since."""

import os
import shutil

import netCDF4
import numpy as np
import pytest

from parampi.__main__ import main
from parampi.run.earlier_files import identities, identity
from tests.small import signalled_after, write_project


def began(tmp_path, *overrides, rounds=10):
    """A run that was stopped with some finished members, or before any."""
    config = write_project(
        tmp_path, checkpoint__every=0.0, parallel__batch=1, parallel__mode="bitwise", output__figure="report.png"
    )
    with signalled_after(rounds):
        assert main(["run", str(config), *overrides]) == 75
    return tmp_path / "out"


def complete(path):
    with netCDF4.Dataset(path) as file:
        return file.parampi_complete == 1


def test_its_own_files_are_replaced(tmp_path):
    out = began(tmp_path)
    assert (out / "ensemble.nc").is_file() and (out / "report.json").is_file() and not complete(out / "ensemble.nc")
    moved = tmp_path / "moved"
    shutil.copytree(out, moved, copy_function=shutil.copyfile)
    assert main(["resume", str(moved)]) == 0 and complete(moved / "ensemble.nc")


def test_what_was_there_when_it_began_is_replaced(tmp_path):
    config = write_project(tmp_path, output__figure="report.png")
    assert main(["run", str(config), "output.figure=null"]) == 0
    (tmp_path / "out" / "report.png").write_text("an old figure")
    out = began(tmp_path, "--overwrite", rounds=1)
    assert main(["resume", str(out)]) == 0
    assert (out / "report.png").read_bytes()[1:4] == b"PNG"


def another_run(tmp_path, path):
    other = tmp_path / "other"
    other.mkdir()
    assert main(["run", str(write_project(other))]) == 0
    shutil.copy(other / "out" / path.name, path)


def no_ensemble(tmp_path, path):
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 1)


def link(tmp_path, path):
    (tmp_path / "victim").write_text("precious")
    path.symlink_to(tmp_path / "victim")


STRANGERS = {
    "an ensemble of another run": ("ensemble.nc", another_run, r"an ensemble of another run (parampi_ensemble "),
    "a file of another kind": ("ensemble.nc", no_ensemble, "no file of parampi's"),
    "text": ("ensemble.nc", lambda _, path: path.write_text("mine"), "no file of parampi's"),
    "a link": ("ensemble.nc", link, "a link to "),
    "a report of another run": ("report.json", another_run, "the report of another run"),
    "a figure": ("report.png", lambda _, path: path.write_text("mine"), "no file of parampi's"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_has_appeared_since_is_not_replaced(tmp_path, capsys, name):
    file, make, kind = STRANGERS[name]
    out = began(tmp_path, rounds=1)
    assert not (out / file).exists()
    make(tmp_path, out / file)
    before = (out / file).read_bytes()
    capsys.readouterr()
    assert main(["resume", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"{out / file} is {kind}" in error and "move it away, or allow to replace it (parampi resume --overwrite)" in error
    assert (out / file).read_bytes() == before
    assert main(["resume", str(out), "--overwrite"]) == 0
    assert complete(out / "ensemble.nc") and (out / file).read_bytes() != before


def test_what_appears_while_it_goes_on_is_not_replaced(tmp_path, capsys, monkeypatch):
    from parampi.run import job

    out, draw = began(tmp_path, rounds=1), job.draw

    def meanwhile(*args, **options):
        (out / "ensemble.nc").write_text("mine")
        return draw(*args, **options)

    monkeypatch.setattr(job, "draw", meanwhile)
    assert main(["resume", str(out)]) == 2
    assert "ensemble.nc exists; allow overwriting (--overwrite on the command line)" in capsys.readouterr().err
    assert (out / "ensemble.nc").read_text() == "mine"


def test_a_store_of_a_users_own_replaces_what_it_has_written(tmp_path, monkeypatch):
    """Its file does not say which run wrote it."""
    from parampi.fields import STORES
    from parampi.fields.stores.base import BaseStore

    class Bytes(BaseStore):
        def __init__(self, target):
            super().__init__(target.schema)
            self.target, self.kept = target, {}

        @classmethod
        def open(cls, target, rank, comm):
            return cls(target)

        def put(self, member, lead, fields, facts):
            self.kept[member] = fields.tobytes()

        def finish(self, complete):
            self.target.path.write_bytes(b"".join(self.kept.values()))

        def remove(self):
            self.kept.clear()

    monkeypatch.setitem(STORES, "bytes", Bytes)
    out = began(tmp_path, "output.mode=bytes", "output.ensemble=e.bin", "output.figure=null")
    assert len((out / "e.bin").read_bytes()) < 4 * 256
    assert main(["resume", str(out)]) == 0 and len((out / "e.bin").read_bytes()) == 4 * 256


def test_identities(tmp_path):
    path = tmp_path / "a"
    path.write_text('{"parampi_run": "abc"}')
    assert identity(path) == "abc" and identities({"a": path, "b": tmp_path / "none"}) == {"a": "abc"}
    for text in ("{", "[]", "{" * 100_000, np.zeros(9).tobytes().decode()):
        path.write_text(text)
        os.utime(path, ns=(5, 5))
        assert identity(path) == f"{len(text)} bytes of 5"
