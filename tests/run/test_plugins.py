"""Plugins: what a user's module or an installed package registers is found by `parampi run`, or refused in one line."""

import json
import re
import subprocess
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
import yaml

from parampi.__main__ import main
from parampi.commands.main import USER_ERROR
from parampi.errors import ConfigError, DataError, InterruptionError
from parampi.registry import UNAVAILABLE
from parampi.run import plugins
from parampi.run.config import build, load, resolved
from parampi.run.input_files import deciding_files
from parampi.run.inputs import read_inputs
from parampi.run.job import run
from parampi.run.rerun import rerun
from parampi.solvers.spectral.prior import SpectralPrior
from tests.small import parampi_command, write_project

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "howto" / "extending.md").read_text()
METHODS = "\n".join(block for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if "@" in block)
(SNIPPET,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SAMPLER = """
from dataclasses import dataclass
from parampi.samplers import DDIM, register

@register("{name}")
@dataclass(frozen=True)
class Mine(DDIM):
    pass
"""


@pytest.fixture(autouse=True)
def registries():
    """Leaves the registries as they were, and no plugin imported."""
    before = [(registry, dict(registry), set(registry.aliases)) for registry in plugins.REGISTRIES]
    yield
    for registry, entries, aliases in before:
        registry.clear()
        registry.update(entries)
        registry.aliases = aliases
    plugins.imported.clear()
    plugins.digests.clear()
    UNAVAILABLE.clear()


@pytest.fixture
def project(tmp_path):
    """The small project with the configuration and the classes of the page."""
    path = write_project(tmp_path)
    tree, snippet = yaml.safe_load(path.read_text()), yaml.safe_load(SNIPPET)
    tree["model"] |= snippet["model"]
    tree["sampling"] |= snippet["sampling"]
    path.write_text(yaml.safe_dump(tree))
    (tmp_path / snippet["model"]["plugins"][0]).write_text(METHODS)
    return path


def test_the_page_from_the_command_line(tmp_path, project):
    done = subprocess.run(parampi_command("run", project), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "AdamsBashforth" in done.stdout and "KnownVariance(variance=0.5)" in done.stdout
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert json.loads(file.parampi_config)["sampling"]["solver"] == {"name": "known_variance", "variance": 0.5}
        assert json.loads(file.parampi_config)["model"]["plugins"] == [str(tmp_path / "my_methods.py")]
        assert np.isfinite(file["vorticity"][:]).all()
    assert rerun(tmp_path / "out" / "ensemble.nc", 1).same


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampling.solver.variance=high", r'sampling.solver.variance = "high": input should be a valid number'),
        ("sampling.solver.varience=2", r"sampling.solver.varience is not a known key; did you mean variance\?"),
        ("sampling.sampler.name=adams", "sampler.name = 'adams' is not a known sampler; choose one of adams_bashforth, coll"),
    ],
)
def test_options_are_checked_like_those_of_our_own(project, override, message):
    with pytest.raises(ConfigError, match=message):
        load(project, [override])


def test_options_only_the_class_can_judge(project):
    with pytest.raises(ConfigError, match=r"sampling.solver: variance = -1.0; the variance of the data must be positive"):
        run(load(project, ["sampling.solver.variance=-1.0"]))


OPTIONS = """
from __future__ import annotations
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
import torch
from parampi.samplers import DDIM, register
if TYPE_CHECKING:
    from fractions import Fraction

class Steps:
    order = 1
    def steps(self, sigmas):
        return DDIM().steps(sigmas)

"""
DATACLASS = '@register("mine")\n@dataclass(frozen=True)\nclass Mine(Steps):\n    {option}\n'
INIT = '@register("mine")\nclass Mine(Steps):\n    def __init__(self, {option}):\n        self.options = dict(locals())\n'


def with_options(folder, form, option, *overrides):
    """The configuration of a sampler with an option, as other ranks have it."""
    (folder / "mine.py").write_text(OPTIONS + form.format(option=option))
    path = write_project(folder, model__plugins=["mine.py"], sampling__sampler={"name": "mine"})
    return resolved(load(path, overrides).as_dict(), [], "other ranks")


