"""The table of rooms: who may import what, and who may speak."""

import ast
import sys
from functools import cache
from pathlib import Path

import sk_hessian

ROOT = Path(sk_hessian.__file__).parent
MODULES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}


def ours(*names, of=""):
    """Dotted names of modules of this package, or of one of its rooms."""
    return {f"sk_hessian.{of}{name}" for name in names}


def objectives(*names):
    return ours(*names, of="objectives.")


#: what estimators may import
ESTIMATOR = {"sklearn", "scipy.sparse", "scipy.special"}
ESTIMATOR |= ours(
    "_constraints", "_keywords", "_penalties", "_strength", "_validation", "objectives", "_selection", "solvers"
)

#: what describes a point of an objective
POINT = objectives("coordinates", "evaluation", "factors")

#: what a method of minimisation may import: neither the loop nor the verdict
METHOD = POINT | ours("options", "method", "plan", "steps", "linear", "problem", "first_order", of="solvers.")

#: modules of words, of what a type checker sees, and of how results print: all may import them
OPEN = ours("_text", "_facts", "_report")

#: room -> modules that it may import besides the standard library, numpy and what is `OPEN`; the longest match counts.
#: A foreign package stands for all that it holds, one of ours for its public names; "*" for all of its modules
ROOMS = {
    "__init__.py": {"importlib"},
    "_text.py": set(),
    "_report.py": set(),
    "_facts.py": set(),
    "_keywords.py": set(),
    "_base.py": ESTIMATOR | ours("_callbacks"),
    "_callbacks.py": {"sklearn.callback"},
    "categories.py": {"sklearn.base"},
    "_frames.py": set(),
    "_encoding.py": {"sklearn"} | ours("_frames", "objectives"),
    "_levels.py": ours("_encoding", "_frames", "_penalties", "categories"),
    "_validation.py": {"sklearn"} | ours("_encoding", "_levels", "objectives"),
    "_forms.py": {"sklearn"},
    "penalties.py": ours("_forms", "objectives"),
    "_penalties.py": {"sklearn"} | ours("_forms", "penalties"),
    "_strength.py": ours("_penalties", "_validation", "_selection", "penalties", "solvers"),
    "_constraints.py": {"scipy.optimize", "scipy.sparse"} | ours("_strength", "objectives", "solvers"),
    "_parts.py": {"sklearn"} | ours("_encoding", "_levels", "_validation", "objectives"),
    "_scores.py": {"sklearn"} | ours("_parts", "_validation", "objectives"),
    "linear_model/": ESTIMATOR | ours("categories", "_base", "_parts", "_scores", "linear_model.*"),
    "neural_network/": ESTIMATOR | ours("_base", "_scores", "neural_network.*"),
    "objectives/__init__.py": objectives("*"),
    "objectives/contract.py": {"scipy.sparse.linalg"} | objectives("coordinates"),
    "objectives/coordinates.py": objectives("factors", "rows"),
    "objectives/evaluation.py": objectives("factors"),
    "objectives/factors.py": {"scipy.special", "scipy.linalg"},
    "objectives/losses/": {"scipy.special", "scipy.linalg"} | objectives("losses.*"),
    "objectives/rows/": {"scipy.linalg", "scipy.sparse"} | objectives("rows.*"),
    "objectives/rows/threads.py": {"threadpoolctl"},
    "objectives/rows/dask.py": {"dask", "pandas"} | objectives("rows.sources"),
    "objectives/models/": {"scipy.special"} | objectives("coordinates", "models.*", "rows"),
    "objectives/terms/": {"scipy.linalg"}
    | objectives("_spread", "column_space", "evaluation", "factors", "row_curvature", "rows", "terms.*"),
    "objectives/baseline.py": objectives("losses"),
    "objectives/mean_loss.py": objectives("baseline", "contract", "rows"),
    "objectives/glm_evaluation.py": {"scipy.linalg", "scipy.sparse.linalg"} | POINT | objectives("_edge"),
    "objectives/mlp_evaluation.py": {"scipy.sparse.linalg"} | POINT | objectives("models", "rows"),
    "objectives/linear_sums.py": objectives("rows"),
    "objectives/column_space.py": objectives(
        "_orthogonal", "_row_space", "coordinates", "design", "factors", "models", "rows"
    ),
    "objectives/_row_space.py": {"scipy.linalg"} | objectives("coordinates", "design", "models", "rows"),
    "objectives/design.py": set(),
    "objectives/linearised.py": {"scipy.linalg"} | objectives("coordinates", "rows"),
    "objectives/single_rows.py": objectives("rows"),
    "objectives/row_curvature.py": objectives("_spread", "rows"),
    "objectives/_spread.py": objectives("factors"),
    "objectives/_orthogonal.py": {"scipy.linalg"} | objectives("rows"),
    "objectives/_programs.py": {"scipy.optimize", "scipy.sparse"},
    "objectives/_edge.py": objectives("_quadratic"),
    "objectives/_quadratic.py": {"scipy.linalg", "scipy.optimize"} | objectives("factors"),
    "objectives/_domain.py": {"scipy.optimize"} | objectives("_edge", "rows"),
    "objectives/feasible.py": {"scipy.linalg", "scipy.optimize"} | objectives("_quadratic", "factors"),
    "objectives/_differences.py": set(),
    "objectives/_refinement.py": set(),
    "objectives/": {"scipy.linalg", "scipy.sparse"} | objectives("*"),
    "_selection/": {"pandas", "scipy.linalg", "scipy.optimize"} | ours("objectives", "_selection.*", "solvers"),
    "inspection/": {"scipy", "matplotlib", "pandas"} | ours("objectives", "_selection", "solvers", "inspection.*"),
    "solvers/options.py": {"sklearn.base"} | ours("_keywords"),
    "solvers/method.py": set(),
    "solvers/limits.py": {"scipy.optimize"} | ours("objectives"),
    "solvers/constrained.py": POINT | ours("objectives", "solvers.*"),
    "solvers/free.py": ours("objectives", "solvers.*"),
    "solvers/plan.py": objectives("coordinates"),
    **{f"solvers/{name}.py": METHOD for name in ("first_order", "sgd", "momentum", "clip", "newton", "lbfgs")},
    "solvers/": {"scipy.linalg", "scipy.sparse.linalg", "scipy.optimize", "sklearn.base"}
    | POINT
    | ours("_keywords", "solvers.*"),
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
    if package in sys.stdlib_module_names | {"numpy"} or name in OPEN:
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


def test_the_base_does_warn():
    """The tests above would pass if they found no call at all."""
    assert list(calls("_base.py", "warnings.warn"))


def test_plots_and_tables_are_imported_only_where_they_are_made():
    found = []
    for module in MODULES:
        at_import = [node for node in tree(module).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = [node.names[0].name if isinstance(node, ast.Import) else node.module for node in at_import]
        found += [(module, name) for name in names if name.split(".")[0] in ("dask", "matplotlib", "pandas")]
    assert found == []
