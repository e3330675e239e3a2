"""Plugins: what a user's module or an installed package registers is found by `parampi run`, or refused in one line."""

import json
import re
import subprocess
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import yaml

from parampi.__main__ import main
from parampi.commands.main import USER_ERROR
from parampi.errors import ConfigError, DataError, InterruptionError
from parampi.run import plugins
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.rerun import rerun
from tests.small import parampi_command, write_project

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "howto" / "extending.md").read_text()
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


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (None, DataError, r"model.plugins: there is no file .*/mine.py"),
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
    assert f"model.plugins: {tmp_path}/mine.py is not the file that the checkpoint in" in capsys.readouterr().err
    assert main(["rerun", str(tmp_path / "whole" / "ensemble.nc"), "--member", "1"]) == USER_ERROR
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


def test_an_installed_package_that_cannot_be_imported_is_named(tmp_path, package):
    package.write_text("import numppy")
    with pytest.raises(ConfigError, match=r"the plugin mine of the package methods: module 'installed_methods' cannot be impo"):
        load(write_project(tmp_path))


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
