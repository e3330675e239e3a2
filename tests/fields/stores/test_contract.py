"""The stores' contract: every registered store must behave as the one in memory does."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from parampi.errors import ConfigError, OutputError
from parampi.fields import STORES, MemberFacts, MemoryStore, StoreTarget, open_ensemble
from parampi.parallel import Layout
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.output import EnsembleOutput, choose_mode, store_class, writing_ranks
from tests.fields.schemas import schema_of
from tests.small import write_project

MEMBERS = [4, 0, 7]
FACTS = {4: MemberFacts(11, 5, 90, 1e-3, 2.5), 0: MemberFacts(11, 6, 80, 2e-4), 7: MemberFacts(11, 7, 70, 0.0)}


class Memory:
    """The reference, and how it is read back: fields and facts by member, and whether it is complete."""

    def __init__(self, statistics, folder, members=MEMBERS):
        self.store = MemoryStore(schema_of(statistics, members, 11))

    def read(self):
        return self.store.fields, self.store.facts, self.store.complete


class Registered:
    """A registered store, opened and closed as a run does on one rank; its file is read by the names of its variables."""

    def __init__(self, name, statistics, folder, members=MEMBERS):
        self.path, self.names = folder / f"ensemble{store_class(name).ending}", statistics.names
        target = StoreTarget(self.path, schema_of(statistics, members, 11), "abcdefgh")
        self.output = EnsembleOutput(target, name).__enter__()
        self.store = self

    def write(self, member, fields, facts):
        self.output.write(member, fields, facts)

    def close(self, complete):
        if self.output.store.is_open:
            self.output.close(complete)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.output.__exit__(*error)

    def read(self):
        if not self.path.exists():
            return {}, {}, None
        with open_ensemble(self.path) as file:
            rows = {int(m): row for row, m in enumerate(file["realization"][:]) if file["complete"][row]}
            fields = {m: np.stack([np.ma.filled(file[name][row], np.nan) for name in self.names]) for m, row in rows.items()}
            numbers = ("seed", "rounds", "evaluations", "residual", "bistable")
            facts = {m: MemberFacts(*(file[name][row].item() for name in numbers)) for m, row in rows.items()}
            return fields, facts, bool(file.parampi_complete)


@pytest.fixture(params=["memory", *STORES])
def kind(request, monkeypatch):
    if request.param == "memory":
        return Memory
    if store_class(request.param).collective:
        write_alone(monkeypatch, store_class(request.param))
    return lambda *arguments: Registered(request.param, *arguments)


def write_alone(monkeypatch, store):
    """Have one process write what several ranks write at once, for which h5py need not be built with MPI."""
    file = h5py.File
    monkeypatch.setattr(h5py, "File", lambda name, mode="r", driver=None, comm=None: file(name, mode))
    monkeypatch.setattr(store, "open", classmethod(lambda cls, target, rank, comm: cls(target.path, target.schema, comm)))


@pytest.fixture
def kept(kind, statistics, tmp_path):
    return kind(statistics, tmp_path)


def check(kept, samples, members, complete):
    fields, facts, marked = kept.read()
    assert set(fields) == set(facts) == set(members) and marked is complete
    for m in members:
        assert facts[m] == FACTS[m]
        np.testing.assert_array_equal(fields[m], samples[m])


def test_members_come_in_any_order(kept, samples):
    with kept.store as store:
        for m in (7, 4, 0):
            store.write(m, samples[m], FACTS[m])
    check(kept, samples, MEMBERS, True)


def test_fields_are_kept_in_single_precision_and_not_by_reference(kept, samples):
    field = samples[4].astype(np.float64)
    kept.store.write(4, field, FACTS[4])
    field[:] = 0
    kept.store.close(complete=False)
    assert kept.read()[0][4].dtype == np.float32
    check(kept, samples, [4], False)


def test_writing_again_replaces(kept, samples):
    kept.store.write(4, samples[0], FACTS[0])
    kept.store.write(4, samples[4], FACTS[4])
    kept.store.close(complete=False)
    check(kept, samples, [4], False)


def test_closing_twice_changes_nothing(kept, samples):
    kept.store.write(0, samples[0], FACTS[0])
    kept.store.close(complete=False)
    kept.store.close(complete=True)
    check(kept, samples, [0], False)


def test_an_ensemble_that_lacks_members_is_not_complete_whatever_is_said(kept, samples):
    kept.store.write(0, samples[0], FACTS[0])
    kept.store.close(complete=True)
    check(kept, samples, [0], False)


def test_an_error_keeps_what_is_finished(kept, samples):
    with pytest.raises(KeyboardInterrupt), kept.store as store:
        store.write(7, samples[7], FACTS[7])
        raise KeyboardInterrupt
    check(kept, samples, [7], False)


def test_an_error_before_the_first_member_leaves_nothing(kept, samples, tmp_path):
    with pytest.raises(RuntimeError, match="early"), kept.store:
        raise RuntimeError("early")
    check(kept, samples, [], None)
    assert list(tmp_path.iterdir()) == []


def test_nothing_comes_after_closing(kept, samples):
    kept.store.close(complete=False)
    with pytest.raises(OutputError, match="member 4 comes after"):
        kept.store.write(4, samples[4], FACTS[4])


def test_other_members_and_shapes_are_refused(kept, samples):
    with pytest.raises(OutputError, match="member 1 is not one of this ensemble's members 4, 0, 7"):
        kept.store.write(1, samples[1], FACTS[0])
    with pytest.raises(OutputError, match=r"member 4 has fields of shape \(1, 6, 8\); expected \(2, 6, 8\)"):
        kept.store.write(4, samples[4, :1], FACTS[4])


@pytest.mark.parametrize("members", [[], [1, 1]])
def test_members_must_be_different_numbers(kind, statistics, tmp_path, members):
    with pytest.raises(OutputError, match="different numbers"):
        kind(statistics, tmp_path, members)
    assert list(tmp_path.iterdir()) == []


PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "own-store.md"


@pytest.fixture
def page_store(monkeypatch):
    """The store that the documentation writes, registered until the test ends."""
    monkeypatch.setitem(STORES, "arrays", None)
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    exec(compile(block, str(PAGE), "exec"), names)
    return names["ArrayStore"]


def test_a_store_of_a_user_is_found_by_its_name(page_store, statistics, samples, tmp_path):
    assert store_class("arrays") is page_store and writing_ranks("arrays", [Layout.plan(4, 4, 1)]) == [0]
    target = StoreTarget(tmp_path / "e.npz", schema_of(statistics, MEMBERS, 11), "abcdefgh")
    with EnsembleOutput(target, "arrays") as output:
        for member in MEMBERS:
            output.write(member, samples[member], FACTS[member])
    with np.load(target.path) as file:
        np.testing.assert_array_equal(file["member 7"], samples[7])
        assert len(file.files) == 3
    assert list(tmp_path.iterdir()) == [target.path]


def test_a_run_writes_into_a_store_of_a_user(page_store, tmp_path):
    run(load(write_project(tmp_path, output__mode="arrays", output__ensemble="e.npz")))
    with np.load(tmp_path / "out" / "e.npz") as file:
        assert sorted(file.files) == [f"member {k}" for k in range(4)] and file["member 0"].shape == (1, 8, 8)


def test_a_name_that_no_store_has():
    with pytest.raises(ConfigError, match="there is no store 'gathr'; did you mean 'gather'"):
        store_class("gathr")


@pytest.mark.parametrize(
    ("groups", "size", "mode", "ranks"),
    [
        (1, 2**40, "gather", [0]), (2, 2**20, "merged", [0, 2]), (2, 2**32, "merged", [0, 2]),
        (2, 2**32 + 1, "virtual", [0, 2]), (4, 2**40, "virtual", [0, 1, 2, 3]),
    ],
)  # fmt: skip
def test_auto_is_one_file_unless_it_is_large(groups, size, mode, ranks):
    layouts = [Layout.plan(4, 4, 4 // groups)]
    assert choose_mode("auto", layouts, size) == mode and choose_mode("gather", layouts, size) == "gather"
    assert writing_ranks(mode, layouts) == ranks
