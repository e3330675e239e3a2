"""`parampi check` and `parampi merge`: problems of an ensemble are named, and one plain file is the same ensemble."""

import shutil

import netCDF4
import numpy as np
import pytest
import xarray

from parampi.__main__ import main
from parampi.commands.main import USER_ERROR
from parampi.errors import DataError, OutputError
from parampi.fields import MemberFacts, NetCDFStore
from parampi.fields.stores.check import check
from parampi.fields.stores.content import Content
from parampi.fields.stores.merge import merge
from parampi.fields.stores.parts import part_name, parts_folder
from parampi.fields.stores.virtual import join_parts
from tests.fields.schemas import schema_of
from tests.fields.stores.test_virtual import assert_equal, gathered, header, written

FACTS = MemberFacts(5, 2, 3, 1e-3)


@pytest.fixture
def joint(tmp_path, statistics):
    """Nine members in three parts, the parts marked as those of one ensemble."""
    numbers, attributes = list(range(9)), {"parampi_ensemble": "abcdefghijk"}
    schema = schema_of(statistics, numbers, 5, attributes=attributes)
    parts = [part_name(tmp_path / "e.nc", "abcdefgh", part) for part in range(3)]
    for k, path in enumerate(parts):
        with NetCDFStore(
            path, schema_of(statistics, numbers[3 * k : 3 * k + 3], 5, attributes=attributes), summarised=False
        ) as store:
            for number in numbers[3 * k : 3 * k + 3]:
                store.write(number, np.random.default_rng(number).normal(size=statistics.shape), FACTS)
    join_parts(tmp_path / "e.nc", schema, parts, schema.new_summary())
    return tmp_path / "e.nc", parts


def test_nothing_is_wrong(joint):
    findings = check(joint[0])
    assert findings.problems == [] and findings.facts[0].endswith("u, T; 9 of 9 fields finished")
    assert len(findings.facts) == 4 and "e.nc.parts/abcdefgh-00002.nc" in findings.facts[3]


def problem(path):
    problems = check(path).problems
    with pytest.raises(DataError, match="cannot be merged"):
        merge([path], path.with_name("m.nc"))
    assert not path.with_name("m.nc").exists()
    return problems


def test_a_part_that_is_missing(joint):
    path, parts = joint
    parts[1].unlink()
    first, *others = problem(path)
    assert first == f"{parts[1]} is missing: its members read as NaN; copy the folder of parts along with the joint file"
    assert others == [
        "u of member 3; member 4; member 5 is NaN everywhere",
        "T of member 3; member 4; member 5 is NaN everywhere",
    ]


def test_a_joint_file_without_its_parts(joint):
    shutil.rmtree(parts_folder(joint[0]))
    assert len(problem(joint[0])) == 5


