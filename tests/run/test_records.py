"""Records of a checkpoint: a byte that changed is noticed, wherever it is, and never taken for another state."""

import random

import netCDF4
import pytest
import torch

from parampi.__main__ import main
from parampi.report import MemberReport
from parampi.run.checkpoint.folder import Folder
from parampi.run.checkpoint.records import DAMAGE, read_member, read_record, write_member, write_record
from parampi.run.stored_records import RoundRecord
from tests.small import signalled_after, write_conditions, write_project

STATE = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
REPORT = MemberReport(7, 5, 60, 0.25, 1e-3, "converged", lead=2)
RECORD = {"members": [4, 2], "lead": 0, "rounds": [3, 5], "ranks": 2, "sha256_of_ranks": ["ab" * 32, "cd" * 32]}
DAMAGES = 500


def damaged(data: bytes, chance: random.Random) -> bytes:
    """One byte changed, or a part lost, doubled or put elsewhere."""
    start, size = chance.randrange(len(data)), chance.randrange(1, 9)
    kind = chance.choice(["bit", "byte", "byte", "cut", "lost", "doubled", "zeros"])
    if kind in ("bit", "byte"):
        value = data[start] ^ (1 << chance.randrange(8)) if kind == "bit" else chance.randrange(256)
        return data[:start] + bytes([value]) + data[start + 1 :]
    after = data[start + size :]
    return data[:start] + {"cut": b"", "lost": after, "doubled": data[start - size :], "zeros": bytes(size) + after}[kind]


def same_member(found) -> bool:
    return torch.equal(found[0], STATE) and found[0].dtype == STATE.dtype and found[1] == REPORT


def test_damaged_members_are_noticed(tmp_path):
    path, chance = tmp_path / "7-2.safetensors", random.Random(1)
    write_member(path, STATE, REPORT)
    whole = path.read_bytes()
    assert same_member(read_member(path, 7, 2))
    for _ in range(DAMAGES):
        path.write_bytes(damaged(whole, chance))
        try:
            assert same_member(read_member(path, 7, 2))
        except DAMAGE:
            continue


def test_damaged_records_are_noticed(tmp_path):
    path, chance = tmp_path / "done.json", random.Random(2)
    write_record(path, RECORD)
    whole, record = path.read_bytes(), read_record(path, RoundRecord)
    assert record.model_dump() == {**RECORD, "leads": None}
    for _ in range(DAMAGES):
        path.write_bytes(damaged(whole, chance))
        try:
            assert read_record(path, RoundRecord) == record
        except (OSError, ValueError):
            continue


def test_a_members_file_in_the_place_of_another_is_noticed(tmp_path):
    write_member(tmp_path / "7-2.safetensors", STATE, REPORT)
    for member, lead in ((8, 2), (7, 0)):
        with pytest.raises(ValueError, match="it is of member 7 at lead time 2"):
            read_member(tmp_path / "7-2.safetensors", member, lead)


def unfinished(tmp_path, **changes):
    """A run that was stopped after some members."""
    config = write_project(tmp_path, checkpoint__every=0.0, parallel__batch=1, parallel__mode="bitwise", **changes)
    assert main(["run", str(config), "output.directory=" + str(tmp_path / "whole")]) == 0
    with signalled_after(10):
        assert main(["run", str(config)]) == 75
    return tmp_path / "out"


def fields(path):
    with netCDF4.Dataset(path) as file:
        return file["vorticity"][:].filled()


def test_a_damaged_member_is_drawn_again_and_that_is_said(tmp_path, capsys):
    out = unfinished(tmp_path)
    folder = Folder.find(out)
    first = min(folder.members.glob("*.safetensors"))
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)
    capsys.readouterr()
    assert main(["resume", str(out)]) == 0
    assert f"{first} (its digest does not fit its content): member 0 is drawn again" in capsys.readouterr().err
    assert (fields(out / "ensemble.nc") == fields(tmp_path / "whole" / "ensemble.nc")).all()


def test_other_values_in_files_of_the_same_size_are_refused(tmp_path, capsys):
    write_conditions(tmp_path / "c.nc")
    conditions = {"condition__files": "c.nc", "condition__variables": ["vorticity"], "condition__select": [1]}
    out = unfinished(tmp_path, **conditions)
    with netCDF4.Dataset(tmp_path / "c.nc", "a") as file:
        file["vorticity"][1, 3, 3] += 1e-3
    assert main(["resume", str(out)]) == 2
    assert "condition.files is not the file that the checkpoint in" in capsys.readouterr().err
    with netCDF4.Dataset(tmp_path / "c.nc", "a") as file:
        file["vorticity"][1, 3, 3] -= 1e-3
        file["vorticity"][0] += 1  # a case that is not drawn
    write_conditions(tmp_path / "c.nc")
    assert main(["resume", str(out)]) == 0


def test_links_in_the_place_of_members_are_not_read(tmp_path, capsys):
    out = unfinished(tmp_path)
    first = min(Folder.find(out).members.glob("*.safetensors"))
    first.rename(tmp_path / "elsewhere")
    first.symlink_to(tmp_path / "elsewhere")
    assert main(["resume", str(out)]) == 0
    assert f"{first} (it is a link, which a checkpoint never has): member 0 is drawn again" in capsys.readouterr().err
    assert (fields(out / "ensemble.nc") == fields(tmp_path / "whole" / "ensemble.nc")).all()


def test_another_grid_is_refused(tmp_path, capsys):
    write_conditions(tmp_path / "grid.nc", times=1)
    out = unfinished(tmp_path, output__grid="grid.nc")
    with netCDF4.Dataset(tmp_path / "grid.nc", "a") as file:
        file["vorticity"][0, 3, 3] += 1
    assert main(["resume", str(out)]) == 2
    assert "output.grid is not the file that the checkpoint in" in capsys.readouterr().err


def test_other_versions_are_said(tmp_path, capsys, monkeypatch):
    out = unfinished(tmp_path)
    monkeypatch.setattr("parampi.run.plan.versions", lambda: {"torch": "99.0"})
    assert main(["resume", str(out)]) == 0
    assert "and goes on with 99.0: the last bits of fields may differ" in capsys.readouterr().err
