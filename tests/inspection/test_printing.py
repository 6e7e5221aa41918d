"""What results print: their digits, their points, and what their columns are called."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes

from sk_hessian import inspection
from sk_hessian.inspection import coef_table, prediction_table
from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.objectives import FunctionObjective, LeastSquaresObjective
from sk_hessian.solvers import minimize

NAMES = ["age", "income", "distance"]


@pytest.fixture(scope="module")
def rows():
    """Raw columns of three sizes, and y of a linear model, of classes, and of counts."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(18, 90, 120), rng.lognormal(10, 0.5, 120), rng.normal(size=120) * 1e-5])
    signal = 0.02 * X[:, 0] + 3e-5 * X[:, 1] + 5e4 * X[:, 2] - 2
    return (
        X,
        signal + rng.normal(size=120),
        (signal + rng.logistic(size=120) > 0).astype(int),
        rng.poisson(np.exp(signal)),
    )


@pytest.fixture(scope="module")
def results(rows):
    """A result of each kind by the name of what makes it."""
    X, y, classes, counts = rows
    ols, ridge = LinearRegression().fit(X, y), Ridge().fit(X, y)
    logistic = LogisticRegression(C=np.inf).fit(X, classes)
    table = coef_table(ols, X, y)
    poisson = PoissonRegressor(alpha=0).fit(X, counts)
    small = LinearRegression().fit(X[:, :2], y)
    line = minimize(LeastSquaresObjective(lambda theta: X[:, 0] * theta[0] + theta[1] - y), [0.0, 0.0])
    found = {
        name: getattr(inspection, name)(ridge, X, y)
        for name in ("laplace", "tune_alpha", "leave_one_out", "stationary_point", "hessian", "spectrum")
    }
    found["leave_one_out_path"] = inspection.leave_one_out_path(ridge, X, y, [0.1, 1.0, 10.0])
    found["profile_intervals"] = inspection.profile_intervals(logistic, X, classes)
    found["hessian_accuracy"] = inspection.hessian_accuracy(logistic, X, classes)
    found["Approximation"] = found["hessian_accuracy"]["diagonal"]
    for name in ("influence", "variance_inflation", "marginal_effects", "taylor_model"):
        found[name] = getattr(inspection, name)(ols, X, y)
    found["flat"] = inspection.flat_directions(LinearRegression().fit(X[:, [0, 0]], y), X[:, [0, 0]], y)[0]
    found["compare_models"] = inspection.compare_models(small, ols, X, y, columns=[0, 1])
    found["score_test"] = inspection.score_test(small, X[:, :2], y, X[:, 2])
    found["prediction_table"] = prediction_table(ols, X, X, y)
    found |= {"coef_table": table, "wald": table.wald("*"), "contrast": table.contrast({"x0": 1, "x1": -1})}
    found |= {"exp": coef_table(poisson, X, counts).exp(), "curve_table": inspection.curve_table(line), "result": line}
    return found | {"convergence": ridge.convergence_}


KINDS = [
    "laplace", "tune_alpha", "leave_one_out", "stationary_point", "hessian", "spectrum", "leave_one_out_path",
    "profile_intervals", "hessian_accuracy", "Approximation", "influence", "variance_inflation", "marginal_effects",
    "taylor_model", "flat", "compare_models", "score_test", "prediction_table", "coef_table", "wald", "contrast", "exp",
    "curve_table", "result", "convergence",
]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_result_prints_plainly(results, name):
    found = results[name]
    text = repr(found)
    assert str(found) == text
    assert "np." not in text
    assert type(found).__name__ + "(" not in text
    assert all(line == line.rstrip() and len(line) <= 120 for line in text.splitlines())
    html = found._repr_html_()
    assert html.count("<table>") == html.count("</table>")
    assert not re.search(r"<(?!/?(table|tr|th|td|p)[ >])", html)
    if dataclasses.is_dataclass(found):
        assert not [key for key, value in vars(found).items() if isinstance(value, np.generic)]


def cells_of(text):
    """The rows of a printed table by name: texts, and the columns of their points."""
    lines = text.splitlines()
    rule = next(i for i, line in enumerate(lines) if set(line) == {"-"})
    numbers = re.compile(r"(?<= )-?\d+(\.\d+)?(e[+-]\d+)?")
    return {
        line.split()[0]: ([m[0] for m in numbers.finditer(line)], [i for i, c in enumerate(line) if c == "."])
        for line in lines[rule + 2 :]
    }


