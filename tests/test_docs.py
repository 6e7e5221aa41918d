"""What the docs show is run."""

import doctest
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import sk_hessian

ROOT = Path(__file__).parents[1]
MODULES = [m.name for m in pkgutil.walk_packages(sk_hessian.__path__, "sk_hessian.")]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


@pytest.mark.parametrize("package", ["linear_model", "neural_network"])
def test_every_estimator_has_an_example(package):
    module = importlib.import_module(f"sk_hessian.{package}")
    without = [name for name in module.__all__ if ">>>" not in getattr(module, name).__doc__]
    assert without in ([], ["GammaRegressor"])  # its docstring refers to PoissonRegressor's


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(path, tmp_path):
    if path.name == "on_a_cluster.py":
        pytest.importorskip("distributed", reason="needs a dask cluster")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda p: p.name)
def test_sessions_in_the_pages(path):
    if path.name == "callbacks.md":
        pytest.importorskip("sklearn.callback", reason="callbacks need scikit-learn 1.9")
    if path.name == "scaling.md":
        pytest.importorskip("dask.dataframe", reason="its sessions need dask")
    result = doctest.testfile(str(path), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
