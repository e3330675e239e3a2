"""The JSON Schema of reports: takes what runs write, refuses what they do not, and says what each key means."""

import copy
import json

import pytest
from jsonschema import Draft202012Validator

from parampi.commands import main as commands
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.report_schema import report_schema
from tests.small import write_conditions, write_project

SCHEMA = report_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a small roll-out of two starts."""
    folder = tmp_path_factory.mktemp("reported")
    write_conditions(folder / "c.nc")
    condition = {"files": "c.nc", "variables": ["vorticity"], "lead_times": 2, "select": [0, 1]}
    run(load(write_project(folder, sampling__members=2, **{f"condition__{key}": value for key, value in condition.items()})))
    return json.loads((folder / "out" / "report.json").read_text())


def wrong(report):
    return [error.json_path for error in VALIDATOR.iter_errors(report)]


def test_it_is_a_schema_that_takes_what_a_run_writes(report):
    Draft202012Validator.check_schema(SCHEMA)
    assert wrong(report) == []
    assert report.keys() == SCHEMA["properties"].keys() == set(SCHEMA["required"])


def test_a_run_that_draws_nothing_has_a_report_that_is_json(report):
    nothing = report | {"rounds": 0, "serial_rounds": 0, "speedup": None, "redundancy": None, "members": [], "timing": None}
    assert wrong(nothing) == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda r: r.pop("rounds"), "$"),
        (lambda r: r.update(round=3), "$"),
        (lambda r: r.update(evaluations="many"), "$.evaluations"),
        (lambda r: r["members"][1].pop("error"), "$.members[1]"),
        (lambda r: r["timing"].update(hosts="here"), "$.timing"),
        (lambda r: r["config"]["sampling"].update(windo=4), "$.config.sampling"),
        (lambda r: r["seconds"][0].update(network=None), "$.seconds[0].network"),
        (lambda r: r["timeline"][0][0].append("late"), "$.timeline[0][0][4]"),
    ],
)
def test_what_no_run_writes_is_refused(report, change, path):
    changed = copy.deepcopy(report)
    change(changed)
    assert wrong(changed) == [path]


def test_the_verb_prints_it_with_what_every_key_means(capsys):
    commands.commands.main(["schema", "--report"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == SCHEMA
    described = [*SCHEMA["properties"].items(), *SCHEMA["$defs"]["Timing"]["properties"].items()]
    assert [name for name, node in described if "description" not in node and "$ref" not in node] == []
