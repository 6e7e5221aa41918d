"""The table of rooms: who may import what, and who may speak."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

import sk_hessian

ROOT = Path(sk_hessian.__file__).parent
MODULES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}

#: what a method of minimisation may import: neither the loop nor the verdict
METHOD = {
    f"sk_hessian.solvers.{name}" for name in ("options", "method", "plan", "steps", "linear", "problem", "first_order")
} | {"sk_hessian.objectives.coordinates", "sk_hessian.objectives.evaluation", "sk_hessian.objectives.factors"}

#: room -> modules that it may import besides the standard library, numpy and `_text` (the words that messages share);
#: the longest match counts. A foreign package stands for all that it holds, one of ours for its public names; "*" for
#: all of its modules
ROOMS = {
    "__init__.py": {"importlib"},
    "_text.py": set(),
    "_facts.py": set(),
    "_keywords.py": set(),
    "_base.py": {
        "sklearn",
        "scipy.sparse",
        "scipy.special",
        "sk_hessian._callbacks",
        "sk_hessian._keywords",
        "sk_hessian._validation",
        "sk_hessian.objectives",
        "sk_hessian.solvers",
    },
    "_callbacks.py": {"sklearn.callback"},
    "_validation.py": {"sklearn", "sk_hessian.objectives"},
    "_parts.py": {"sklearn", "sk_hessian._validation", "sk_hessian.objectives"},
    "_scores.py": {"sklearn", "sk_hessian._parts", "sk_hessian._validation", "sk_hessian.objectives"},
    "linear_model/": {
        "sklearn",
        "scipy.sparse",
        "scipy.special",
        "sk_hessian._base",
        "sk_hessian._keywords",
        "sk_hessian._parts",
        "sk_hessian._scores",
        "sk_hessian._validation",
        "sk_hessian.objectives",
        "sk_hessian.solvers",
        "sk_hessian.linear_model.*",
    },
    "neural_network/": {
        "sklearn",
        "scipy.sparse",
        "scipy.special",
        "sk_hessian._base",
        "sk_hessian._keywords",
        "sk_hessian._scores",
        "sk_hessian._validation",
        "sk_hessian.objectives",
        "sk_hessian.solvers",
        "sk_hessian.neural_network.*",
    },
    "objectives/__init__.py": {"sk_hessian.objectives.*"},
    "objectives/contract.py": {"scipy.sparse.linalg", "sk_hessian.objectives.coordinates"},
    "objectives/coordinates.py": {"sk_hessian.objectives.factors", "sk_hessian.objectives.rows"},
    "objectives/evaluation.py": {"sk_hessian.objectives.factors"},
    "objectives/factors.py": {"scipy.special", "scipy.linalg"},
    "objectives/losses/": {"scipy.special", "scipy.linalg", "sk_hessian.objectives.losses.*"},
    "objectives/rows/": {"scipy.linalg", "scipy.sparse", "sk_hessian.objectives.rows.*"},
    "objectives/rows/threads.py": {"threadpoolctl"},
    "objectives/rows/dask.py": {"dask", "pandas", "sk_hessian.objectives.rows.sources"},
    "objectives/models/": {
        "scipy.special",
        "sk_hessian.objectives.coordinates",
        "sk_hessian.objectives.models.*",
        "sk_hessian.objectives.rows",
    },
    "objectives/terms/": {
        "scipy.linalg",
        "sk_hessian.objectives._spread",
        "sk_hessian.objectives.column_space",
        "sk_hessian.objectives.evaluation",
        "sk_hessian.objectives.factors",
        "sk_hessian.objectives.row_curvature",
        "sk_hessian.objectives.rows",
        "sk_hessian.objectives.terms.*",
    },
    "objectives/baseline.py": {"sk_hessian.objectives.losses"},
    "objectives/mean_loss.py": {
        "sk_hessian.objectives.baseline",
        "sk_hessian.objectives.contract",
        "sk_hessian.objectives.rows",
    },
    "objectives/glm_evaluation.py": {
        "scipy.sparse.linalg",
        "sk_hessian.objectives._edge",
        "sk_hessian.objectives.coordinates",
        "sk_hessian.objectives.evaluation",
        "sk_hessian.objectives.factors",
    },
    "objectives/mlp_evaluation.py": {
        "scipy.sparse.linalg",
        "sk_hessian.objectives.coordinates",
        "sk_hessian.objectives.evaluation",
        "sk_hessian.objectives.factors",
        "sk_hessian.objectives.models",
        "sk_hessian.objectives.rows",
    },
    "objectives/linear_sums.py": {"sk_hessian.objectives.rows"},
    "objectives/column_space.py": {
        "sk_hessian.objectives._orthogonal",
        "sk_hessian.objectives.factors",
        "sk_hessian.objectives.rows",
    },
    "objectives/linearised.py": {
        "scipy.linalg",
        "sk_hessian.objectives.coordinates",
        "sk_hessian.objectives.rows",
    },
    "objectives/single_rows.py": set(),
    "objectives/row_curvature.py": {"sk_hessian.objectives._spread", "sk_hessian.objectives.rows"},
    "objectives/_spread.py": {"sk_hessian.objectives.factors"},
    "objectives/_orthogonal.py": {"scipy.linalg", "sk_hessian.objectives.rows"},
    "objectives/_programs.py": {"scipy.optimize", "scipy.sparse"},
    "objectives/_edge.py": {"scipy.linalg", "scipy.optimize"},
    "objectives/_differences.py": set(),
    "objectives/_refinement.py": set(),
    "objectives/": {"scipy.linalg", "scipy.sparse", "sk_hessian.objectives.*"},
    "inspection/": {
        "scipy",
        "matplotlib",
        "pandas",
        "sk_hessian.objectives",
        "sk_hessian.solvers",
        "sk_hessian.inspection.*",
    },
    "solvers/options.py": {"sk_hessian._keywords", "sklearn.base"},
    "solvers/method.py": set(),
    "solvers/plan.py": {"sk_hessian.objectives.coordinates"},
    **{f"solvers/{name}.py": METHOD for name in ("first_order", "sgd", "momentum", "clip", "newton", "lbfgs")},
    "solvers/": {
        "sk_hessian._keywords",
        "scipy.linalg",
        "scipy.sparse.linalg",
        "scipy.optimize",
        "sklearn.base",
        "sk_hessian.objectives.coordinates",
        "sk_hessian.objectives.evaluation",
        "sk_hessian.objectives.factors",
        "sk_hessian.solvers.*",
    },
}


@cache
def tree(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports(module):
    """Dotted names that a module imports, with the names it takes from them."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            yield from ((node.module, alias.name) for alias in node.names)


