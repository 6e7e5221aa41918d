"""What the docs show is run."""

import dataclasses
import doctest
import glob
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

import sk_hessian
from sk_hessian.solvers import SOLVERS

ROOT = Path(__file__).parents[1]
PACKAGE = Path(sk_hessian.__file__).parent
DOCS = ROOT / "docs"
#: what a build of the site writes beside the pages
BUILT = {"_build", "generated", "gallery"}
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if BUILT.isdisjoint(path.relative_to(DOCS).parts)]
#: modules with sessions in their docstrings
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(autouse=True)
def closed_figures():
    """Before matplotlib 3.10 a change of backend with open figures warns."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    assert result.attempted > 0


def test_workflows_are_as_short_as_their_page_says():
    page = (DOCS / "workflows.md").read_text(encoding="utf-8")
    stated = re.findall(r"^\| ([A-Z][^|]*) \| (\d+)(?:, and (\d+))? \|", page, re.MULTILINE)
    sections = dict(section.split("\n", 1) for section in page.split("\n## ")[1:])
    assert len(stated) == len(sections) == 9
    for name, *counts in stated:
        (title,) = [title for title in sections if title.startswith(name)]
        work = re.findall(r"```python\n(.*?)```", sections[title], re.DOTALL)
        if title != "With the rest of scikit-learn":
            work = work[1:]  # the first session makes the data
        lines = [line[4:] for line in "".join(work).splitlines() if line.startswith((">>> ", "... "))]
        found = sum(not line.startswith(("import ", "from ")) for line in lines)
        assert found == sum(int(count) for count in counts if count), name


@pytest.mark.parametrize("package", ["linear_model", "neural_network"])
def test_every_estimator_has_an_example(package):
    module = importlib.import_module(f"sk_hessian.{package}")
    without = [name for name in module.__all__ if ">>>" not in getattr(module, name).__doc__]
    assert without in ([], ["GammaRegressor"])  # its docstring refers to PoissonRegressor's


#: what takes an example's time -> what is enough to see that it runs
SHORTER = {
    "larger_than_memory.py": {"default=200_000": "default=40_000"},
    "on_a_cluster.py": {"8, 20_000, 15": "8, 2_000, 15"},
    "silent_failures.py": {"SEEDS = 20": "SEEDS = 2"},
    "train_a_network.py": {'"max_iter": 5000': '"max_iter": 30', '"max_iter": 200': '"max_iter": 3'},
}


@pytest.mark.parametrize("name", [path.name for path in EXAMPLES])
def test_examples_run(name, tmp_path):
    """On fewer rows and iterations than a reader runs, from a copy: its pictures are written beside it."""
    if name == "on_a_cluster.py":
        pytest.importorskip("distributed", reason="needs a dask cluster")
    source, path = (ROOT / "examples" / name).read_text(encoding="utf-8"), tmp_path / name
    for usual, shorter in SHORTER.get(name, {}).items():
        assert usual in source
        source = source.replace(usual, shorter)
    path.write_text(source, encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,  # a loaded machine, not a limit that means anything
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize(
    "path",
    [page for page in (ROOT / "README.md", *PAGES) if ">>>" in page.read_text(encoding="utf-8")],
    ids=lambda p: "/".join(p.parts[-2:]),
)
def test_sessions_in_the_pages(path):
    if path.name == "callbacks.md":
        pytest.importorskip("sklearn.callback", reason="callbacks need scikit-learn 1.9")
    if path.name == "scaling.md":
        pytest.importorskip("dask.dataframe", reason="its sessions need dask")
    result = doctest.testfile(str(path), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def toctree_entries(page):
    """The pages that the toctrees of a page name, globs expanded."""
    for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
        for line in block.split():
            yield from (Path(path).resolve() for path in glob.glob(str(page.parent / f"{line}.md")))


def test_every_page_is_reached_from_the_landing_page():
    reached, waiting = set(), [(DOCS / "index.md").resolve()]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += toctree_entries(page)
    assert {page.resolve() for page in PAGES} == reached


def public_modules():
    """The modules that a user imports from: those of no private name that have an ``__all__``."""
    names = [f"sk_hessian.{m.name}" for m in pkgutil.iter_modules(sk_hessian.__path__) if not m.name.startswith("_")]
    return [module for module in map(importlib.import_module, names) if hasattr(module, "__all__")]


MEMBERS = (FunctionType, property, classmethod)


def public_objects():
    """Qualified name -> class, function, or method of a class, of all that is public."""
    found = {}
    for module in public_modules():
        for name in module.__all__:
            thing, path = getattr(module, name), f"{module.__name__}.{name}"
            if inspect.isclass(thing) or inspect.isfunction(thing):
                found[path] = thing
            for key, member in vars(thing).items() if inspect.isclass(thing) else ():
                if not key.startswith("_") and isinstance(member, MEMBERS):
                    found[f"{path}.{key}"] = member
    return found


def test_every_public_name_is_in_the_reference():
    reference = (DOCS / "api.md").read_text(encoding="utf-8").split("{eval-rst}")[1]
    template = (DOCS / "_templates" / "autosummary" / "module.rst").read_text(encoding="utf-8")
    modules = public_modules()
    assert modules
    assert "for item in members" in template  # those of __all__, as conf.py says
    assert "autosummary_ignore_module_all = False" in (DOCS / "conf.py").read_text(encoding="utf-8")
    for module in modules:
        assert module.__name__.removeprefix("sk_hessian.") in reference.split()
        assert len(module.__all__) == len(set(module.__all__))


def test_every_public_object_is_documented():
    assert [name for name, thing in public_objects().items() if not (inspect.getdoc(thing) or "").strip()] == []


#: numpydoc's checks that every public docstring passes, see numpydoc.validate.ERROR_MSGS
CHECKS = {"GL01", "GL02", "GL03", "GL05", "GL06", "GL07", "GL08", "GL09", "GL10", "SS01", "SS03", "SS04"}
CHECKS |= {"PR02", "PR03", "PR05", "PR06", "PR09", "PR10", "RT05", "SA02", "SA03", "SA04"}
#: those of functions, and of classes that are called by users
CHECKS_OF_CALLS = {"PR01", "RT01"}


def is_called_by_users(name, thing):
    """Not what only comes out of a call, nor what overrides a documented method."""
    if name.count(".") > 2 or "As in" in thing.__doc__ or "As of" in thing.__doc__:
        return False
    if inspect.isclass(thing):
        return not dataclasses.is_dataclass(thing) and "Parameters\n" in thing.__doc__
    return True


def test_docstrings_pass_numpydoc():
    validate = pytest.importorskip("numpydoc.validate", reason="numpydoc is in the docs extra").validate
    wrong = []
    for name, thing in public_objects().items():
        checks = CHECKS | (CHECKS_OF_CALLS if is_called_by_users(name, thing) else set())
        wrong += [(name, code, text) for code, text in validate(name)["errors"] if code in checks]
    assert wrong == []


def quickstart_table(path):
    """The lines of a page from the heading of the table to its end."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("solver    status "))
    return lines[first : first + 6]


def test_pages_with_the_quickstart_table_agree():
    table = quickstart_table(ROOT / "README.md")
    assert table == quickstart_table(DOCS / "which_solver.md")
    assert [line.split()[:2] for line in table[1:]] == [[name, "optimal"] for name in SOLVERS]
