"""The shape of the code: how large classes, files and functions may be, in the rooms that have been rebuilt."""

import ast
from functools import cache
from pathlib import Path

import pytest

import sk_hessian

ROOT = Path(sk_hessian.__file__).parent

#: rooms that keep to the bars
ROOMS = ("solvers",)

MOST_METHODS = 25
MOST_CLASSES_IN_LINE = 3
MOST_LINES = 500
MOST_CODE_LINES = 40
MOST_PARAMETERS = 7

#: functions whose parameters are public and documented elsewhere
TAKES_MORE = {"minimize"}

MODULES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}
every_module = pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(ROOMS)])


def text(module):
    return MODULES[module].read_text(encoding="utf-8")


@cache
def nodes(module, kind):
    return [node for node in ast.walk(ast.parse(text(module))) if isinstance(node, kind)]


@cache
def bases():
    """Class -> the names of its bases, in the whole package."""
    classes = [node for module in MODULES for node in nodes(module, ast.ClassDef)]
    return {node.name: [ast.unparse(base).split(".")[-1] for base in node.bases] for node in classes}


def depth(name, known):
    return 1 + max((depth(base, known) for base in known[name]), default=0) if name in known else 0


def code_lines(function, lines):
    """Lines of a body without docstring, comments and blank lines."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    inside = lines[body[0].lineno - 1 : body[-1].end_lineno] if body else []
    return sum(1 for line in inside if line.strip() and not line.strip().startswith("#"))


def parameters(function):
    names = function.args.args + function.args.kwonlyargs
    return [arg.arg for arg in names if arg.arg not in ("self", "cls")]


@every_module
def test_files_are_short(module):
    assert len(text(module).splitlines()) <= MOST_LINES


@every_module
def test_classes_are_one_idea(module):
    for node in nodes(module, ast.ClassDef):
        own = {method.name for method in node.body if isinstance(method, ast.FunctionDef)}
        assert len(own) <= MOST_METHODS, node.name


@every_module
def test_inheritance_is_shallow(module):
    known = bases()
    assert [c.name for c in nodes(module, ast.ClassDef) if depth(c.name, known) > MOST_CLASSES_IN_LINE] == []


@every_module
def test_functions_are_short(module):
    lines = text(module).splitlines()
    assert [f.name for f in nodes(module, ast.FunctionDef) if code_lines(f, lines) > MOST_CODE_LINES] == []


@every_module
def test_functions_take_few_parameters(module):
    # the options of a solver are parameters of its `__init__`
    functions = [f for f in nodes(module, ast.FunctionDef) if f.name not in TAKES_MORE | {"__init__"}]
    assert [f.name for f in functions if len(parameters(f)) > MOST_PARAMETERS] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_code(room):
    """The tests above would pass if there were none."""
    assert any(nodes(name, ast.FunctionDef) for name in MODULES if name.startswith(room))


def test_the_counters_count():
    source = 'def f(self, a, *, b):\n    """Doc."""\n    # why\n    x = a\n\n    return x\n'
    example = ast.parse(source).body[0]
    assert code_lines(example, source.splitlines()) == 2
    assert parameters(example) == ["a", "b"]
    assert depth("C", {"A": ["Foreign"], "B": ["A"], "C": ["B", "Other"]}) == 3
