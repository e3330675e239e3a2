"""The house's one-way layers, read from the imports; and what `import parampi` must not bring along."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "parampi"

# Every room (a package, or a module at the top) and the rooms it may import from. A room may always import from itself.
# Read it downwards: nothing appears to the right before it has appeared to the left.
SAMPLING = {"errors", "registry", "diffusion", "samplers"}
SOLVING = SAMPLING | {"basis", "fields", "solvers", "parallel"}
ADVANCING = SOLVING | {"report", "engine"}
MAY_IMPORT = {
    "errors": set(),
    "registry": {"errors"},
    "report": {"errors"},
    "diffusion": {"errors", "registry"},
    "samplers": {"errors", "registry", "diffusion"},
    "networks": {"errors", "registry", "diffusion"},
    "basis": {"errors", "registry"},
    "fields": {"errors", "registry", "basis"},
    "solvers": SAMPLING | {"basis", "fields"},
    "parallel": {"errors"},
    "engine": SOLVING - {"fields"} | {"report"},
    "progress": {"errors", "report", "engine"},
    "ensemble": ADVANCING | {"progress"},
    "rollouts": ADVANCING - {"fields"} | {"ensemble", "progress"},
    "verify": {"errors", "fields"},
    "": ADVANCING | {"ensemble", "networks", "progress", "rollouts", "verify"},  # parampi/__init__.py
    "run": ADVANCING | {"", "ensemble", "progress", "rollouts", "verify", "networks"},
    "bench": ADVANCING | {"ensemble", "rollouts"},
    "commands": ADVANCING | {"", "ensemble", "verify", "run", "bench", "networks"},
    "__main__": {"", "run", "commands"},
}
ONLY_IN = {"mpi4py": {"parallel"}, "h5py": {"fields"}, "netCDF4": {"fields"}, "xarray": {"fields"}, "matplotlib": {"verify"}}
HEAVY = ("torch", "numpy", "mpi4py", "netCDF4", "h5py", "xarray", "matplotlib", "pydantic", "scipy")

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(name):
    """The room of a dotted module name within the package."""
    return name.split(".")[1] if "." in name else ""


@cache
def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Runtime(ast.NodeTransformer):
    """Leaves out what only type checkers read."""

    def visit_If(self, node):
        return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else self.generic_visit(node)


def imported(path, types=True):
    """Dotted names of all modules that a file imports anywhere, inside functions too; `types`: and for type checking."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree if types else Runtime().visit(tree)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from resolved(path, node)


def resolved(path, node):
    """What `from base import name` reads: the module base.name where there is one, else base."""
    base = node.module or ""
    if node.level:
        package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
        base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
    for alias in node.names:
        inner = ROOT / Path(*base.split(".")) / alias.name
        yield f"{base}.{alias.name}" if inner.is_dir() or inner.with_suffix(".py").exists() else base


def test_imports_go_one_way():
    unknown = {room_of(name_of(path)) for path in MODULES} - MAY_IMPORT.keys()
    assert not unknown, f"{sorted(unknown)} are in no layer: enter them in the table of this test"
    upward = []
    for path in MODULES:
        room = room_of(name_of(path))
        ours = {room_of(name) for name in imported(path) if name.split(".")[0] == "parampi"}
        upward += [f"{path.relative_to(ROOT)} imports from {other}" for other in ours - MAY_IMPORT[room] - {room}]
    assert not upward, f"these are not below: {upward}"


def test_the_table_has_no_circles():
    known = set()
    for room, below in MAY_IMPORT.items():
        assert below <= known, f"{room} may import {sorted(below - known)}, which come later in the table"
        known.add(room)


def test_outside_packages_stay_in_their_rooms():
    strangers = []
    for path in MODULES:
        room = room_of(name_of(path))
        names = {name.split(".")[0] for name in imported(path, types=False)}
        strangers += [f"{path.relative_to(ROOT)} imports {name}" for name in names if room not in ONLY_IN.get(name, {room})]
    assert not strangers, f"these belong into other rooms: {strangers}"


def test_every_init_of_a_room_only_re_exports():
    for path in sorted(PACKAGE.rglob("*/__init__.py")):
        for node in ast.parse(path.read_text()).body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            plain = isinstance(node, ast.Assign) and all(t.id in ("__all__", "__version__") for t in node.targets)
            assert docstring or plain or isinstance(node, ast.Import | ast.ImportFrom), f"{path}: line {node.lineno}"


def test_imports_are_absolute():
    relative = [
        f"{path.relative_to(ROOT)}: line {node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative, f"imports name the whole path, from parampi on: {relative}"


def test_what_says_return_returns_something():
    nothing = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (ast.get_docstring(node) or "").startswith("Return")
        if isinstance(node.returns, ast.Constant) and node.returns.value is None
    ]
    assert not nothing, f"these return None: {nothing}"


