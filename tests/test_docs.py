"""The code on the documentation's pages does what the page says; the names, files, keys and words on them exist."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from parampi.commands.main import VERBS
from parampi.diffusion.schedules import SCHEDULES
from parampi.run.config import RunConfig
from parampi.run.config.schema import keys as described
from parampi.run.config.schema import table
from parampi.samplers import SAMPLERS
from parampi.solvers import SOLVERS
from tests.test_layers import MAY_IMPORT

DOCS = Path(__file__).resolve().parents[1] / "docs"
PACKAGE = DOCS.parent / "parampi"


def blocks(page):
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def registries():
    """Leaves the registries as they were."""
    before = dict(SAMPLERS), dict(SOLVERS)
    yield
    for registry, entries in zip((SAMPLERS, SOLVERS), before, strict=True):
        registry.clear()
        registry.update(entries)


def test_a_sampler_and_a_solver_of_your_own(registries, capsys):
    found = blocks("howto/extending.md")
    assert len(found) == 4
    names = {}
    for block in found:
        exec(compile(block, "howto/extending.md", "exec"), names)
    assert "2 members" in capsys.readouterr().out
    assert SAMPLERS["adams_bashforth"] is names["AdamsBashforth"] and SOLVERS["known_variance"] is names["KnownVariance"]


@pytest.mark.parametrize(("block", "most"), [(0, 15), (2, 20)])
def test_they_are_as_short_as_the_page_says(block, most):
    """Lines of the class: without imports and blank lines."""
    lines = [line for line in blocks("howto/extending.md")[block].splitlines() if line.strip()]
    assert sum(not line.startswith(("from", "import")) for line in lines) <= most


def test_a_spectrum_from_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("method/spectral.md")
    names = {}
    exec(compile(block, "method/spectral.md", "exec"), names)
    assert names["solver"].bind((1, 16, 16), 1.0) and (tmp_path / "known.nc").exists()


def test_a_roll_out_of_your_own(capsys):
    (block,) = [block for block in blocks("howto/conditions.md") if "parampi.rollout(" in block]
    exec(compile(block, "howto/conditions.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 13 and lines[-1].startswith("2 members of 6 lead times: ")


PAGES = [DOCS.parent / "README.md", *(page for page in sorted(DOCS.rglob("*.md")) if "generated" not in page.parts)]


def per_page(lacks):
    """What pages lack, by page: those for which `lacks(text)` is not empty."""
    return {page.name: missing for page in PAGES if (missing := lacks(page.read_text()))}


def exists(name):
    """Whether a dotted name such as `parampi.sigmas.karras` exists: modules, then attributes."""
    words = name.split(".")
    value = import_module(words[0])
    for count, word in enumerate(words[1:], 2):
        if not hasattr(value, word) and find_spec(".".join(words[:count])) is None:
            return False
        value = getattr(value, word) if hasattr(value, word) else import_module(".".join(words[:count]))
    return True


def unknown_names(text):
    """Names of the package in code and in prose that do not exist; `parampi.plugins` is a group of entry points."""
    names = set(re.findall(r"(?<![\w/.-])parampi(?:\.[A-Za-z_]\w*)+", text)) - {"parampi.plugins"}
    for module, imported in re.findall(r"^from (parampi[\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
        names |= {f"{module}.{name.split(' as ')[0].strip()}" for name in imported.split(",")}
    return [name for name in sorted(names) if not exists(name)]


def test_names_of_the_package_exist():
    assert per_page(unknown_names) == {}


def unknown_files(text):
    """Paths in backticks, of the repository or of the package, that do not exist and are not written by a run."""
    paths = re.findall(r"`((?:parampi|tests|examples|jobs|docs)/[\w./-]+|[\w/-]+/\w+\.py)`", text)
    roots = DOCS.parent, PACKAGE
    return [path for path in paths if "/output/" not in path and not any((root / path).exists() for root in roots)]


def test_files_of_the_repository_exist():
    assert per_page(unknown_files) == {}


WORDS = {
    "round": "rounds?", "sweep": "sweeps?", "evaluation": "evaluations?", "window": "windows?", "member": "members?",
    "rank": "ranks?", "sampler": "samplers?", "lead-time": "lead times?", "slice": "slices?",
}  # fmt: skip
OTHER_MEANINGS = r"serial samplers?|low rank|IEEE 754 rounds|that rounds|libraries round|reads slices"
MARKUP = (r"^```.*?^```$", r"\$\$.*?\$\$", r"`[^`]*`", r"^#[^\n]*$", r"^\s*[\w, ]+$(?=\n: )", r"\$[^$]*\$", OTHER_MEANINGS)


def unlinked_words(text):
    """Words of the trade in a page's prose for which the page has no link to the glossary."""
    if text.startswith(("# Glossary", "# API", "# Changelog")):
        return []
    prose = re.sub("|".join(MARKUP), "", text, flags=re.MULTILINE | re.DOTALL)
    used = [word for word, form in WORDS.items() if re.search(rf"(?i)(?<![\w/.-]){form}(?![\w/.-])", prose)]
    return [word for word in used if f"glossary.md#{word})" not in text]


def test_words_of_the_trade_lead_to_the_glossary():
    assert per_page(unlinked_words) == {}


def test_the_glossary_has_what_pages_link_to():
    headings = re.findall(r"^### (.*)$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    anchors = {heading.replace(" ", "-") for heading in headings}
    assert len(anchors) == len(headings)
    linked = {anchor for page in PAGES for anchor in re.findall(r"glossary\.md#([\w-]+)", page.read_text())}
    assert linked <= anchors


def keys(model, prefix=""):
    """Every key of the configuration, by its dotted name."""
    for name, field in model.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        section = next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
        yield from keys(section, f"{prefix}{name}.") if section else [prefix + name]


def test_the_configuration_page_has_every_key():
    """In tables that are made of the text for `parampi schema`; if this fails: parampi schema --table SECTIONS > that file."""
    page, shown = (DOCS / "configuration.md").read_text(), []
    for sections in re.findall(r"^```\{include\} generated/keys-([\w-]+)\.md", page, re.MULTILINE):
        text = (DOCS / "generated" / f"keys-{sections}.md").read_text()
        assert text == table(sections.split("-"))
        shown += re.findall(r"^\| `(\w+(?:\.\w+)+)` \|", text, re.MULTILINE)
    assert sorted(shown) == sorted(keys(RunConfig)) == sorted(described())


def test_the_configuration_page_has_every_verb_and_choice():
    page = (DOCS / "configuration.md").read_text()
    assert set(re.findall(r"^parampi (\w+)", page, re.MULTILINE)) == set(VERBS)
    for choice in (*SAMPLERS, *SOLVERS, *SCHEDULES):
        assert f"`{choice}`" in page


def test_the_house_is_drawn_as_it_is():
    page = (DOCS / "CONTRIBUTING.md").read_text()
    drawing, layers = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[:2]
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    files = {path.name for path in PACKAGE.glob("*.py")}
    assert set(re.findall(r"^(\w+)/ ", drawing, re.MULTILINE)) == rooms
    assert files <= set(re.findall(r"\w+\.py", drawing))
    assert set(layers.split()) == rooms | {name.removesuffix(".py") for name in files if not name.startswith("__")}


def test_rooms_are_drawn_above_those_they_import():
    page = (DOCS / "CONTRIBUTING.md").read_text()
    layers = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1].splitlines()
    row = {room: number for number, line in enumerate(layers) for room in line.split()}
    assert not [(room, below) for room in row for below in MAY_IMPORT[room] - {""} if row[below] <= row[room]]