def test_a_part_that_is_truncated(joint):
    path, parts = joint
    data = parts[2].read_bytes()
    parts[2].write_bytes(data[: len(data) // 2])
    assert problem(path)[0].startswith(f"{parts[2]} is damaged or truncated (")


def test_a_part_that_is_empty(joint):
    path, parts = joint
    parts[0].write_bytes(b"")
    assert "is damaged or truncated" in problem(path)[0]


def test_a_part_of_another_ensemble(joint, statistics):
    path, parts = joint
    with NetCDFStore(
        parts[0], schema_of(statistics, [0, 1, 2], 5, attributes={"parampi_ensemble": "other"}), overwrite=True
    ) as store:
        store.write(0, np.zeros(statistics.shape), FACTS)
    assert f"{parts[0]} is of another ensemble than the joint file; restore the file that was there" in problem(path)


def test_a_part_of_another_shape(joint, statistics):
    path, parts = joint
    with NetCDFStore(
        parts[0], schema_of(statistics, [0, 1], 5, attributes={"parampi_ensemble": "abcdefghijk"}), overwrite=True
    ) as store:
        store.write(0, np.zeros(statistics.shape), FACTS)
    assert any("u has shape (2, 6, 8); the joint file reads (3, 6, 8) of it" in line for line in problem(path))


def test_damaged_values_are_found_by_their_checksum(joint):
    path, parts = joint
    with netCDF4.Dataset(parts[1]) as file:
        value = file["u"][1].tobytes()
    data = parts[1].read_bytes()
    assert data.count(value) == 1
    at = data.index(value) + 17
    parts[1].write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert check(path).problems == ["u of member 4 cannot be read: its data are damaged"]


def test_members_that_were_never_finished(tmp_path, statistics):
    with pytest.raises(RuntimeError), NetCDFStore(tmp_path / "e.nc", schema_of(statistics, [0, 1, 2], 5)) as store:
        store.write(1, np.zeros(statistics.shape), FACTS)
        raise RuntimeError
    assert check(tmp_path / "e.nc").problems == ["2 fields were never finished"]
    with NetCDFStore(tmp_path / "one.nc", schema_of(statistics, [0, 1], 5)) as store:
        store.write(1, np.zeros(statistics.shape), FACTS)
    assert check(tmp_path / "one.nc").problems == ["1 field was never finished"]


def test_holes(tmp_path, statistics):
    with NetCDFStore(tmp_path / "e.nc", schema_of(statistics, [0, 1, 2], 5)) as store:
        for number in (0, 1, 2):
            fields = np.ones(statistics.shape)
            fields[:, 0] = np.nan
            fields[0, 3, number] = np.nan if number else 1.0
            store.write(number, fields, FACTS)
    assert check(tmp_path / "e.nc").problems == [
        "u of member 1; member 2 lacks values where other members have them, or has values where they lack"
    ]


def test_the_command(joint, capsys):
    path, parts = joint
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.endswith("no problem was found\n")
    parts[1].unlink()
    assert main(["check", str(path)]) == USER_ERROR
    output = capsys.readouterr()
    assert "problem: " in output.out and output.err == f"parampi: {path} has 3 problems\n"
    assert main(["check", str(parts[0].with_name("no.nc"))]) == USER_ERROR


@pytest.mark.parametrize("which", ["members", "cases and lead times"])
def test_one_plain_file(tmp_path, statistics, which):
    path, _ = written(tmp_path, statistics, which, 3)
    merged = merge([path], tmp_path / "m.nc")
    assert (merged.dropped, merged.finished) == ([], merged.fields)
    shutil.rmtree(parts_folder(path))
    assert_equal(tmp_path / "m.nc", gathered(tmp_path, statistics, which))


def test_compressed(tmp_path, statistics):
    path, _ = written(tmp_path, statistics, "members", 3)
    merge([path], tmp_path / "m.nc", compression=5)
    with netCDF4.Dataset(tmp_path / "m.nc") as file:
        assert file["u"].filters()["zlib"] and file["u"].filters()["complevel"] == 5 and file["u"].filters()["fletcher32"]


def ensemble(path, statistics, numbers, **attributes):
    with NetCDFStore(
        path,
        schema_of(statistics, numbers, attributes.pop("seed", 5), attributes=attributes, content=Content(summary=("mean",))),
    ) as store:
        for number in numbers:
            store.write(number, np.random.default_rng(number).normal(size=statistics.shape), FACTS)
    return path


def test_the_parts_of_a_job_array(tmp_path, statistics, capsys):
    config = '{"sampling": {"members": %s}}'
    first = ensemble(tmp_path / "a.nc", statistics, [0, 1], parampi_config=config % "[0, 1]", ranks=2)
    second = ensemble(tmp_path / "b.nc", statistics, [5, 4], parampi_config=config % "[5, 4]", ranks=4)
    assert main(["merge", str(first), str(second), "--output", str(tmp_path / "m.nc")]) == 0
    output = capsys.readouterr().out
    assert "4 members, 4 of 4 fields finished; left out, as not true of all members: u_mean, T_mean" in output
    with xarray.open_dataset(tmp_path / "m.nc") as file:
        assert file["realization"].values.tolist() == [0, 1, 5, 4] and "u_mean" not in file
        assert file.attrs["parampi_config"] == '{"sampling": {"members": [0, 1, 5, 4]}}' and file.attrs["parampi_complete"] == 1
        expected = np.random.default_rng(4).normal(size=statistics.shape).astype(np.float32)
        np.testing.assert_array_equal(file["T"].values[3], expected[1])
    assert not check(tmp_path / "m.nc").problems
    assert header(tmp_path / "m.nc")[0]["member"] == 4


def test_a_file_whose_run_is_not_finished_is_waited_for(tmp_path, capsys):
    (tmp_path / ".parampi-e.nc").mkdir()
    assert main(["check", str(tmp_path / "e.nc")]) == 2
    assert f"parampi resume {tmp_path}" in " ".join(capsys.readouterr().err.split())
    assert main(["check", str(tmp_path / "other.nc")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_run_s_folder_stands_for_its_ensembles(tmp_path, statistics, capsys):
    assert main(["check", str(tmp_path)]) == USER_ERROR
    assert "is a folder without an ensemble" in capsys.readouterr().err
    statistics.save(tmp_path / "statistics.nc")
    ensemble(tmp_path / "e.nc", statistics, [0, 1])
    (tmp_path / "report.json").write_text("{}")
    assert main(["check", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert output.startswith(f"{tmp_path / 'e.nc'}: u, T; 2 of 2 fields finished") and "statistics" not in output
    (tmp_path / "damaged.nc").write_bytes((tmp_path / "e.nc").read_bytes()[:1000])
    checkpoint = tmp_path / ".parampi-later.nc"
    checkpoint.mkdir()
    for name in ("parampi-lock", "run.json"):
        (checkpoint / name).touch()
    assert main(["check", str(tmp_path)]) == USER_ERROR
    output = capsys.readouterr()
    problems = [line for line in output.out.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 2 and "damaged.nc" in problems[0] and "later.nc is not written yet" in problems[1]
    assert "e.nc: u, T; 2 of 2" in output.out and output.err == f"parampi: {tmp_path} has 2 problems\n"


def test_a_merged_file_with_gaps_says_so(tmp_path, statistics, capsys):
    with NetCDFStore(tmp_path / "a.nc", schema_of(statistics, [0, 1], 5)) as store:
        store.write(1, np.zeros(statistics.shape), FACTS)
    assert main(["merge", str(tmp_path / "a.nc"), "--output", str(tmp_path / "m.nc")]) == 0
    told = capsys.readouterr().out
    assert "1 of 2 fields finished" in told and "has gaps where fields are not finished" in told


@pytest.mark.parametrize(
    ("numbers", "attributes", "words"),
    [
        ([1, 2], {}, r"member 1 is in .*a\.nc and in .*b\.nc; merge files of different members"),
        ([2, 3], {"weights_sha256": "x"}, r"b\.nc has another weights_sha256 than .*a\.nc"),
    ],
)
def test_what_does_not_fit_together(tmp_path, statistics, numbers, attributes, words):
    first = ensemble(tmp_path / "a.nc", statistics, [0, 1], **({"weights_sha256": "y"} if attributes else {}))
    second = ensemble(tmp_path / "b.nc", statistics, numbers, **attributes)
    with pytest.raises(DataError, match=words):
        merge([first, second], tmp_path / "m.nc")


def test_other_variables(tmp_path, statistics):
    first = ensemble(tmp_path / "a.nc", statistics, [0])
    with NetCDFStore(tmp_path / "b.nc", schema_of(statistics, [1], 5, content=Content(("u",)))) as store:
        store.write(1, np.zeros(statistics.shape), FACTS)
    for both in ([first, tmp_path / "b.nc"], [tmp_path / "b.nc", first]):
        with pytest.raises(DataError, match=r"b\.nc has no T, which .*a\.nc has; merge ensembles of one kind"):
            merge(both, tmp_path / "m.nc")


def test_an_output_that_exists(tmp_path, statistics):
    first = ensemble(tmp_path / "a.nc", statistics, [0])
    with pytest.raises(OutputError, match=r"a\.nc exists; allow overwriting"):
        merge([first], first)