def test_no_room_is_a_cupboard():
    rooms = {path.stem for path in PACKAGE.rglob("*")}
    assert not rooms & {"utils", "util", "helpers", "common", "misc"}


def in_fresh_python(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_parampi_is_light():
    assert in_fresh_python(f"import parampi, sys; print([m for m in {HEAVY} if m in sys.modules])").strip() == "[]"


RENAMED = {"open": "open_file", "Statistics": "SpectralPrior", "denoisers": "public_denoisers"}
"""Where they are defined, by their public names."""


def test_the_packages_names_are_loaded_when_they_are_used():
    import parampi

    for name in parampi.__all__:
        assert getattr(parampi, name).__name__.rpartition(".")[2] == RENAMED.get(name, name), name
    assert set(parampi.__all__) <= set(dir(parampi)) and parampi.basis.variance and parampi.fields.Store
    with pytest.raises(AttributeError, match="module 'parampi' has no attribute 'sampel'"):
        parampi.sampel  # noqa: B018


PUBLIC_MODULES = """
import parampi
from parampi.sigmas import karras
for name, place in parampi.PUBLIC.items():
    if ":" not in place:
        __import__(f"parampi.{name}")
        module = getattr(parampi, name)
        assert module.__name__ == module.__spec__.name == f"parampi.{place}", module
assert karras is parampi.diffusion.sigmas.karras
"""


def test_public_modules_can_be_imported_from():
    in_fresh_python(PUBLIC_MODULES)


def test_every_public_name_is_there_before_anything_else_was_used():
    names = ("errors", "registry", "report", "Report")
    for name in names:
        assert in_fresh_python(f"import parampi; print(parampi.{name}.__name__)").strip().endswith(name)


def test_dir_has_what_users_need_and_nothing_else():
    import parampi

    assert [name for name in dir(parampi) if not name.startswith("__")] == sorted(set(parampi.__all__))


def test_type_checkers_find_every_public_module():
    import parampi

    elsewhere = {name: place for name, place in parampi.PUBLIC.items() if ":" not in place and place != name}
    assert {path.stem for path in PACKAGE.glob("*.pyi")} == elsewhere.keys()
    for name, place in elsewhere.items():
        assert f"from parampi.{place} import *" in (PACKAGE / f"{name}.pyi").read_text()


HELP = f"""
import sys
from parampi.__main__ import main
from parampi.commands.main import VERBS
for arguments in ([], *([verb] for verb in VERBS), ["bench", "rounds"]):
    assert main([*arguments, "--help"]) == 0
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_help_of_every_verb_is_light():
    assert_light(HELP)


USAGE_ERRORS = f"""
import sys
from parampi.__main__ import main
for arguments in (["rnu"], ["--nonsense"], ["run"], ["run", "--nonsense"], ["bench", "rnouds"], ["stats"]):
    assert main(arguments) == 2
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_usage_errors_are_light():
    assert_light(USAGE_ERRORS)


def assert_light(code):
    before = getrusage(RUSAGE_CHILDREN)
    assert in_fresh_python(code).strip().endswith("[]")
    after = getrusage(RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


SIGNALLED = """
import os, signal, sys
sys.argv = ["parampi", "run", "nowhere.yaml"]
import parampi.__main__ as start
loaded = []
start.StopRequest.listen = lambda self: loaded.extend(m for m in ("torch", "numpy", "click") if m in sys.modules)
start.main()
print(loaded)
"""


def test_signals_are_heard_before_anything_large_is_loaded():
    assert in_fresh_python(SIGNALLED).strip().endswith("[]")


WITHOUT_MPI = """
import os, sys
sys.modules["mpi4py"] = None
import torch, parampi
from parampi.parallel.launch import mpi_version, world
for variable in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
    os.environ.pop(variable, None)
assert world() is None and mpi_version() == "none"
drawn = parampi.sample(lambda x, s: x / (1 + s.view(-1, 1, 1) ** 2), (2, 3), 4, parampi.sigmas.karras(8))
assert drawn.fields.isfinite().all() and drawn.fields.shape == (4, 2, 3)
os.environ["PMI_SIZE"] = "4"
try:
    world()
except parampi.LaunchError as error:
    print(error)
"""


def test_one_process_needs_no_mpi_and_several_are_told_to_install_it():
    message = in_fresh_python(WITHOUT_MPI)
    assert "mpiexec started 4 ranks but MPI cannot be loaded" in message and "pip install 'parampi[mpich]'" in message
