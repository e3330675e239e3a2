"""The rooms of `fields` import one way: what lies in `fields` itself, inputs, stores, ensembles; nothing goes in circles."""

import pytest

from tests.test_layers import PACKAGE, imported, name_of

ROOMS = ["", "inputs", "stores", "ensembles"]
FIELDS = "parampi.fields"
MODULES = sorted((PACKAGE / "fields").rglob("*.py"))


def room(name):
    """The room of a module of `fields`, by its dotted name."""
    part = name.removeprefix(FIELDS).strip(".").split(".")[0]
    return part if part in ROOMS else ""


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "__init__.py"], ids=lambda path: path.stem)
def test_rooms_import_one_way(path):
    below = ROOMS[: ROOMS.index(room(name_of(path))) + 1]
    ours = [name for name in imported(path) if name.startswith(FIELDS)]
    assert all(room(name) in below for name in ours), f"{name_of(path)} imports {ours}"


def test_no_module_imports_itself_through_others():
    imports = {name_of(path): {n for n in imported(path, types=False) if n.startswith(FIELDS + ".")} for path in MODULES}
    done = set()
    while ready := {name for name, needed in imports.items() if name not in done and needed <= done}:
        done |= ready
    assert done == set(imports), f"in a circle: {sorted(set(imports) - done)}"
