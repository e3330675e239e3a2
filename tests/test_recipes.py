"""The pages of recipes, run as they stand, with the small networks that they make."""

import re
from pathlib import Path

import pytest
import torch

from tests.frameworks.installed import framework

PAGES = Path(__file__).resolve().parents[1] / "docs" / "recipes"
NEEDS = {
    "flow-matching": None,
    "torch-export": None,
    "diffusers": "diffusers",
    "azula": "azula",
    "physicsnemo": "physicsnemo",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NEEDS)
def test_a_recipe_runs(name, tmp_path, monkeypatch, capsys):
    if NEEDS[name]:
        framework(NEEDS[name])
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", (PAGES / f"{name}.md").read_text(), re.MULTILINE | re.DOTALL)
    scope = {"__name__": "recipe"}
    for block in blocks:
        exec(compile(block, f"{name}.md", "exec"), scope)
    fields = scope["ensemble"].fields
    assert len(fields) >= 2 and bool(torch.isfinite(fields).all()) and float((fields[0] - fields[1]).norm()) > 0
    assert scope["ensemble"].report.rounds > 0


def test_every_page_is_run():
    assert {path.stem for path in PAGES.glob("*.md")} == {
        *NEEDS,
        "index",
        "workflows",
    }  # that is of examples/07_workflows, with tests of its own
