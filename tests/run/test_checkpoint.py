"""Checkpoint files: what is whole, what is damaged, whose they are, and who may write them."""

import json
import os
import subprocess
import sys

import pytest
import torch

from parampi import ConfigError, sigmas
from parampi.engine import snapshot
from parampi.errors import DataError, OutputError
from parampi.fields.atomic_files import write_whole
from parampi.report import MemberReport
from parampi.run.checkpoint.folder import REMEDY, Folder, differences, same_run
from parampi.run.checkpoint.hook import CheckpointHook
from parampi.run.checkpoint.writer import CheckpointWriter, read_snapshot
from parampi.run.stop_request import StopRequest
from parampi.run.watchdog import Watchdog
from parampi.samplers import DDPM
from parampi.solvers import Spectral
from tests.engines import REGIMES, chain, engine
from tests.small import run_record

CONFIG = {"sampling": {"seed": 1, "members": 3}, "parallel": {"mode": "fast"}, "output": {"directory": "a"}}
INPUTS = {"model.weights": "abc"}
REPORT = MemberReport(7, 5, 60, 0.25, 1e-3, "converged")


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path, "e.nc")
    made.lock()
    made.begin(run_record(CONFIG, INPUTS))
    yield made
    made.release()


def kept(folder, rounds):
    """An engine after some rounds, each of them kept."""
    run = engine(chain(REGIMES, DDPM(), sigmas.vp_linear(16), members=[4, 2]), Spectral())
    keeper = CheckpointWriter(folder, 0.0)
    for _ in range(rounds):
        run.advance()
        assert keeper.keep(run), keeper.trouble
    return run, keeper


def test_finished_members_come_back_as_they_were(folder):
    state = torch.randn(2, 3, dtype=torch.float64)
    folder.keep(state, REPORT)
    found, report = folder.member(7)
    assert torch.equal(found, state) and report == REPORT and folder.finished([6, 7, 8]) == [7]


def test_a_member_that_is_not_whole_is_drawn_again(folder):
    folder.keep(torch.ones(50, 50), REPORT)
    path = folder.members / "7.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert folder.finished([7]) == []
    path.write_bytes(b"")
    assert folder.finished([7]) == []


def test_two_rounds_are_kept_and_the_latest_is_taken(folder):
    run, keeper = kept(folder, 4)
    assert sorted(folder.rounds.iterdir()) == sorted(keeper.kept) and len(keeper.kept) == 2
    locations = folder.locations([2, 4, 9])
    assert set(locations) == {"2", "4"} and locations["4"][0] == str(keeper.kept[-1])
    again = engine(run.problem, Spectral())
    snapshot.restore(again, [read_snapshot(locations["4"]), read_snapshot(locations["2"])])
    assert (again.first == run.first).all() and (again.history.rounds == run.history.rounds).all()
    assert torch.equal(again.run(), run.run())