def test_numbers_have_the_digits_of_their_errors_and_points_below_each_other(results):
    table = results["coef_table"]
    cells = cells_of(str(table))
    assert list(cells) == table.names
    for i, (texts, points) in enumerate(cells.values()):
        error, shown = table.std_error[i], dict(zip(table._columns, map(float, texts), strict=True))
        for column in ("estimate", "lower", "upper"):
            assert abs(shown[column] - getattr(table, column)[i]) <= 0.0051 * error
        assert shown["std_error"] == pytest.approx(error, rel=0.0051)
        assert len(texts[1].split("e")[0].replace(".", "").lstrip("0")) == 3 or error >= 1000
        assert set(points) <= set(max((of_row for _, of_row in cells.values()), key=len))


def test_small_p_values_and_counts(rows):
    X, _, _, counts = rows
    model = PoissonRegressor(alpha=0).fit(X, counts)
    assert " < 0.0001 " in str(coef_table(model, X, counts))
    assert "&lt; 0.0001" in coef_table(model, X, counts)._repr_html_()
    observed = prediction_table(model, X[:3], X, counts, of="observation")
    for line, low, high in zip(str(observed).splitlines()[-3:], observed.lower, observed.upper, strict=True):
        assert line.split()[-2:] == [f"{low:.0f}", f"{high:.0f}"]


def test_a_verdict_is_a_block_that_begins_with_its_message(results):
    found = results["convergence"]
    text = " ".join(str(found).split())
    assert text.startswith(found.message)
    assert (
        f"decrement {found.decrement:.3g} (optimal needs at most {found.tol**2 * found.scale:.3g} = tol^2 scale" in text
    )
    dependent = LinearRegression().fit([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]], [1.0, 2.0, 3.0]).convergence_
    assert dependent.flat_directions[0] in " ".join(str(dependent).split())


def test_a_result_of_minimize_has_the_fields_of_scipy(results):
    lines = str(results["result"]).splitlines()
    captions = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert captions[-9:] == ["success", "status", "fun", "x", "jac", "nit", "nfev", "nhev", "solver"]
    undetermined = minimize(FunctionObjective(lambda x: (x[0] - x[1]) ** 2), [1.0, 0.0])
    assert "success" in str(undetermined)


@pytest.mark.parametrize(
    "function",
    ["coef_table", "marginal_effects", "variance_inflation", "influence", "hessian", "taylor_model", "laplace"],
)
def test_columns_of_an_array_can_be_named(rows, function):
    X, y, _, _ = rows
    model = Ridge().fit(X, y) if function == "laplace" else LinearRegression().fit(X, y)
    found = getattr(inspection, function)(model, X, y, names=NAMES)
    names = found.parameter_names if hasattr(found, "parameter_names") else found.names
    assert list(names)[:3] == NAMES
    with pytest.raises(ValueError, match="names must be 3 different ones"):
        getattr(inspection, function)(model, X, y, names=["age", "age", "distance"])


def test_named_columns_are_those_of_tests_and_frames(rows):
    X, y, classes, _ = rows
    table = coef_table(LinearRegression().fit(X, y), X, y, names=NAMES)
    frame = pd.DataFrame(X, columns=NAMES)
    assert str(table) == str(coef_table(LinearRegression().fit(frame, y), frame, y))
    assert table.wald("inc*").hypothesis == ["income = 0"]
    model = LogisticRegression(C=np.inf).fit(X, classes)
    assert inspection.profile_intervals(model, X, classes, names=NAMES, parameters=["income"]).names == ["income"]
    assert "age" in inspection.spectrum(model, X, classes, names=NAMES, eigenvectors=True).parameter_names


def test_a_table_of_diabetes_reads_like_this():
    X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    lines = str(coef_table(LinearRegression().fit(X[["age", "s5"]], y), X[["age", "s5"]], y)).splitlines()
    assert lines[-4:] == [
        "           estimate  std. error       t         p      2.5%     97.5%",
        "age           0.220       0.240   0.916    0.3602    -0.252     0.692",
        "s5           82.02        6.03   13.609  < 0.0001    70.17     93.86",
        "intercept  -239.2        27.4    -8.729  < 0.0001  -293.1    -185.4",
    ]