def room(module):
    return max((name for name in ROOMS if module.startswith(name)), key=len, default=None)


def allowed(name, member, permitted):
    whole, package = f"{name}.{member}", name.split(".")[0]
    if package in sys.stdlib_module_names | {"numpy"} or name in ("sk_hessian._text", "sk_hessian._facts"):
        return True
    if package == "sk_hessian":
        return any(p in (name, whole) or (p.endswith("*") and name.startswith(p[:-2])) for p in permitted)
    return any(p in (name, whole) or name.startswith(p + ".") for p in permitted)


def calls(module, *names):
    """Calls of a plain name or of an attribute with that dotted name."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            yield node.lineno


def test_every_module_has_a_room():
    assert [module for module in MODULES if room(module) is None] == []


def test_a_module_imports_what_its_room_allows():
    found = ((module, *pair) for module in MODULES for pair in imports(module))
    assert [x for x in found if not allowed(*x[1:], ROOMS[room(x[0])])] == []


def test_nothing_private_of_other_packages_is_imported():
    found = ((module, f"{name}.{member}") for module in MODULES for name, member in imports(module))
    foreign = [(m, name) for m, name in found if name.split(".")[0] in ("numpy", "scipy", "sklearn")]
    assert [(m, name) for m, name in foreign if any(part.startswith("_") for part in name.split("."))] == []


def test_only_the_base_warns_and_prints():
    speaks = ("warnings.warn", "warn", "print", "sys.stdout.write", "sys.stderr.write")
    assert [module for module in MODULES if list(calls(module, *speaks)) and module != "_base.py"] == []


def test_solvers_know_no_data():
    assert [module for module in MODULES if room(module) == "solvers/" and not module.startswith("solvers/")] == []
    solvers = [module for module in MODULES if module.startswith("solvers/")]
    names = {(m, node.attr) for m in solvers for node in ast.walk(tree(m)) if isinstance(node, ast.Attribute)}
    assert [(m, name) for m, name in sorted(names) if name in {"X", "y", "coef_", "loss", "classes_"}] == []


def test_functions_are_short_and_take_few_parameters():
    functions = [(m, f) for m in MODULES for f in ast.walk(tree(m)) if isinstance(f, ast.FunctionDef)]
    for module, node in functions:
        first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
        assert node.end_lineno - first.lineno < 60, f"{module}:{node.name}"
        count = len(node.args.args) + len(node.args.kwonlyargs) - (node.args.args[:1] != [])
        assert count <= 8 or node.name == "__init__", f"{module}:{node.name}"


def test_the_base_does_warn():
    """The tests above would pass if they found no call at all."""
    assert list(calls("_base.py", "warnings.warn"))


@pytest.mark.parametrize("package", ["inspection", "linear_model", "neural_network", "objectives", "solvers"])
def test_public_names_exist(package):
    module = __import__(f"sk_hessian.{package}", fromlist=["*"])
    assert sorted(module.__all__) == sorted(set(module.__all__))
    assert all(hasattr(module, name) for name in module.__all__)
    assert all(getattr(module, name).__doc__ for name in module.__all__ if callable(getattr(module, name)))


def test_plots_and_tables_are_imported_only_where_they_are_made():
    found = []
    for module in MODULES:
        at_import = [node for node in tree(module).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = [node.names[0].name if isinstance(node, ast.Import) else node.module for node in at_import]
        found += [(module, name) for name in names if name.split(".")[0] in ("dask", "matplotlib", "pandas")]
    assert found == []
