"""Configurations that are changed at random, and by hand: each is read or refused in words, soon, whatever it says."""

import copy
import random
import time
import tracemalloc

import numpy as np
import pytest
import torch
import yaml

from parampi.errors import ConfigError, DataError, OutputError, UserError
from parampi.fields import DatasetStatistics
from parampi.fields.times import parse_duration
from parampi.run.config import load
from parampi.run.inputs import numbered, read_inputs
from parampi.run.plan import require_room
from parampi.run.user_files import is_file
from tests.small import write_project

COUNT, SOON = 400, 2.0
VALUES = (
    None, True, -1, 0, 1, 10**18, 10**400, -(10**30), 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "x", "a\0b", "x" * 300,
    "../" * 2000, ".:x", "[1]", "%s", "~", "gon\u00e9", "5h", "1e3", [], [1], ["a", 2, None], [[]], {}, {"name": "picard"},
    {1: 2}, {"schedule": []}, list(range(50)), "ddpm", "karras",
)  # fmt: skip


def places(tree, path=()):
    """All places in a tree."""
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield (*path, key)
        yield from places(tree[key], (*path, key))


def mutated(tree, chance):
    """A tree with one to three changes."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.randint(1, 3)):
        all_places = list(places(tree))
        if not all_places:
            break
        *path, last = chance.choice(all_places)
        section = tree
        for key in path:
            section = section[key]
        match chance.randrange(4):
            case 0:
                del section[last]
            case 1 if isinstance(section, dict):
                section[chance.choice([*map(str, VALUES[:8]), "steps", "name", "files", "plugins"])] = section.pop(last)
            case 2:
                other = tree
                for key in chance.choice(all_places)[:-1]:
                    other = other[key] if isinstance(other, dict | list) and key in range_of(other) else other
                section[last] = copy.deepcopy(other)
            case _:
                section[last] = copy.deepcopy(chance.choice(VALUES))
    return tree


def range_of(tree):
    return tree if isinstance(tree, dict) else range(len(tree))


def read(path, overrides=()):
    """Read a configuration and its inputs; what it was refused with, if it was."""
    begun = time.monotonic()
    try:
        read_inputs(load(path, overrides))
    except UserError as error:
        return str(error)
    finally:
        assert time.monotonic() - begun < SOON
    return ""


@pytest.fixture
def project(tmp_path):
    return write_project(
        tmp_path,
        model__arguments={"bend": 0.3},
        model__plugins=[],
        parallel__mode="fast",
        parallel__batch=2,
        checkpoint__max_walltime="1:00:00",
        output__summary=["mean"],
        output__quantiles=[0.5],
        sampling__window=4,
    )


def test_random_changes(project):
    tree, chance, refused = yaml.safe_load(project.read_text()), random.Random(12), 0
    for _ in range(COUNT):
        changed = mutated(tree, chance)
        project.write_text(yaml.safe_dump(changed, allow_unicode=True))
        refused += bool(read(project))
    assert refused > COUNT // 2


def test_random_changes_of_bytes(project):
    data, chance = project.read_bytes(), random.Random(13)
    for _ in range(COUNT):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 5)):
            damaged[chance.randrange(len(data))] = chance.choice(b"[]{}:&*!-#'\"\\ \n\t\x00\xff0a%@")
        project.write_bytes(bytes(damaged))
        read(project)


LAUGHS = "a0: &a0 [1], " + ", ".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 9))
REFUSED = {
    "sampling[0]=1": "is not a known key",
    f"model.arguments={'{a: ' * 500}1{'}' * 500}": "nested more than 64 levels deep",
    f"model.arguments={'[' * 5000}{']' * 5000}": "nested more than 64 levels deep",
    "sampling.seed=" + "9" * 5000: "a value cannot be read",
    "sampling.seed=0x" + "f" * 5000: "too many digits",
    "sampling.sigmas.steps=" + "1" + "0" * 18: "is more than the 1000000 that can be worked with",
    "sampling.members=100000000": "a run draws at most 1048576",
    "sampling.members=!!timestamp x": "could not determine a constructor",
    "sampling.members=!!int x": "a value cannot be read",
    "model.arguments={a: !!binary zzzz}": "could not determine a constructor",
    "output.ensemble=" + "x" * 300: "a name has at most 255 bytes",
    "output.report=" + "x" * 230: "at most 200 bytes",
    "output.directory=" + "x" * 300: "a name has at most 255 bytes",
    'output.directory="a\\0b"': "no file has such a name",
    "model.plugins=[" + "x" * 300 + ".py]": "there is no file",
    "checkpoint.max_walltime=" + "9" * 400 + ":00:00": "too many digits",
    "checkpoint.max_walltime='" + "9" * 400 + ":00:00'": "give seconds",
    "model.arguments={" + LAUGHS + "}": "anchors stand for more than 1000000 values",
}  # fmt: skip


@pytest.mark.parametrize("override", REFUSED, ids=lambda text: text[:40])
def test_what_no_run_can_be(project, override):
    tracemalloc.start()
    try:
        message = read(project, [override])
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    assert REFUSED[override] in message


def test_a_network_of_no_module(project):
    from parampi.run.model_loading import build_network

    for reference in (".:x", "..:x", "a..b:x", ":x", "x" * 300 + ".py:A", "a\0b.py:A", "\0:A"):
        with pytest.raises(UserError):
            build_network(reference, {})
    assert not is_file(project.with_name("x" * 300))


def test_members_of_many_cases_are_counted_before_they_are_listed():
    with pytest.raises(ConfigError, match="60000 members of 60000 cases are 3600000000, and a run draws at most"):
        numbered(list(range(60000)), list(range(60000)))


def test_an_ensemble_larger_than_the_disk_is_refused(tmp_path):
    require_room(tmp_path, 1)
    with pytest.raises(OutputError, match=r"needs 1e\+09 GB, and the disk of .* free"):
        require_room(tmp_path, 10**18)


def test_durations():
    assert parse_duration("5h") == (5.0, "hours") == parse_duration(" 5 hours ")
    assert parse_duration("1.5e1 min") == (15.0, "minutes")
    for text in ("h", "5", "5 weeks", "nan h", "-1 h", "1e999h", "\u0665 h"):
        with pytest.raises(DataError, match=r"condition\.lead_step"):
            parse_duration(text)


def test_a_tensor_is_no_array(tmp_path):
    write_project(tmp_path)
    statistics = DatasetStatistics.from_file(tmp_path / "statistics.nc")
    for change in (statistics.normalise, statistics.restore):
        with pytest.raises(DataError, match="fields are a Tensor; give a NumPy array"):
            change(torch.zeros(1, 8, 8))
        change(np.zeros((1, 8, 8)))
