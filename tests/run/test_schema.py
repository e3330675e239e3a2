"""The JSON Schema of configurations: takes what parampi takes, refuses what it refuses, and says what every key means."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from parampi.commands import main as commands
from parampi.run.config.schema import schema
from tests.small import write_project

EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/*/*.yaml"))
SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", [path for path in EXAMPLES if "sampling" in path.read_text()], ids=lambda p: p.parent.name)
def test_the_examples_fit(path):
    assert not list(VALIDATOR.iter_errors(yaml.safe_load(path.read_text())))


def test_short_forms_and_plugins_fit(tmp_path):
    config = yaml.safe_load(write_project(tmp_path).read_text())
    config |= {"parallel": "auto", "checkpoint": {"max_walltime": "1:30:00"}}
    config["model"] |= {"prepare": "hooks.py:prepare", "clock": {"name": "mine"}}
    config["sampling"]["solver"] = {"name": "of_a_plugin", "option": 3}
    assert not list(VALIDATOR.iter_errors(config))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("sampling", "windo", 4),
        ("sampling", "window", 0),
        ("sampling", "tolerance", "small"),
        ("sampling", "sampler", None),
        ("model", "shape", [4]),
        ("model", "compile", "fast"),
        ("parallel", "mode", "fastest"),
        ("output", "compression", 10),
    ],
)
def test_what_a_run_refuses_does_not_fit(tmp_path, section, key, value):
    config = yaml.safe_load(write_project(tmp_path).read_text())
    config.setdefault(section, {})[key] = value
    assert next(error.json_path for error in VALIDATOR.iter_errors(config)).startswith(f"$.{section}")


def test_the_verb_prints_it_with_what_keys_mean(capsys):
    commands.commands.main(["schema"], standalone_mode=False)
    printed = json.loads(capsys.readouterr().out)
    assert printed == SCHEMA
    window = printed["$defs"]["Sampling"]["properties"]["window"]["description"]
    assert window.startswith("points swept together") and "](" not in json.dumps(printed)
