"""The code on the documentation's pages does what the page says."""

import re
from pathlib import Path

import pytest

from parampi.samplers import SAMPLERS
from parampi.solvers import SOLVERS

DOCS = Path(__file__).resolve().parents[1] / "docs"


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
