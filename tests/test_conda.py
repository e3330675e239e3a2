"""The recipe for conda: it is of the format's version 1, and says what pyproject.toml says."""

import re
import tomllib
from pathlib import Path

import yaml

import parampi

ROOT = Path(__file__).resolve().parents[1]
RECIPE = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base", "cf-xarray": "cf_xarray"}
"""Names of conda-forge, where they are not those of PyPI in lower case."""
SECTIONS = {
    "": {"schema_version", "context", "package", "source", "build", "requirements", "tests", "about"},
    "package": {"name", "version"},
    "source": {"path"},
    "build": {"number", "noarch", "script", "python"},
    "requirements": {"host", "run", "run_constraints"},
    "about": {"summary", "license", "license_file"},
}


def filled(value):
    """A value with the variables of `context` put in."""
    if isinstance(value, dict | list):
        return {key: filled(one) for key, one in value.items()} if isinstance(value, dict) else [filled(one) for one in value]
    return (
        re.sub(r"\$\{\{ (\w+) \}\}", lambda name: str(RECIPE["context"][name[1]]), value) if isinstance(value, str) else value
    )


FILLED = filled(RECIPE)


def of_conda(requirements):
    """Requirements of pyproject.toml as conda has them."""
    split = (re.fullmatch(r"([\w.-]+)(\W.*)", one).groups() for one in requirements)
    return {f"{CONDA.get(name, name.lower())} {versions}" for name, versions in split}


def test_it_is_of_version_1():
    assert RECIPE["schema_version"] == 1 and set(RECIPE) == SECTIONS[""]
    assert {name: set(RECIPE[name]) for name in SECTIONS if name} == {name: keys for name, keys in SECTIONS.items() if name}
    assert FILLED["build"]["noarch"] == "python" and (ROOT / "conda" / FILLED["source"]["path"] / "setup.py").is_file()
    assert "${{" not in str(FILLED) and all(set(test) <= {"python", "script"} for test in FILLED["tests"])


def test_requirements_are_those_of_the_package():
    python = {f"python {PROJECT['requires-python']}"}
    assert set(FILLED["requirements"]["run"]) == of_conda(PROJECT["dependencies"]) | python
    extras = PROJECT["optional-dependencies"]
    optional = of_conda(one for name in ("mpi", "zarr", "filters", "sphere", "scores") for one in extras[name])
    assert set(FILLED["requirements"]["run_constraints"]) == {one for one in optional if not one.startswith("xarray ")}
    (setuptools,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert of_conda([setuptools]) <= set(FILLED["requirements"]["host"])


def test_names_are_those_of_the_package():
    assert FILLED["package"] == {"name": PROJECT["name"], "version": parampi.__version__}
    assert FILLED["build"]["python"]["entry_points"] == [f"{name} = {what}" for name, what in PROJECT["scripts"].items()]
    about = FILLED["about"]
    assert (about["summary"], about["license"], [about["license_file"]]) == (
        PROJECT["description"], PROJECT["license"], PROJECT["license-files"],
    )  # fmt: skip