def damage_rank(path):
    data = bytearray((path / "rank-0.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    (path / "rank-0.safetensors").write_bytes(data)


DAMAGES = {
    "a bit": damage_rank,
    "truncated": lambda path: os.truncate(path / "rank-0.safetensors", 1000),
    "a file gone": lambda path: (path / "rank-0.safetensors").unlink(),
    "not finished": lambda path: (path / "done.json").unlink(),
    "no JSON": lambda path: (path / "done.json").write_text("{"),
    "JSON of something else": lambda path: (path / "done.json").write_text("[]"),
    "empty": lambda path: (path / "done.json").write_text(""),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_round_is_passed_over_for_the_one_before(folder, damage):
    _, keeper = kept(folder, 3)
    damage(keeper.kept[-1])
    assert folder.whole(keeper.kept[-1]) is None
    assert folder.locations([4])["4"][0] == str(keeper.kept[0])
    damage(keeper.kept[0])
    assert folder.locations([4]) == {}


def test_rounds_of_finished_members_are_removed(folder):
    kept(folder, 2)
    folder.prune_rounds([4])
    assert len(list(folder.rounds.iterdir())) == 2
    folder.prune_rounds([4, 2])
    assert not list(folder.rounds.iterdir())


def test_what_decides_fields_and_files_is_compared():
    elsewhere = {**CONFIG, "parallel": {"mode": "bitwise"}, "output": {"directory": "b"}, "checkpoint": {"every": 1}}
    assert differences(CONFIG, elsewhere) == []
    report = {**CONFIG, "output": {"directory": "a", "report": "another.json"}}
    assert differences(CONFIG, report) == ["output.report (missing in the checkpoint)"]
    assert differences(report, CONFIG) == ["output.report (missing in the configuration)"]
    assert differences(CONFIG, {**CONFIG, "sampling": {"seed": 2, "members": True}}) == ["sampling.members", "sampling.seed"]
    assert differences(CONFIG, {**CONFIG, "condition": None}) == ["condition (missing in the checkpoint)"]


def test_another_configuration_is_refused(folder):
    same_run(folder, CONFIG, INPUTS)
    with pytest.raises(ConfigError, match=r"is of another configuration: other values of sampling\.seed; go on without these"):
        same_run(folder, {**CONFIG, "sampling": {"seed": 2, "members": 3}}, INPUTS)
    with pytest.raises(
        ConfigError,
        match=r"model\.weights is not the file that the checkpoint in .* began with \(its digest is another one\); b",
    ):
        same_run(folder, CONFIG, {"model.weights": "abd"})
    with pytest.raises(ConfigError, match=r"data\.statistics is not the file .* \(.*run\.json has no digest of it\); bring"):
        same_run(folder, CONFIG, {**INPUTS, "data.statistics": "abc"})
    with pytest.raises(ConfigError, match=r"model\.weights is not the file .* \(there is none now\); bring that one back"):
        same_run(folder, CONFIG, {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "holds no unfinished run"), ("", "is damaged"), ("{}", "is damaged"), ("[1]", "is damaged"),
        (json.dumps({"config": CONFIG, "digest": "0", "inputs": {}}), "was changed by hand"),
    ],
)  # fmt: skip
def test_what_is_drawn_must_be_readable(folder, text, told):
    path = folder.path / "run.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(DataError, match=told) as caught:
        folder.about()
    assert REMEDY in str(caught.value)


HOLD = """
import sys
from parampi.run.checkpoint.folder import Folder
folder = Folder(sys.argv[1], "e.nc")
folder.lock()
print("held", flush=True)
sys.stdin.read()
"""


def test_two_jobs_on_one_folder_are_locked_out(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=f"another job is drawing into {tmp_path}; wait for it, or choose another folder"):
            Folder(tmp_path, "e.nc").lock()
        job.kill()
    folder = Folder(tmp_path, "e.nc")
    folder.lock()  # a job that was killed holds nothing
    folder.release()


def test_a_full_disk_costs_the_checkpoint_not_the_run(folder, monkeypatch):
    run = engine(chain(REGIMES, DDPM(), sigmas.vp_linear(16), members=2), Spectral())
    run.advance()

    def full(path, data):
        raise OutputError(f"{path} cannot be written (No space left on device); is the disk full?")

    monkeypatch.setattr("parampi.run.checkpoint.writer.write_whole", full)
    keeper = CheckpointWriter(folder, 0.0)
    assert not keeper.keep(run) and "No space left" in keeper.trouble
    assert not list(folder.rounds.iterdir())
    run.run()


def test_a_round_that_could_not_be_kept_is_told(folder, monkeypatch, capsys):
    run = engine(chain(REGIMES, DDPM(), sigmas.vp_linear(16), members=2), Spectral())
    run.advance()
    monkeypatch.setattr(CheckpointWriter, "keep", lambda self, *_: False)
    assert not CheckpointHook(Watchdog(StopRequest()), CheckpointWriter(folder, 0.0)).after(run)
    assert "this round was not kept (another rank could not write); the run goes on" in capsys.readouterr().err


def test_writing_is_whole_or_not_at_all(tmp_path):
    write_whole(tmp_path / "a", b"one")
    with pytest.raises(OutputError, match=r"no such folder|No such file|is there such a folder"):
        write_whole(tmp_path / "nowhere" / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"one" and [p.name for p in tmp_path.iterdir()] == ["a"]


def test_checkpoints_take_a_small_share_of_the_time(folder):
    keeper = CheckpointWriter(folder, every=0.0)
    keeper.cost, keeper.last = 10.0, keeper.last - 100.0
    assert not keeper.due()
    keeper.last -= 101.0
    assert keeper.due()


def test_time_is_up_before_a_round_would_not_fit():
    stop = StopRequest(seconds=10.0)
    assert not stop.over(1.0) and stop.over(10.5) and not StopRequest().over(1e9)
    guard = CheckpointHook(Watchdog(StopRequest(seconds=1e-9)))
    run = engine(chain(REGIMES, DDPM(), sigmas.vp_linear(16), members=2), Spectral())
    run.advance()
    assert guard.after(run) and guard.stopped