@pytest.mark.parametrize(
    ("form", "option", "override", "options"),
    [
        (DATACLASS, "levels: list[int] = field(default_factory=lambda: [1, 2])", None, {"levels": [1, 2]}),
        (DATACLASS, "levels: list[int] = field(default_factory=list)", "levels=[3]", {"levels": [3]}),
        (DATACLASS, "values: str = 'hello'", None, {"values": "hello"}),
        (DATACLASS, "values: dict[str, float]", "values={a: 1.5}", {"values": {"a": 1.5}}),
        (DATACLASS, "bound: float = float('inf')", None, {"bound": float("inf")}),
        (DATACLASS, "schedule: str = 'x'", None, {"schedule": "x"}),
        (DATACLASS, "model_size: int = 3", "model_size=4", {"model_size": 4}),
        (INIT, "eta=0.5, *rest, **more", None, {"eta": 0.5}),
        (INIT, "eta: float | None = None", "eta=2", {"eta": 2.0}),
    ],
)  # fmt: skip
def test_options_of_every_form_are_read(tmp_path, form, option, override, options):
    overrides = [f"sampling.sampler.{override}"] if override else []
    config = with_options(tmp_path, form, option, *overrides)
    assert config.as_dict()["sampling"]["sampler"] == {"name": "mine"} | options
    assert build(config, "sampler").order == 1


@pytest.mark.parametrize(
    ("form", "option", "message"),
    [
        (DATACLASS, "name: str = 'x'", "the option name of Mine is called like the key name, which chooses the class; rename"),
        (DATACLASS, "w: torch.Tensor | None = None", r"the option w of Mine has the type torch.Tensor \| None, which a config"),
        (
            DATACLASS,
            "w: torch.Tensor",
            "the option w of Mine has the type Tensor, which a configuration cannot give; it gives ",
        ),
        (
            DATACLASS,
            "w: Fraction = 1",
            r"option w of Mine has the type Fraction, which cannot be read \(NameError: .*outside of",
        ),
        (DATACLASS, "w: Any = torch.float64", r"option w of Mine has a default that is not plain \(.*Error\); a config"),
        (DATACLASS, "w: float = None", "the option w of Mine has the default None, which is no float as a configuration gives"),
        (DATACLASS, "w: tuple[int, ...] = (1, 2)", r"w of Mine has the default \[1, 2\], which is no tuple"),
        (DATACLASS, "w: object = field(default_factory=object)", "the option w of Mine has a default that is not plain"),
        (DATACLASS, "model_dump: int = 1", "the option model_dump of Mine has a name that configurations keep for themselves"),
        (INIT, "_w: int = 1", "the option _w of Mine has a name that configurations keep for themselves; rename it"),
        (INIT, "w, /", "the option w of Mine cannot be given by its name; let the signature do without '/'"),
        (INIT, "w: Fraction = 1", r"the option w of Mine has the type Fraction, which cannot be read"),
    ],
)
def test_options_that_no_configuration_can_give_are_refused_in_one_line(tmp_path, form, option, message):
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/run.yaml: sampling.sampler.name = 'mine': .*{message}") as refusal:
        with_options(tmp_path, form, option)
    assert "\n" not in str(refusal.value)


NO_SOLVER = """
from parampi.{kind}s import register

@register("mine")
class Mine:
    {body}
"""


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("solver", "k = 3", "sampling.solver: solver = .*Mine.* is no solver, which derives from parampi.solvers.Solver; give"),
        ("sampler", "order = 1", "sampling.sampler: sampler = .*Mine.* is no sampler, for it has no method steps"),
        ("sampler", "steps = lambda self, sigmas: sigmas", "Mine.steps returned a Tensor; it must return a parampi.samplers.S"),
        ("solver", "def __init__(self): 1 / 0", r"sampling.solver: Mine\(\) failed with ZeroDivisionError: division by zero"),
    ],
)
def test_a_registered_class_of_another_kind_is_refused_in_one_line(tmp_path, kind, body, message):
    (tmp_path / "mine.py").write_text(NO_SOLVER.format(kind=kind, body=body))
    path = write_project(tmp_path, model__plugins=["mine.py"], **{f"sampling__{kind}": {"name": "mine"}})
    with pytest.raises(ConfigError, match=message):
        read_inputs(load(path))


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (None, DataError, r"model.plugins: there is no file .*/mine.py"),
        ("raise SystemExit('no licence')", ConfigError, r"mine.py cannot be imported: SystemExit: no licence"),
        ("import numppy", ConfigError, r"mine.py cannot be imported: ModuleNotFoundError: No module named 'numppy'"),
        (
            SAMPLER.format(name="ddpm"), ConfigError,
            r"model.plugins: .*mine.py registers the sampler 'ddpm', which exists already; choose another name",
        ),
        (SAMPLER.format(name="mine") + "1 / 0", ConfigError, "mine.py cannot be imported: ZeroDivisionError: division by zero"),
    ],
)  # fmt: skip
def test_a_plugin_that_cannot_be_used_is_refused_and_leaves_nothing(tmp_path, monkeypatch, content, kind, message):
    monkeypatch.chdir(tmp_path)
    if content:
        (tmp_path / "mine.py").write_text(content)
    before = [dict(registry) for registry in plugins.REGISTRIES]
    for _ in range(2):
        with pytest.raises(kind, match=message):
            load(write_project(tmp_path), ["model.plugins=[mine.py]"])
    assert before == [dict(registry) for registry in plugins.REGISTRIES]


