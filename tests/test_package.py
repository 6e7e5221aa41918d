"""What is installed and imported: versions, heavy modules, the files of a distribution."""

import re
import subprocess
import sys
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

import sk_hessian

ROOT = Path(__file__).parents[1]
ROOMS = ["", ".linear_model", ".neural_network", ".solvers", ".objectives", ".inspection"]

#: what only some calls need, and what costs more than a tenth of a second to import
HEAVY = ["dask", "hypothesis", "matplotlib", "pandas", "pytest", "rich", "statsmodels"]


def imported_by(statement):
    """Top-level packages and scipy's subpackages that a fresh interpreter has imported after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    names = done.stdout.split()
    return {name for name in names if name.count(".") <= name.startswith("scipy.")}


def test_the_version_is_that_of_the_distribution():
    assert sk_hessian.__version__ == metadata("sk-hessian")["Version"]


@pytest.mark.parametrize("room", ROOMS)
def test_no_heavy_module_is_imported(room):
    assert imported_by(f"import sk_hessian{room}") & set(HEAVY) == set()


def test_nothing_is_imported_that_scikit_learn_does_not_import():
    """What scikit-learn's own linear models and networks bring costs a user nothing more."""
    ours = imported_by("".join(f"import sk_hessian{room}\n" for room in ROOMS))
    theirs = imported_by("import sklearn.linear_model, sklearn.neural_network, sklearn.pipeline")
    foreign = {name for name in ours - theirs if name.split(".")[0] not in sys.stdlib_module_names}
    assert {name for name in foreign if not name.startswith("sk_hessian") and "._" not in name} <= set()


def test_the_package_is_marked_as_typed():
    assert (Path(sk_hessian.__file__).parent / "py.typed").exists()


def test_the_oldest_versions_are_those_of_the_metadata():
    """tests/oldest.txt pins exactly the floors of pyproject.toml."""
    text = "\n".join(requires("sk-hessian"))
    floors = dict(re.findall(r"^([\w-]+)>=([\d.]+)(?=$| ?; ?extra == ['\"]test['\"])", text, re.MULTILINE))
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "tests/oldest.txt").read_text(), re.MULTILINE))

    def padded(versions):
        return {name: (version.split(".") + ["0", "0"])[:3] for name, version in versions.items()}

    assert {"numpy", "scipy", "scikit-learn", "pytest"} <= set(floors)
    assert padded(pins) == padded(floors)
