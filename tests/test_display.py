"""What an estimator prints and shows: the lines of ``verbose``, the diagram in a notebook."""

import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_hessian import linear_model, neural_network
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.solvers import SGD
from tests.estimators import ALL_SOLVERS, ESTIMATORS, raw_table, target

COLUMNS = ["iteration", "objective", "gradient_norm", "decrement", "step", "seconds"]
SMALL = {"hidden_layer_sizes": (3,), "activation": "tanh", "alpha": 1.0, "random_state": 0}
MODELS = ESTIMATORS | {"MLPRegressor": MLPRegressor(**SMALL), "MLPClassifier": MLPClassifier(**SMALL)}
LIKE = {"MLPRegressor": "Ridge", "MLPClassifier": "softmax"}

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def ends(line):
    """Where the words of a line end."""
    return [match.end() for match in re.finditer(r"\S+", line)]


def printed(model, X, y, capsys):
    """The lines of a fit, and the fitted model."""
    capsys.readouterr()
    model.fit(X, y)
    return capsys.readouterr().out.splitlines(), model


def expected_iterations(n, verbose):
    return [i for i in range(1, n + 1) if i == 1 or i % verbose == 0]


@pytest.mark.parametrize(
    ("name", "solver"),
    [(n, s) for n in MODELS for s in ALL_SOLVERS if s == "auto" or n in ("PoissonRegressor", "MLPClassifier")],
)
@quiet
def test_one_aligned_line_for_every_iteration(name, solver, rng, capsys):
    X = raw_table(rng, n=60, p=3)
    model = clone(MODELS[name]).set_params(solver=solver, verbose=1, random_state=0, max_iter=30)
    (head, *lines), model = printed(model, X, target(LIKE.get(name, name), X, rng), capsys)
    assert head.split() == COLUMNS
    assert all(ends(line) == ends(head) for line in lines)
    assert [int(line.split()[0]) for line in lines] == expected_iterations(int(np.max(model.n_iter_)), 1)
    shown = [float(line.split()[1]) for line in lines]
    np.testing.assert_allclose(shown, model.history_["objective"][1:], rtol=1e-9)


@pytest.mark.parametrize("verbose", [0, 2, 10, True])
def test_every_so_many_iterations(verbose, rng, capsys):
    X = raw_table(rng)
    model = ESTIMATORS["PoissonRegressor"].set_params(solver="momentum", verbose=verbose, tol=1e-8)
    lines, model = printed(model.set_params(random_state=0), X, target("PoissonRegressor", X, rng), capsys)
    assert model.n_iter_ > 20
    assert [int(line.split()[0]) for line in lines[1:]] == (
        expected_iterations(model.n_iter_, verbose) if verbose else []
    )


def test_every_start_has_a_header(rng, capsys):
    X = raw_table(rng, n=60, p=3)
    model = clone(MODELS["MLPRegressor"]).set_params(n_init=3, verbose=10)
    lines, _ = printed(model, X, target("Ridge", X, rng), capsys)
    heads = [i for i, line in enumerate(lines) if line.split() == COLUMNS]
    assert len(heads) == 3
    assert [int(lines[i + 1].split()[0]) for i in heads] == [1, 1, 1]
    assert len({tuple(ends(line)) for line in lines}) == 1


@pytest.mark.parametrize(
    ("unit", "solver"),
    [(1e-149, "newton"), (1e149, "newton"), (1.0, SGD(9.0, batch_size=None, precondition=None))],
    ids=str,
)
@quiet
def test_no_number_is_too_wide_for_its_column(unit, solver, rng, capsys):
    """Objectives of 1e-300 and 1e300, and those of a run that diverges."""
    X = rng.normal(size=(60, 3))
    y = unit * target("LinearRegression", X, rng)
    lines, model = printed(linear_model.LinearRegression(solver=solver, verbose=1), X, y, capsys)
    assert len(lines) > 1
    assert all(ends(line) == ends(lines[0]) for line in lines)
    shown = [float(line.split()[1]) for line in lines[1:]]
    np.testing.assert_allclose(shown, model.history_["objective"][1:], rtol=1e-9)


# -- the diagram ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", [linear_model, neural_network], ids=lambda p: p.__name__)
def test_the_diagram_links_to_the_documentation(package):
    for name in package.__all__:
        link = f"https://sk-hessian.readthedocs.io/en/latest/generated/{package.__name__}.{name}.html"
        model = getattr(package, name)()
        assert f'href="{link}"' in model._repr_html_()
        pipeline = make_pipeline(StandardScaler(), model)._repr_html_()
        assert f'href="{link}"' in pipeline
        assert "scikit-learn.org" in pipeline


def test_a_class_of_a_user_has_no_such_link():
    class Mine(linear_model.Ridge):
        """Not of this package."""

    assert "readthedocs" not in Mine()._repr_html_()
