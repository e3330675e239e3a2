"""Configurations: what is accepted, what is refused and in which words."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from parampi import ConfigError, samplers, sigmas, solvers
from parampi.basis import BASES
from parampi.fields import STORES
from parampi.fields.json_text import to_json
from parampi.run.config import RunConfig, build, load, resolved
from parampi.run.config.choices import CHOICES
from parampi.run.config.yaml_file import parse
from tests.small import write_project

EXAMPLE: dict[str, Any] = {
    "model": {"network": "net.py:Net", "weights": "w.safetensors", "predicts": "edm", "shape": [1, 8, 8]},
    "data": {"statistics": "statistics.nc"},
    "sampling": {
        "members": 4,
        "sigmas": {"schedule": "karras", "steps": 10},
        "sampler": {"name": "ddim", "eta": 0.5},
        "solver": {"name": "picard", "advance": "block"},
    },
    "output": {"directory": "out"},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "run.yaml"
    target.write_text(yaml.safe_dump(EXAMPLE))
    return target


def test_choices_become_objects(path: Path) -> None:
    config = load(path)
    assert build(config, "sampler") == samplers.DDIM(eta=0.5)
    assert build(config, "solver") == solvers.Picard(advance="block")
    assert torch.equal(build(config, "sigmas"), sigmas.karras(10))


REQUIRED = {
    "log_uniform": {"steps": 8, "sigma_min": 0.1, "sigma_max": 9.0},
    "piadm": {"blocks": 2, "steps_per_block": 3, "horizon": 5.0},
    "explicit": {"values": [2, 1.0]},
}
"""Options without a default, by the name of a schedule; of others, `steps`."""
LEVELS = torch.tensor([0.1, 1.0, 10.0])


def in_ranks(config: RunConfig) -> RunConfig:
    """The configuration as other ranks, a checkpoint and an ensemble file have it."""
    tree = json.loads(to_json(config.as_dict()), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    read = resolved(tree, [], "the file")
    assert read == config == resolved(config.as_dict(), [], "rank 0")
    return read


@pytest.mark.parametrize(("option", "name"), [(option, name) for option, choice in CHOICES.items() for name in choice.registry])
def test_every_registered_choice_can_be_configured_and_reaches_all_ranks(path: Path, option: str, name: str) -> None:
    choice = CHOICES[option]
    arguments: dict[str, Any] = dict(REQUIRED.get(name, {"steps": 8})) if option == "sigmas" else {}
    if name in ("alphas_cumprod", "vp_table"):
        np.save(path.parent / "alphas.npy", sigmas.vp_cosine_alphas_cumprod(10).numpy())
        arguments["file"] = str(path.parent / "alphas.npy")
    config = load(path, [f"{choice.section}.{option}={ {choice.key: name, **arguments} }"])
    made, direct = build(in_ranks(config), option), choice.registry[name](**arguments)
    if option == "clock":
        made, direct = made(LEVELS), direct(LEVELS)
    assert torch.equal(made, direct) if isinstance(made, torch.Tensor) else made == direct


@pytest.mark.parametrize("name", [*STORES, "auto"])
def test_every_store_can_be_configured_and_reaches_all_ranks(path: Path, name: str) -> None:
    assert in_ranks(load(path, [f"output.mode={name}"])).output.mode == name


@pytest.mark.parametrize("name", BASES)
def test_every_basis_can_be_configured_and_reaches_all_ranks(path: Path, name: str) -> None:
    config = load(path, ["sampling.solver.name=spectral", f"sampling.solver.basis={name}"])
    assert build(in_ranks(config), "solver") == solvers.Spectral(basis=name)


def test_infinite_numbers_reach_all_ranks(path: Path) -> None:
    overrides = ["sampling.sampler={name: edm, s_tmax: .inf}", "model.arguments={most: [.inf, {least: -.inf}], word: Infinity}"]
    config = in_ranks(load(path, overrides))
    assert config.model.arguments == {"most": [math.inf, {"least": -math.inf}], "word": "Infinity"}
    assert build(config, "sampler") == samplers.EDM(s_tmax=math.inf)


def test_a_new_choice_drops_the_options_of_the_old_one_but_the_same_keeps_them(path: Path) -> None:
    assert build(load(path, ["sampling.solver.name=serial"]), "solver") == solvers.Serial()
    assert build(load(path, ["sampling.solver.name=picard"]), "solver") == solvers.Picard(advance="block")


def test_paths_of_the_file_are_relative_to_it_and_those_given_to_the_working_directory(path: Path, monkeypatch: Any) -> None:
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config = load(path, ["output.directory=here"])
    assert config.model.weights == str(path.parent / "w.safetensors")
    assert config.model.network == str(path.parent / "net.py") + ":Net"
    assert config.output.directory == str(elsewhere / "here")
    assert load(path, ["model.network=package.module:Net"]).model.network == "package.module:Net"


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("sampler", {"name": "edm", "s_churn": math.inf}, "s_tmax alone may be infinite"),
        ("sampler", {"name": "euler", "s_noise": math.nan}, "s_tmax alone may be infinite"),
        ("sampler", {"name": "piadm_ode", "friction": math.inf}, "positive and finite"),
        ("sampler", {"name": "piadm_ode", "corrections": 10**7}, "a number of steps up to 10000"),
        ("sampler", {"name": "piadm_sde", "blocks": 10**7}, "at most 1000000"),
        ("solver", {"name": "piadm", "blocks": 10**18}, "at most 1000000"),
        ("solver", {"name": "spectral", "safety": math.inf}, "is below 1 or not finite"),
    ],
)
def test_options_are_finite(path: Path, option: str, value: dict[str, Any], words: str) -> None:
    tree = yaml.safe_load(yaml.safe_dump(EXAMPLE))
    tree["sampling"][option] = value
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError, match=words):
        build(load(path), option)


def test_other_paths_are_relative_to_the_file_by_their_tag(path: Path, monkeypatch: Any) -> None:
    """A text stays a text, whatever files there are of this name."""
    (path.parent / "silu").touch()
    text = (
        "arguments: {table: !path data/table.nc, act: silu, more: [!path a.nc, {b: !path ../b}], own: !path /o.nc}\n  network:"
    )
    path.write_text(yaml.safe_dump(EXAMPLE).replace("network:", text))
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    folder = path.parent
    arguments = load(path).model.arguments
    more = [str(folder / "a.nc"), {"b": str(folder.parent / "b")}]
    assert arguments == {"table": str(folder / "data/table.nc"), "act": "silu", "more": more, "own": "/o.nc"}
    assert all(type(value) is str for value in (arguments["table"], more[0]))
    given = load(path, ["model.arguments.table=!path other.nc", "model.arguments.act=!path silu"]).model.arguments
    assert (given["table"], given["act"]) == (str(elsewhere / "other.nc"), str(elsewhere / "silu"))
    with pytest.raises(ConfigError, match=r"found !path without a path; write !path table\.nc"):
        load(path, ["model.arguments.table=!path [1]"])


def test_the_solvers_statistics_are_relative_to_the_file(path: Path, monkeypatch: Any) -> None:
    tree = yaml.safe_load(yaml.safe_dump(EXAMPLE))
    tree["sampling"]["solver"] = {"name": "spectral", "statistics": "spectrum.nc"}
    path.write_text(yaml.safe_dump(tree))
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load(path).sampling.solver.statistics == str(path.parent / "spectrum.nc")
    for override in ("sampling.solver.statistics=s.nc", "sampling.solver={name: spectral, statistics: s.nc}"):
        assert load(path, [override]).sampling.solver.statistics == str(elsewhere / "s.nc")
    assert load(path, ["data={statistics: d.nc}"]).data.statistics == str(elsewhere / "d.nc")


@pytest.mark.parametrize("key", ["sampling.tolerance", "model.sigma_data", "checkpoint.every"])
@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "-1", "abc", "true"])
def test_numbers_are_finite_and_positive(path: Path, key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} = .*: input should be "):
        load(path, [f"{key}={value}"])


def test_the_resolved_configuration_reads_back_the_same(path: Path) -> None:
    config = load(path)
    assert RunConfig.model_validate(config.as_dict()) == config


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3), ("1E3", 1e3), ("-2.5e-1", -0.25), (".5", 0.5), ("1_000", 1000), ("0x10", 16), (".inf", float("inf")),
        ("null", None), ("true", True), ("off", False), ("1:50:00", 6600), ("2001-01-01", "2001-01-01"), ("6 hours", "6 hours"),
        ("[1, 2e1]", [1, 20.0]), ("{a: {b: c}}", {"a": {"b": "c"}}), ("'3'", "3"), ("", None), ("a=b", "a=b"),
    ],
)  # fmt: skip
def test_values_are_read_as_yaml(path: Path, text: str, value: Any) -> None:
    assert load(path, [f"model.arguments.key={text}"]).model.arguments == {"key": value}
    path.write_text(yaml.safe_dump(EXAMPLE).replace("network:", f"arguments: {{key: {text or 'null'}}}\n  network:"))
    assert load(path).model.arguments == {"key": value}


def test_anchors_are_merged(path: Path) -> None:
    assert parse("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


OWN = "of your own is known once its module is imported: by model.plugins: [my_module.py], by an entry point of the group "


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sampling.membrs=3", ["sampling.membrs is not a known key", "did you mean members?", "allowed: members, seed"]),
        ("sampling.members=eight", ['sampling.members = "eight"', "how many, or a list"]),
        ("sampling.members=0", ["sampling.members = 0", "between 1 and 4294967296"]),
        ("sampling.members=4294967297", ["sampling.members = 4294967297", "between 1 and 4294967296"]),
        ("sampling.members=[1,1]", ["sampling.members = [1, 1]", "different numbers"]),
        ("sampling.members=2.5", ["sampling.members = 2.5"]),
        ("sampling.seed=-1", ["sampling.seed = -1", "greater than or equal to 0"]),
        ("sampling.tolerance=0", ["sampling.tolerance = 0", "greater than 0"]),
        ("sampling.window=0", ["sampling.window = 0", "greater than or equal to 1"]),
        ("sampling.sampler.name=foo", ["sampling.sampler.name = 'foo' is not a known sampler; choose one of", " heun, ", OWN]),
        ("sampling.sampler.name=eular", ["is not a known sampler; did you mean 'euler'? choose one of "]),
        ("sampling.solver.name=picart", ["solver.name = 'picart' is not a known solver; did you mean 'picard'? ", OWN]),
        ("output.mode=gathr", ["output.mode = \"gathr\": not a known store; did you mean 'gather'? choose one of auto, ", OWN]),
        ("sampling.sampler.etta=0.1", ["sampling.sampler.etta is not a known key", "did you mean eta?", "allowed: name, eta"]),
        ("sampling.sampler.eta=high", ['sampling.sampler.eta = "high"', "valid number"]),
        ("sampling.solver.advance=foo", ['sampling.solver.advance = "foo"', "'window' or 'block'"]),
        ("sampling.sigmas.steps=ten", ['sampling.sigmas.steps = "ten"', "valid integer"]),
        ("sampling.sigmas.schedule=vp", ["sigmas.schedule = 'vp' is not a known schedule; choose one of ", " karras, "]),
        ("sampling.sampler=3", ["sampling.sampler = 3"]),
        ("model.predicts=noise", ['model.predicts = "noise"', "'edm'"]),
        ("model.shape=[8]", ["model.shape = [8]", "at least 2"]),
        ("parallel.mode=slow", ['parallel.mode = "slow"', "'fast' or 'bitwise'"]),
        ("parallel.dtype=float16", ['parallel.dtype = "float16"', "'float64' or 'float32'"]),
        ("modell.shape=[1]", ["modell is not a known key", "did you mean model?"]),
        ("members", ["'members' is no override", "key=value"]),
        ("sampling.members=[1", ["override 'sampling.members=[1' cannot be read: while parsing a flow sequence"]),
        ("sampling.sampler={eta: 0.5}", ["sampling.sampler needs a key 'name' that says which one"]),
        ("sampling={[1, 2]: 3}", ["override 'sampling={[1, 2]: 3}' cannot be read: ", "found a list as a key; write a text"]),
        ("model.arguments={{a: 1}: 3}", ["cannot be read: ", "found a mapping as a key; write a text"]),
        ("model.arguments={a: &a [*a]}", ["cannot be read: an anchor stands for something that holds the anchor itself"]),
        ("=3", ["'=3' is no override"]),
        ("sampling.members.x=3", ["sampling.members is a value, not a section"]),
    ],
)
def test_a_wrong_value_is_refused_by_key_value_and_remedy(path: Path, override: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(path, [override])
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("sampler", {"name": "ddim", "eta": 2.0}, ["sampling.sampler: eta = 2.0", "[0, 1]"]),
        ("sigmas", {"schedule": "explicit", "values": [1.0, 2.0]}, ["sampling.sigmas: ", "sigmas[0] = 1", "sigmas[1] = 2"]),
        ("sigmas", {"schedule": "karras", "steps": 0}, ["sampling.sigmas: ", "0"]),
    ],
)
def test_values_only_the_object_can_judge_are_refused_by_section(path: Path, option: str, value: Any, words: list[str]) -> None:
    tree = yaml.safe_load(path.read_text())
    tree["sampling"][option] = value
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError) as refusal:
        build(load(path), option)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "no valid YAML"),
        ("- 1\n- 2\n", "a configuration is a mapping with model, data"),
        ("text", "holds a str; a configuration is a mapping"),
        ("", "model is missing"),
        ("model: 1\nmodel: 2\n", r"found duplicate key model in .*run.yaml\", line 2, column 1"),
        (
            "output: {directory: '${HOME}/x'}",
            r"found \${HOME}/x, but nothing is put in the place of \${\.\.\.}; write the value",
        ),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*none\.yaml"):
        load(tmp_path / "none.yaml")


def test_everything_wrong_is_named_at_once(path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(path, ["sampling.seed=-1", "parallel.mode=slow", "output.figur=x.png"])
    assert all(key in str(refusal.value) for key in ("sampling.seed", "parallel.mode", "output.figur"))


NAMES = [
    "output.report=ensemble.nc",
    "output.figure=./ensemble.nc",
    "output.figure=sub/../report.json",
    "output.report={}/Ensemble.nc",
]


@pytest.mark.parametrize("name", NAMES)
def test_two_files_of_one_name(tmp_path, name):
    with pytest.raises(ConfigError, match=r"and (report|figure) are both .*/out/.*; give each file a name of its own"):
        load(write_project(tmp_path), [name.format(tmp_path / "out")])
    load(write_project(tmp_path), ["output.report=ensemble.json"])


@pytest.mark.parametrize("name", ["../report.json", "/tmp/report.json", "a/../../report.json"])
def test_a_file_outside_of_the_directory(tmp_path, name):
    with pytest.raises(ConfigError, match=r"report is .*report\.json, outside of the directory .*out; give a name below it"):
        load(write_project(tmp_path), [f"output.report={name}"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".parampi-ensemble.nc/report.json", "in the folder of checkpoints, which is removed"),
        (".PARAMPI-ensemble.nc/report.json", "in the folder of checkpoints, which is removed"),
        ("ensemble.nc.parts/report.json", "in the folder of the ensemble's parts"),
        ("ensemble.nc.parts", "in the folder of the ensemble's parts"),
        (".ensemble.nc.parampi-partial", r"\.parampi-partial is the ending of files that are not finished"),
    ],
)
def test_names_of_our_own_are_no_names_of_outputs(tmp_path, name, reason):
    with pytest.raises(ConfigError, match=rf"report is .*[,;] {reason}"):
        load(write_project(tmp_path), [f"output.report={name}"])