def test_a_mistake_in_a_plugin_is_one_line(tmp_path, capsys):
    path = write_project(tmp_path, model__plugins=["gone", "later.py"])
    assert main(["run", str(path)]) == USER_ERROR
    assert capsys.readouterr().err == "parampi: model.plugins: module 'gone' cannot be imported: No module named 'gone'\n"


def test_a_plugin_that_changed_is_not_mistaken_for_the_one_that_ran(tmp_path):
    path = write_project(tmp_path, model__plugins=["mine.py"], sampling__sampler={"name": "mine"})
    (tmp_path / "mine.py").write_text(SAMPLER.format(name="mine"))
    load(path)
    load(path)
    (tmp_path / "mine.py").write_text(SAMPLER.format(name="mine") + "# changed\n")
    with pytest.raises(ConfigError, match=r"mine.py has changed since this process imported it; start a new process"):
        load(path)


def new_process():
    """Forget plugins as a process that ends does."""
    for registry in plugins.REGISTRIES:
        registry.pop("mine", None)
    plugins.imported.clear()
    plugins.digests.clear()


def test_resume_and_rerun_refuse_a_plugin_that_changed(tmp_path, capsys):
    path = write_project(tmp_path, model__plugins=["mine.py"], sampling__sampler={"name": "mine"})
    (tmp_path / "mine.py").write_text(SAMPLER.format(name="mine"))
    run(load(path, ["output.directory=" + str(tmp_path / "whole")]))
    with pytest.raises(InterruptionError):
        run(load(path, ["checkpoint.max_walltime=0.001", "checkpoint.every=0"]))
    new_process()
    (tmp_path / "mine.py").write_text(SAMPLER.format(name="mine") + "# changed\n")
    assert main(["resume", str(tmp_path / "out")]) == USER_ERROR
    assert f"asks to run model.plugins: {tmp_path}/mine.py" in capsys.readouterr().err
    assert main(["resume", str(tmp_path / "out"), "--trust"]) == USER_ERROR
    assert f"model.plugins: {tmp_path}/mine.py is not the file that the checkpoint in" in capsys.readouterr().err
    assert main(["rerun", str(tmp_path / "whole" / "ensemble.nc"), "--member", "1", "--trust"]) == USER_ERROR
    assert f"model.plugins: {tmp_path}/mine.py is not the file that the ensemble was drawn" in capsys.readouterr().err
    new_process()
    (tmp_path / "mine.py").write_text(SAMPLER.format(name="mine"))
    assert main(["resume", str(tmp_path / "out"), "checkpoint.max_walltime=null"]) == 0
    assert rerun(tmp_path / "whole" / "ensemble.nc", 1).same


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that is installed, with an entry point."""
    folder = tmp_path / "site"
    (folder / "methods-1.0.dist-info").mkdir(parents=True)
    (folder / "methods-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: methods\nVersion: 1.0\n")
    (folder / "methods-1.0.dist-info" / "entry_points.txt").write_text("[parampi.plugins]\nmine = installed_methods\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(__import__("sys").modules, "installed_methods", raising=False)
    return folder / "installed_methods.py"


def test_an_installed_package_needs_no_line_in_the_configuration(tmp_path, package):
    package.write_text(SAMPLER.format(name="installed"))
    path = write_project(tmp_path, sampling__sampler={"name": "installed"})
    run(load(path))
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert "the file of Mine" in [name.partition(",")[0] for name in json.loads(file.inputs_sha256)]


UNUSABLE = {
    "import numppy": "module 'installed_methods' cannot be imported: No module named 'numppy'",
    "raise SystemExit(3)": "module 'installed_methods' cannot be imported: SystemExit: 3",
    SAMPLER.format(name="ddpm"): "installed_methods registers the sampler 'ddpm', which exists already; choose another name",
}


@pytest.mark.parametrize("content", UNUSABLE)
def test_a_run_goes_on_without_an_installed_package_that_cannot_be_imported(tmp_path, package, capsys, content):
    package.write_text(content)
    reason = f"the plugin mine of the package methods: {UNUSABLE[content]}"
    path = write_project(tmp_path)
    assert main(["run", str(path)]) == 0
    assert capsys.readouterr().err == f"parampi: going on without {reason}\n"
    with pytest.raises(ConfigError, match=rf"'installed' is not a known sampler; .*, or by your script; or it is of {reason}"):
        load(path, ["sampling.sampler.name=installed"])
    assert capsys.readouterr().err == ""


def test_other_ranks_do_not_say_it_too(tmp_path, package, capsys, monkeypatch):
    package.write_text("import numppy")
    monkeypatch.setattr(plugins, "launched_rank", lambda: 1)
    load(write_project(tmp_path))
    assert capsys.readouterr().err == ""


BASIS = """
from parampi.basis import Fourier, register

