"""The files that are handed out, sdist and wheel: what is in them, and that they work without a clone, and beside one."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections import namedtuple
from email.parser import BytesParser
from pathlib import Path

import pytest

pytest.importorskip("build", reason="needs the package build, of the extra test")

from packaging.metadata import Metadata

from parampi.run.projects.shipped import LEFT_OUT

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
TREE = (".ci", "conda", "docs", "examples", "jobs", "parampi", "tests")
FILES = ("LICENSE", "MANIFEST.in", "README.md", "constraints.txt", "pyproject.toml", "setup.py")
LITTER = shutil.ignore_patterns(*LEFT_OUT, "_build", "turbulence.nc")
Built = namedtuple("Built", "sdist wheel")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist of a copy of this tree in which examples have been run, and the wheel of the sdist."""
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in TREE:
        shutil.copytree(ROOT / name, copy / name, ignore=LITTER)
    for name in FILES:
        shutil.copy(ROOT / name, copy / name)
    for name in ("output/ensemble.nc", "turbulence.nc", "__pycache__/model.pyc"):
        (copy / "examples" / "01_turbulence" / name).parent.mkdir(exist_ok=True)
        (copy / "examples" / "01_turbulence" / name).write_text("litter")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, folder=copy)
    assert done.returncode == 0, done.stdout + done.stderr
    return Built(next(out.glob("*.tar.gz")), next(out.glob("*.whl")))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The commands of an environment that has the wheel, and all else from this one; `parampi` is not this tree's."""
    place = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", place, check=True)
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        place / "bin" / "python",
        "install",
        "--no-deps",
        "--no-index",
        built.wheel,
        check=True,
    )
    (site,) = place.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    return place / "bin"


def run(*command, folder=None, check=False):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    # mpi4py looks for an MPI of the extra mpich in its own environment, and that is in this one
    environment |= {"OMP_NUM_THREADS": "1", "LD_LIBRARY_PATH": f"{sys.prefix}/lib"}
    return subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=check
    )


def shipped(folder):
    """The files of a folder that belong to it."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        yield from (Path(place, name).relative_to(ROOT) for name in files if name not in (*LEFT_OUT, "turbulence.nc"))


def test_the_wheel_has_the_package_and_the_examples(built):
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    package = {str(path) for path in shipped(ROOT / "parampi")}
    examples = {f"parampi/{path}" for path in shipped(ROOT / "examples") if not path.match("scaling*.png")}
    assert names == package | examples
    assert built.wheel.stat().st_size < 20e6


def test_the_sdist_has_what_the_tests_need(built):
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"constraints.txt", ".ci/run", "jobs/slurm.sh", "tests/conftest.py", "docs/tutorial.md", "setup.py"} <= names
    assert {str(path) for path in shipped(ROOT / "examples")} <= names
    assert not [name for name in names if "output/" in name or name.endswith((".pyc", "turbulence.nc"))]


def test_an_index_would_take_it(built):
    """Name, version, licence, classifiers and text are of the form that they have to have."""
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        text = wheel.read(name)
    metadata = Metadata.from_email(text, validate=True)
    assert metadata.name == "parampi" and metadata.license_expression == "Apache-2.0"
    assert metadata.description_content_type == "text/markdown" and len(metadata.description) > 1000
    assert BytesParser().parsebytes(text)["License-File"] == "LICENSE"


@pytest.mark.mpi
def test_from_an_empty_folder_to_an_ensemble(installed, tmp_path):
    """README's first example, with fewer points, by what the wheel installed."""
    listed = run(installed / "parampi", "init", "--example", folder=tmp_path, check=True).stdout
    assert "01_turbulence        Two-dimensional turbulence" in listed.splitlines()
    assert (
        "next: parampi run examples/01_turbulence/run.yaml"
        in run(installed / "parampi", "init", "--example", "turbulence", folder=tmp_path, check=True).stdout
    )
    mpiexec = shutil.which("mpiexec")
    smaller = ("sampling.members=1", "sampling.window=4", "sampling.sigmas.steps=12")
    command = (mpiexec, "-n", 2, installed / "parampi", "run", "examples/01_turbulence/run.yaml", *smaller)
    done = run(*command, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run(installed / "parampi", "check", "examples/01_turbulence/output/ensemble.nc", folder=tmp_path).returncode == 0


def test_a_clone_beside_a_script_does_not_hide_it(installed, tmp_path):
    """A clone is a folder named parampi without `__init__.py`, which Python would take for a package if it found no other."""
    (tmp_path / "parampi" / "parampi").mkdir(parents=True)
    (tmp_path / "parampi" / "README.md").write_text("a clone")
    (tmp_path / "script.py").write_text("import parampi\nprint(parampi.__file__, parampi.exact.FieldMixture.__name__)")
    done = run(installed / "python", "script.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    file, name = done.stdout.split()
    assert Path(file).is_relative_to(installed.parent) and name == "FieldMixture"
