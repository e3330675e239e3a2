"""Records whose seal is right and whose content is not: one line that names the file, the key and the value, no traceback."""

import json
import random
import shutil
from pathlib import Path

import netCDF4
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save

from parampi.__main__ import main
from parampi.errors import DataError
from parampi.run.checkpoint.folder import Folder
from parampi.run.checkpoint.records import SEAL, member_digest, write_record
from parampi.run.config import load
from parampi.run.job import run
from tests.small import signalled_after, write_conditions, write_project

VALUES = [None, True, 0, -1, 1.5, 10**18, "", "x", [], [1], [[1]], {}, {"a": 1}, float("inf")]
COUNT = 60
"""Mutations of each kind of record."""


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """An unfinished run with finished members and rounds, and an ensemble of cases and lead times."""
    folder = tmp_path_factory.mktemp("origin")
    write_conditions(folder / "cond.nc")
    changes = {"condition__files": "cond.nc", "condition__variables": ["vorticity"], "condition__lead_times": 2}
    config = write_project(
        folder, checkpoint__every=0.0, parallel__batch=1, sampling__members=3, condition__select=[1], **changes
    )
    run(load(config, [f"output.directory={folder / 'whole'}"]))
    with signalled_after(10):
        assert main(["run", str(config)]) == 75
    return folder


@pytest.fixture
def home(origin, tmp_path):
    """A copy of what an unfinished run left, whose inputs are where they were."""
    shutil.copytree(origin / "out", tmp_path / "out")
    return tmp_path / "out"


def record_of(path: Path) -> dict:
    record = json.loads(path.read_text())
    del record[SEAL]
    return record


def mutated(record, chance):
    """Change one to three values anywhere, or take keys out."""
    for _ in range(chance.randint(1, 3)):
        place = record
        while isinstance(place, dict | list) and place and chance.random() < 0.8:
            key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
            if not isinstance(place[key], dict | list) or not place[key]:
                break
            place = place[key]
        if not place:
            continue
        key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
        if chance.random() < 0.3:
            del place[key]
        else:
            place[key] = chance.choice(VALUES)
    return record


def told(capsys, *arguments) -> str:
    """The one line of a refusal, or what was said of a run that went on."""
    capsys.readouterr()
    code = main([str(one) for one in arguments])
    error = capsys.readouterr().err
    assert code in (0, 2, 75) and "Traceback" not in error, error
    return error


