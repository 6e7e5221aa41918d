"""What is installed and imported: versions, heavy modules, the files of a distribution."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest

import sk_hessian

ROOT = Path(__file__).parents[1]
ROOMS = ["categories", "linear_model", "neural_network", "solvers", "objectives", "inspection", "penalties"]

#: what only some calls need; scikit-learn may import some of it by itself
HEAVY = {"dask", "hypothesis", "matplotlib", "pandas", "pytest", "rich", "statsmodels"}
SCIKIT_LEARN = "import sklearn.linear_model, sklearn.neural_network"


def imported_by(statement):
    """Top-level packages and scipy's subpackages that a fresh interpreter has imported after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    names = done.stdout.split()
    return {name for name in names if name.count(".") <= name.startswith("scipy.")}


def test_the_version_is_that_of_the_distribution():
    assert sk_hessian.__version__ == metadata("sk-hessian")["Version"]


def test_the_package_itself_imports_nothing_else():
    assert imported_by("import sk_hessian") & {"numpy", "scipy", "sklearn"} == set()


def test_nothing_heavy_is_imported_when_a_submodule_is_used():
    """No package and no part of scipy beyond those that scikit-learn's linear models and networks bring.

    Submodules are loaded when they are used, by ``sk_hessian.linear_model`` after ``import sk_hessian`` alone.
    """
    used = "import sk_hessian\n" + "\n".join(f"assert sk_hessian.{room}.__all__" for room in ROOMS)
    ours = imported_by(used) - imported_by(SCIKIT_LEARN)
    assert ours & HEAVY == set()
    assert {name for name in ours if name.startswith("scipy.") and "._" not in name} == set()


def test_completion_shows_the_public_names_alone():
    public = {
        "__version__",
        "categories",
        "inspection",
        "linear_model",
        "neural_network",
        "objectives",
        "penalties",
        "solvers",
    }
    assert set(dir(sk_hessian)) == set(sk_hessian.__all__) == public
    assert all(hasattr(sk_hessian, name) for name in public)
    exec("from sk_hessian import *", names := {})
    assert names["linear_model"].Ridge
    assert not hasattr(sk_hessian, "version")
    with pytest.raises(AttributeError, match="has no attribute 'linear_models'; it has __version__, categories, ins"):
        sk_hessian.linear_models  # noqa: B018


def test_the_package_is_marked_as_typed():
    assert (Path(sk_hessian.__file__).parent / "py.typed").exists()


def test_the_oldest_versions_are_those_of_the_metadata():
    """tests/oldest.txt pins exactly the floors of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    given = " ".join(project["dependencies"] + extras["dask"] + extras["test"])
    floors = dict(re.findall(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", given))
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "tests/oldest.txt").read_text(), re.MULTILINE))

    def padded(versions):
        return {name: (version.split(".") + ["0", "0"])[:3] for name, version in versions.items()}

    assert padded(pins) == padded(floors)
