"""The bars of taste that rooms keep: classes of one idea, short functions and files, no state set on the way."""

import ast
from functools import cache
from pathlib import Path

import sk_hessian
from sk_hessian import inspection

ROOT = Path(sk_hessian.__file__).parent

MODULES = sorted(ROOT.rglob("*.py"))

MOST_METHODS, MOST_DEPTH, MOST_DEPTH_OF_ESTIMATORS, MOST_LINES, MOST_CODE_LINES, MOST_PARAMETERS = 25, 3, 4, 500, 40, 7

#: rooms of estimators, whose lines of inheritance scikit-learn's mixins and ours make one longer
ESTIMATORS = ("linear_model/", "neural_network/", "_base.py", "_callbacks.py")

#: functions whose parameters are public and documented, and may be two more; an `__init__` has a solver's options
TAKES_MORE = {"minimize", "from_estimator", *inspection.__all__}


@cache
def nodes(path, kind):
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kind)]


def functions_of(owner):
    return [node for node in owner.body if isinstance(node, ast.FunctionDef)]


#: the bases of each of our classes, by name
BASES = {
    node.name: [ast.unparse(base).split(".")[-1] for base in node.bases]
    for path in sorted(ROOT.rglob("*.py"))
    for node in nodes(path, ast.ClassDef)
}


def depth(name):
    """How many of our classes there are in the longest line of inheritance that ends with this one."""
    return 1 + max(map(depth, BASES[name]), default=0) if name in BASES else 0


def code_lines(function, lines):
    """Lines of a function without its docstring, comments and blank lines."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    code = lines[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(1 for line in code if line.strip() and not line.strip().startswith("#"))


def parameters(function):
    names = [argument.arg for argument in function.args.args + function.args.kwonlyargs]
    return [name for name in names if name not in ("self", "cls")]


def attributes_set(function):
    """Attributes of ``self`` that a method sets."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def test_a_file_has_at_most_so_many_lines():
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def classes():
    """Pairs of a module's name and a class of it."""
    return [(name_of(path), node) for path in MODULES for node in nodes(path, ast.ClassDef)]


def test_a_class_has_few_methods_and_a_short_line_of_inheritance():
    for module, node in classes():
        assert len({function.name for function in functions_of(node)}) <= MOST_METHODS, (module, node.name)
        is_estimator = module.startswith(ESTIMATORS)
        assert depth(node.name) <= (MOST_DEPTH_OF_ESTIMATORS if is_estimator else MOST_DEPTH), (module, node.name)


def test_attributes_are_set_in_init_only():
    """Cached properties set themselves; a run of a solver is a state by itself."""
    for module, node in classes():
        methods = [function for function in functions_of(node) if function.name not in ("__init__", "__setstate__")]
        names = [f"{node.name}.{name}" for method in methods for name in attributes_set(method)]
        assert not module.startswith("objectives/") or names == [], module


def test_functions_are_short_and_take_few_parameters():
    for path in MODULES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in nodes(path, ast.FunctionDef):
            assert code_lines(node, lines) <= MOST_CODE_LINES, (name_of(path), node.name)
            most = MOST_PARAMETERS + 2 * (node.name in TAKES_MORE)
            assert len(parameters(node)) <= most or node.name == "__init__", (name_of(path), node.name)


def test_the_counters_count():
    source = 'def f(self, a, *, b):\n    """Doc."""\n    # why\n    x = a\n\n    return x\n'
    function = ast.parse(source).body[0]
    assert code_lines(function, source.splitlines()) == 2
    assert parameters(function) == ["a", "b"]
    assert depth("SGD") == 3


#: what only the room of rows may ask: what X is
KINDS_OF_X = {"is_sparse", "X", "nnz", "issparse"}


def test_what_kind_x_is_is_known_in_the_room_of_rows_alone():
    for path in sorted((ROOT / "objectives").glob("*.py")):
        asked = {node.attr for node in nodes(path, ast.Attribute)} & KINDS_OF_X
        assert asked <= ({"issparse"} if path.name == "residuals.py" else set()), path.name
        checked = [
            ast.unparse(node.args[0]) for node in nodes(path, ast.Call) if ast.unparse(node.func) == "isinstance"
        ]
        assert not set(checked) & {"block", "rows"}, path.name