@register("{name}")
class Mine(Fourier):
    pass
"""


@pytest.mark.parametrize("named_by", ["configuration", "statistics", "store"])
def test_files_of_an_installed_basis_and_store_are_among_those_that_decide(tmp_path, package, named_by):
    package.write_text((STORE if named_by == "store" else BASIS).format(name="mine"))
    path = write_project(tmp_path)
    load(path)
    solver = {"name": "spectral"}
    if named_by == "statistics":
        solver["statistics"] = str(tmp_path / "prior.nc")
        SpectralPrior.from_samples(torch.randn(5, 1, 8, 8), basis="mine").save(solver["statistics"])
    elif named_by == "configuration":
        solver["basis"] = "mine"
    changes = {"output__mode": "mine"} if named_by == "store" else {"sampling__solver": solver}
    config = load(write_project(tmp_path, **changes))
    assert package in deciding_files(config).values()
    assert package not in deciding_files(load(write_project(tmp_path))).values()


STORE = """
from parampi.fields import NetCDFStore, register

@register("{name}")
class Mine(NetCDFStore):
    pass
"""


def test_a_store_of_your_own(tmp_path):
    path = write_project(tmp_path, model__plugins=["mine.py"], output__mode="mine")
    (tmp_path / "mine.py").write_text(STORE.format(name="mine"))
    run(load(path))
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert file.parampi_complete == 1
    with pytest.raises(ConfigError, match=r"output.mode = \"his\": not a known store; choose one of auto, .* mine, "):
        load(path, ["output.mode=his"])


def test_a_file_may_hold_the_network_too(tmp_path):
    """It runs once."""
    path = write_project(tmp_path, model__plugins=["net.py"], sampling__sampler={"name": "mine"})
    text = (tmp_path / "net.py").read_text()
    (tmp_path / "net.py").write_text(text + SAMPLER.format(name="mine"))
    run(load(path))
    assert plugins.imported[str(tmp_path / "net.py")].White


SOLVER = """
from dataclasses import dataclass
from typing import Any
from parampi.basis import register as basis
from parampi.solvers import Picard, register

@basis("broken")
class Broken:
    def __init__(self, shape, level=1):
        raise ValueError(f"no level\\n{level}")

@register("picky")
@dataclass(frozen=True)
class Picky(Picard):
    part: str = ""

    def bind(self, shape, sigma_data):
        if self.part == "bind":
            raise KeyError("nothing there")
        return self

    def check(self, equations, shape, window=None):
        if self.part == "check":
            raise IndexError("no such point")
"""


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        ("{name: picky, part: bind}", "sampling.solver: Picky failed with KeyError: 'nothing there'"),
        ("{name: picky, part: check}", "Picky failed with IndexError: no such point"),
        (
            "{name: spectral, basis: broken}",
            "sampling.solver: the basis 'broken' with no options for fields (1, 8, 8) failed with ValueError: no level 1",
        ),
    ],
)
def test_what_a_plugin_raises_later_is_one_line_before_sampling(tmp_path, capsys, solver, message):
    path = write_project(tmp_path, model__plugins=["mine.py"])
    (tmp_path / "mine.py").write_text(SOLVER)
    assert main(["run", str(path), f"sampling.solver={solver}"]) == USER_ERROR
    assert capsys.readouterr().err == f"parampi: {message}\n" and not (tmp_path / "out" / ".parampi-ensemble.nc").exists()