@pytest.mark.parametrize("seed", range(4))
def test_mutations_of_a_runs_record(home, tmp_path, capsys, seed):
    path = home / ".parampi-ensemble.nc" / "run.json"
    whole, chance = record_of(path), random.Random(seed)
    for _ in range(COUNT // 4):
        write_record(path, mutated(json.loads(json.dumps(whole)), chance))
        with signalled_after(1):
            error = told(capsys, "resume", home, "--trust")
        assert "run" in error


@pytest.mark.parametrize("seed", range(4))
def test_mutations_of_a_rounds_record(home, tmp_path, capsys, seed):
    (path, *_) = sorted(home.glob(".parampi-ensemble.nc/rounds/*/done.json"))
    whole, chance, folder = record_of(path), random.Random(seed), Folder.find(home)
    numbers = list(range(1 << 20, (1 << 20) + 4))
    for _ in range(COUNT // 4):
        write_record(path, mutated(json.loads(json.dumps(whole)), chance))
        folder.locations([*numbers, *whole["members"]], whole["lead"])
        folder.prune_rounds([], -1)


RECORDS = {
    "{}": ({}, "config is missing|run is missing"),
    "no output": ({"config": {}}, "config.output is no mapping with the keys of a configuration's section"),
    "an output of another kind": ({"config": {"output": "x"}}, "config.output is no mapping"),
    "a configuration of another kind": ({"config": []}, r"config = \[\]: input should be a valid dictionary"),
    "inputs of another kind": ({"inputs": ["a"]}, r"inputs = \['a'\]: input should be a valid dictionary"),
    "no versions": ({"versions": {"parampi": "1"}}, r"versions\.torch is missing"),
    "another key": ({"more": 1}, "more is not a known key"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_what_is_wrong_with_a_runs_record_is_said(home, capsys, name):
    path = home / ".parampi-ensemble.nc" / "run.json"
    changes, message = RECORDS[name]
    write_record(path, record_of(path) | changes if changes else {})
    with pytest.raises(DataError, match=rf"run\.json is damaged, or was changed by hand \(.*({message}).*\); start anew"):
        Folder.find(home).about()
    told(capsys, "resume", home)


@pytest.mark.parametrize("text", ["[]", "null", "1", "[" * 100_000, "{" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_a_record_that_is_no_record(home, capsys, text):
    (home / ".parampi-ensemble.nc" / "run.json").write_text(text)
    assert "is damaged, or was changed by hand" in told(capsys, "resume", home)


ROUNDS = {
    "no lead": ({"lead": None}, "lead = None: input should be a valid integer"),
    "no ranks": ({"ranks": 0}, "ranks = 0: input should be greater than or equal to 1"),
    "fewer digests than ranks": ({"ranks": 7}, "sha256_of_ranks has 1 digests for 7 ranks"),
    "fewer rounds than members": ({"rounds": []}, "rounds has 0 numbers for 1 members"),
}


@pytest.mark.parametrize("name", ROUNDS)
def test_a_round_that_is_none_is_passed_over_with_a_word(home, capsys, name):
    changes, message = ROUNDS[name]
    for path in home.glob(".parampi-ensemble.nc/rounds/*/done.json"):
        write_record(path, record_of(path) | changes)
    error = told(capsys, "resume", home)
    assert f"({message}" in error and "or are drawn again" in error
    assert (home / "ensemble.nc").is_file()


def test_members_that_are_none_are_drawn_again(home, capsys):
    """Of another shape, of whole numbers, with a report that lacks something."""
    (path, *_) = sorted(home.glob(".parampi-ensemble.nc/members/*.safetensors"))
    with safe_open(path, "pt") as file:
        whole, report = file.get_tensor("state"), json.loads(file.metadata()["report"])
    reasons = {
        "its field is torch.float64 of shape [1, 8]": (whole[:, 0], report),
        "its field is torch.int64 of shape [1, 8, 8]": (whole.long(), report),
        "lead is missing": (whole, {key: value for key, value in report.items() if key != "lead"}),
        "rounds = 1.5: input should be a valid integer": (whole, report | {"rounds": 1.5}),
    }
    for reason, (state, facts) in reasons.items():
        text = json.dumps(facts)
        path.write_bytes(save({"state": state.contiguous()}, {"report": text, SEAL: member_digest(state.contiguous(), text)}))
        with signalled_after(1):
            error = told(capsys, "resume", home)
        assert f"{path} ({reason}" in error and "is drawn again" in error, reason


@pytest.mark.parametrize("key", ["field.", "begin.", "number."])
@pytest.mark.parametrize("change", ["remove", "shape"])
def test_files_of_rounds_that_lack_something_are_refused(home, capsys, key, change):
    import hashlib

    for path in home.glob(".parampi-ensemble.nc/rounds/*/rank-0.safetensors"):
        tensors = load_file(path)
        for name in [name for name in tensors if name.startswith(key)]:
            value = tensors.pop(name)
            if change == "shape":
                tensors[name] = value.reshape(-1)[:1].clone()
        path.write_bytes(save(tensors))
        done = path.with_name("done.json")
        write_record(done, record_of(done) | {"sha256_of_ranks": [hashlib.sha256(path.read_bytes()).hexdigest()]})
    told(capsys, "resume", home)


def crafted(origin: Path, folder: Path, config=None, digests=None, file=None) -> Path:
    """An ensemble whose attributes or variables were changed."""
    path = folder / "crafted.nc"
    shutil.copy(origin / "whole" / "ensemble.nc", path)
    with netCDF4.Dataset(path, "a") as dataset:
        for name, change in (("parampi_config", config), ("inputs_sha256", digests)):
            tree = json.loads(dataset.getncattr(name))
            dataset.setncattr(name, json.dumps(change(tree) or tree if change else tree))
    if file:
        with netCDF4.Dataset(path, "a") as dataset:
            file(dataset)
    return path


def condition(**changes):
    return {"config": lambda tree: tree["condition"].update(changes)}


ENSEMBLES = {
    "no condition": (
        {"config": lambda tree: tree.update(condition=None)},
        "complete has the axes member, forecast_reference_time",
    ),
    "no lead times": (condition(lead_times=None), "and parampi_config is of members, 1 cases; bring"),
    "another number of cases": (condition(select=[1, 2]), "is of members, 2 cases, 2 lead times; bring"),
    "cases of another kind": (condition(select=["a"]), "condition.select.0 = 'a': input should be a valid integer"),
    "a condition of another kind": (
        {"config": lambda tree: tree.update(condition=[])},
        "parampi_config, condition = []: input s",
    ),
    "a digest of another kind": ({"digests": lambda tree: tree.update({"model.weights": [1]})}, "model.weights = [1]: input"),
    "a renamed variable": ({"file": lambda f: f.renameVariable("vorticity", "q")}, "has fields of q, which its configuration"),
    "no digests": ({"file": lambda f: f.delncattr("inputs_sha256")}, "(it has no attribute inputs_sha256); only"),
    "no configuration": ({"file": lambda f: f.delncattr("parampi_config")}, "(it has no attribute parampi_config)"),
}


@pytest.mark.parametrize("name", ENSEMBLES)
def test_what_is_wrong_with_an_ensemble_is_said(origin, tmp_path, capsys, name):
    changes, message = ENSEMBLES[name]
    path = crafted(origin, tmp_path, **changes)
    error = told(capsys, "rerun", path, "--member", 0, "--case", 1)
    assert message in error and str(path) in error and error.count("\n") == 1


def test_a_variable_of_another_shape(origin, tmp_path, capsys):
    def narrow(file):
        file.renameVariable("vorticity", "old")
        file.createDimension("few", 3)
        file.createVariable("vorticity", "f4", (*file["complete"].dimensions, "few", "x"))[:] = 0
        file.createVariable("word", "S1", (*file["complete"].dimensions, "few", "x"))

    path = crafted(origin, tmp_path, file=narrow)
    shape = told(capsys, "rerun", path, "--member", 0, "--case", 1, "--variable", "vorticity")
    assert "vorticity is float32 of shape (2, 3, 8), and its configuration draws float32 of shape (2, 8, 8)" in shape


@pytest.mark.parametrize("seed", range(2))
def test_mutations_of_an_ensembles_attributes(origin, tmp_path, capsys, seed):
    chance = random.Random(seed)
    for number in range(COUNT // 2):
        what = "config" if number % 2 else "digests"
        path = crafted(origin, tmp_path, **{what: lambda tree: mutated(tree, chance)})
        told(capsys, "rerun", path, "--member", 0, "--case", 1)
