"""The page on the architecture says what the code is: its files, its imports, its names, the way of a fit.

``python -m tests.test_architecture`` writes the table of imports into the page anew.
"""

import re
import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer

import sk_hessian
from sk_hessian.linear_model import LogisticRegression
from sk_hessian.objectives.glm_evaluation import LinearEvaluation
from tests.test_rooms import MODULES, ROOMS

ROOT = Path(sk_hessian.__file__).parent
PAGE = ROOT.parent / "docs" / "architecture.md"
HEAD = "| room | may import |\n|---|---|\n"

#: the table of imports on the page, without its head
TABLE = re.compile(f"(?<={re.escape(HEAD)})((?:\\|.*\n)*)")

WORD = re.compile(r"[A-Za-z_]\w*")


def page():
    return PAGE.read_text(encoding="utf-8")


def in_code(names):
    return ", ".join(f"`{name}`" for name in names)


def table_of_rooms():
    """A row for each set of imports, with the rooms that have it, in the order of `ROOMS`."""
    rows: dict = {}
    for room, imports in ROOMS.items():
        rows.setdefault(frozenset(imports), []).append(room)
    lines = []
    for imports, rooms in rows.items():
        names = in_code(sorted(name.removeprefix("sk_hessian.") for name in imports))
        lines.append(f"| {in_code(rooms)} | {names or 'nothing else'} |\n")
    return lines


def paths_of_tree():
    """The files and folders that the page's tree names, relative to the package."""
    tree = re.search(r"```\nsk_hessian/\n(.*?)\ntests/", page(), flags=re.DOTALL).group(1)
    folders: list = []
    for line in tree.splitlines():
        level = (len(line) - len(line.lstrip())) // 2 - 1
        names = re.match(r"\s*((?:\S+\.py +)*\S+(?:\.py|/))", line).group(1).split()
        folders = [*folders[:level], names[0]]
        yield from ("".join([*folders[:level], name]) for name in names)


def test_the_table_of_imports_is_that_of_the_rooms():
    """Where this fails, run ``python -m tests.test_architecture``."""
    assert TABLE.search(page()).group(1).splitlines(keepends=True) == table_of_rooms()


def test_the_tree_names_every_file_once():
    named = list(paths_of_tree())
    assert sorted(named) == sorted(set(named))
    missing = {module for module in MODULES if not module.endswith("__init__.py")} - set(named)
    assert missing == set()
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_names_of_the_page_are_in_the_code():
    files = [*ROOT.rglob("*.py"), *(ROOT.parent / "tests").rglob("*.py")]
    words = {word for path in files for word in WORD.findall(path.read_text(encoding="utf-8"))}
    text = TABLE.sub("", re.sub(r"```.*?```", "", page(), flags=re.DOTALL))
    codes = [code for code in re.findall(r"`([^`]+)`", text) if not (ROOT.parent / code).exists()]
    assert codes
    assert [code for code in codes if not words.issuperset(WORD.findall(code))] == []


def test_a_fit_of_a_small_table_goes_the_way_that_the_page_shows(monkeypatch):
    ways, compute = set(), LinearEvaluation.by_matrix

    def by_matrix(self):
        frame, names = sys._getframe(1), ["by_matrix"]
        while names[-1] != "fit":
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        ways.add(" -> ".join(reversed(names)))
        return compute(self)

    monkeypatch.setattr(LinearEvaluation, "by_matrix", by_matrix)
    LogisticRegression().fit(*load_breast_cancer(return_X_y=True))
    shown = re.search(r"^fit -> .*$", page(), flags=re.MULTILINE).group()
    assert shown in ways


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: "".join(table_of_rooms()), page(), count=1), encoding="utf-8")
