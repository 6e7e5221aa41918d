"""Every function of inspection on data that leave something undetermined: a finite result, or a sentence."""

import dataclasses
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sk_hessian import inspection
from sk_hessian.linear_model import (
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    Ridge,
)
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.objectives import Blocks
from tests.estimators import assert_refused, convergence_warnings

plt.switch_backend("agg")


def posterior(estimator, X, y):
    found = inspection.laplace(estimator, X, y)
    return found.predict(X), found.log_evidence, found.covariance()


def taylor(estimator, X, y):
    model = inspection.taylor_model(estimator, X, y)
    return model.value, model.gradient, model.hessian.toarray(), model.minimiser


def first(X):
    """What the first column is called."""
    return X.columns[0] if hasattr(X, "columns") else 0


#: what a user calls -> a call, and the numbers that it gives
FUNCTIONS = {
    "coef_table": inspection.coef_table,
    "coef_table-sandwich": lambda *rows: inspection.coef_table(*rows, cov="sandwich"),
    "coef_table-laplace": lambda *rows: inspection.coef_table(*rows, cov="laplace"),
    "prediction_table": lambda estimator, X, y: inspection.prediction_table(estimator, X, X, y),
    "profile_intervals": inspection.profile_intervals,
    "wald": lambda *rows: inspection.coef_table(*rows).wald("*"),
    "compare_models": lambda *rows: inspection.compare_models(None, *rows),
    "score_test": lambda estimator, X, y: inspection.score_test(estimator, X, y, np.asarray(X)[:, 0] ** 2),
    "variance_inflation": inspection.variance_inflation,
    "flat_directions": inspection.flat_directions,
    "hessian": lambda *rows: inspection.hessian(*rows).toarray(),
    "hessian_accuracy": inspection.hessian_accuracy,
    "influence": inspection.influence,
    "influential_rows": inspection.influential_rows,
    "laplace": posterior,
    "leave_one_out": inspection.leave_one_out,
    "marginal_effects": inspection.marginal_effects,
    "residuals": lambda *rows: inspection.residuals(*rows, kind="pearson"),
    "leave_one_out_path": lambda *rows: inspection.leave_one_out_path(*rows, [0.1, 1.0]),
    "spectrum": lambda *rows: inspection.spectrum(*rows, units="standardised"),
    "stationary_point": inspection.stationary_point,
    "taylor_model": taylor,
    "tune_alpha": inspection.tune_alpha,
    "CoefficientDisplay": inspection.CoefficientDisplay.from_estimator,
    "ConvergenceDisplay": lambda estimator, X, y: inspection.ConvergenceDisplay.from_estimator(estimator),
    "HessianSpectrumDisplay": inspection.HessianSpectrumDisplay.from_estimator,
    "InfluenceDisplay": inspection.InfluenceDisplay.from_estimator,
    "ResidualDisplay": lambda *rows: inspection.ResidualDisplay.from_estimator(*rows, kind="response"),
    # the axis of its picture has the units of X, and what other columns are held at depends on what they are: averaged
    "PredictionDisplay": lambda *rows: (
        inspection.PredictionDisplay.from_estimator(*rows, first(rows[1]), held="average").table
    ),
    "LossSurfaceDisplay": lambda *rows: inspection.LossSurfaceDisplay.from_estimator(*rows, n_grid=5),
}

#: fields that may be infinite or nan, as their documentation says
NOT_FINITE = {"df", "df_denom", "log_evidence", "statistic", "p_value", "path", "condition_number"}


@cache
def tables():
    """Columns, four targets, and tables with one more column or with few rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3)) * [1, 10, 100] + [0, 5, 1000]
    targets = {
        "number": X[:, 0] + rng.normal(size=40),
        "two": (X[:, 0] + rng.logistic(size=40) > 0).astype(int),
        "three": np.argmax(np.outer(X[:, 0], [1, 0, -1]) + rng.gumbel(size=(40, 3)), axis=1),
        "count": rng.poisson(np.exp(0.3 * X[:, 0] + 1)).astype(float),
    }
    columns = {
        "plain": X,
        "collinear": np.column_stack([X, X[:, 0] + 0.1 * X[:, 1]]),
        "nearly": np.column_stack([X, X[:, 0] + 1e-9 * rng.normal(size=40)]),
        "constant": np.column_stack([X, np.full(40, 7.0)]),
        "wide": rng.normal(size=(8, 20)),
    }
    return columns, targets


def symmetric_network():
    """A network whose hidden units are alike, which Gauss-Newton's curvature does not part."""
    X = np.random.default_rng(1).normal(size=(80, 1))
    y = X[:, 0]
    model = MLPRegressor(hidden_layer_sizes=(2,), activation="tanh", alpha=0.1, random_state=0, solver="newton")
    model.fit(X, y)
    for part in (*model.coefs_, *model.intercepts_):
        part[...] = 0
    return model.set_params(warm_start=True).fit(X, y), X, y


def network_of_a_fold():
    columns, targets = tables()
    X, y = columns["plain"], targets["three"]
    model = MLPClassifier(hidden_layer_sizes=(2,), alpha=0.1, random_state=0, solver="newton")
    return model.fit(X, y), X[y < 2], y[y < 2]


def firth():
    return LogisticRegression(C=np.inf, jeffreys=True)


def unpenalised():
    return LogisticRegression(C=np.inf)


def fit(model, columns, target, keep=None):
    """A model and the rows to look at it on: its own, or those that ``keep`` chooses by y."""
    X = tables()[0][columns]
    y = tables()[1][target] if isinstance(target, str) else target(X)
    model.fit(X, y)
    chosen = slice(None) if keep is None else keep(y)
    return model, X[chosen], y[chosen]


CASES = {
    "collinear": lambda: fit(LinearRegression(), "collinear", "number"),
    "collinear-penalty": lambda: fit(LogisticRegression(), "collinear", "two"),
    "collinear-softmax": lambda: fit(unpenalised(), "collinear", "three"),
    "collinear-counts": lambda: fit(PoissonRegressor(alpha=0), "collinear", "count"),
    "nearly-collinear": lambda: fit(Ridge(), "nearly", "number"),
    "constant-column": lambda: fit(Ridge(), "constant", "number"),
    "constant-column-jeffreys": lambda: fit(firth(), "constant", "two"),
    "separated": lambda: fit(unpenalised(), "plain", lambda X: (X[:, 0] > 0).astype(int)),
    "separated-penalty": lambda: fit(LogisticRegression(), "plain", lambda X: (X[:, 0] > 0).astype(int)),
    "separated-jeffreys": lambda: fit(firth(), "plain", lambda X: (X[:, 0] > 0).astype(int)),
    "zeros-alone": lambda: fit(PoissonRegressor(alpha=0), "plain", lambda X: np.zeros(len(X))),
    "wide": lambda: fit(LinearRegression(), "wide", lambda X: X[:, 0] + X[:, 1] ** 2),
    "wide-penalty": lambda: fit(LogisticRegression(), "wide", lambda X: np.array([0, 1, 2, 1, 0, 1, 2, 0])),
    "perfect": lambda: fit(HuberRegressor(alpha=0), "plain", lambda X: 2 * X[:, 0]),
    "no-overdispersion": lambda: fit(NegativeBinomialRegressor(alpha=0), "plain", lambda X: np.full(len(X), 3.0)),
    "fold-without-a-class": lambda: fit(LogisticRegression(), "plain", "three", lambda y: y < 2),
    "fold-of-one-class": lambda: fit(LogisticRegression(), "plain", "two", lambda y: y == 0),
    "fold-of-one-class-jeffreys": lambda: fit(firth(), "plain", "two", lambda y: y == 0),
    "network-of-a-fold": network_of_a_fold,
    "saddle": symmetric_network,
}


@cache
def case(name):
    return convergence_warnings(CASES[name])[0]


def numbers(found, path=""):
    """Pairs of a name and an array of all that a result holds."""
    if isinstance(found, np.ndarray | float):
        yield path, np.asarray(found)
    elif isinstance(found, list | tuple):
        for part in found:
            yield from numbers(part, path)
    elif dataclasses.is_dataclass(found):
        for field in dataclasses.fields(found):
            yield from numbers(getattr(found, field.name), field.name)


TABLES = ("coef_table", "coef_table-sandwich", "coef_table-laplace", "wald", "CoefficientDisplay", "marginal_effects")
LINEAR = ("compare_models", "score_test", "variance_inflation")
TABLES += ("prediction_table", "PredictionDisplay")
ROWS = ("influence", "influential_rows", "InfluenceDisplay", "leave_one_out")
NO_PENALTY = {"has no penalty, so that there is no prior: fit one with a penalty": ("laplace",)}
NO_PROFILE = {"profile_intervals needs a likelihood without a dispersion": ("profile_intervals",)}
PENALTY = {"profile_intervals needs a fit without a penalty": ("profile_intervals",)}
SEVERAL = {"profile_intervals needs one linear predictor": ("profile_intervals",)}
NO_STRENGTH = {
    "has no penalty whose strength": ("leave_one_out_path",),
    "with a penalty alpha or C": ("tune_alpha",),
}
JEFFREYS = {
    "not for jeffreys=True: Jeffreys' prior is no sum over rows": (*ROWS, "leave_one_out_path", "laplace"),
    "not for jeffreys=True: Jeffreys' prior has no strength": ("tune_alpha",),
}
NETWORK = {"is for linear models, not for MLP.*laplace": TABLES}
NO_OPTIMUM = {'needs a fit with the verdict "optimal"': (*TABLES, *ROWS, "profile_intervals")}
OTHER_ROWS = {"is not at the optimum for these rows": (*TABLES, *ROWS, "laplace")}
OTHER_PATH = {"run of the solver on these rows does not end at the fit": ("LossSurfaceDisplay",)}


def undetermined(why):
    return {f"do not determine every coefficient of this .*: {why}": TABLES}


#: case -> what the errors say, and of which functions; all others have a result
REFUSED = {
    "collinear": undetermined(r"x3 = x0 \+ 0\.1 x1") | NO_PROFILE | NO_PENALTY | NO_STRENGTH,
    "collinear-penalty": PENALTY,
    "collinear-softmax": undetermined(r"x3 = x0 \+ 0\.1 x1") | SEVERAL | NO_PENALTY,
    "collinear-counts": undetermined(r"x3 = x0 \+ 0\.1 x1")
    | {r"needs independent columns, but x3 = x0 \+ 0\.1 x1": ("profile_intervals",)}
    | NO_PENALTY,
    "nearly-collinear": NO_PROFILE,
    "constant-column": NO_PROFILE,
    "constant-column-jeffreys": undetermined("x3 = 7")
    | {"needs independent columns, but x3 = 7": ("profile_intervals",)}
    | JEFFREYS,
    "separated": {
        'needs a fit with the verdict "optimal". This one: separated.*infinity': (*TABLES, *ROWS, "profile_intervals")
    }
    | NO_PENALTY,
    "separated-penalty": PENALTY,
    "separated-jeffreys": {"cov='(sandwich|laplace)' needs": ("coef_table-sandwich", "coef_table-laplace")} | JEFFREYS,
    "zeros-alone": NO_OPTIMUM
    | NO_PENALTY
    | {
        'kind="lbfgs" has no start: .*verdict "separated"': ("hessian_accuracy",),
        "alpha=1 has no optimum: separated": ("leave_one_out_path",),
        "This one: separated.*every row has y = 0, and the intercept has no penalty": ("tune_alpha",),
    },
    "wide": undetermined("x")
    | {"leave none to estimate the dispersion": ("influence", "influential_rows", "InfluenceDisplay")}
    | NO_PROFILE
    | NO_PENALTY
    | NO_STRENGTH,
    "wide-penalty": PENALTY,
    "perfect": {
        "no standard errors for this HuberRegressor. The fit is perfect": TABLES,
        "laplace needs a likelihood, which this loss does not have": ("laplace", "tune_alpha"),
        "is singular to working precision": ("leave_one_out_path",),
    }
    | NO_PROFILE,
    "no-overdispersion": {
        "There is no overdispersion: this is the Poisson limit": (
            *TABLES,
            "influence",
            "influential_rows",
            "InfluenceDisplay",
        ),
        r"estimates theta\^\(-1/2\) along, which has no prior: give it": ("laplace", "tune_alpha"),
        "does not change in this plane beyond rounding": ("LossSurfaceDisplay",),
    },
    "fold-without-a-class": OTHER_ROWS
    | OTHER_PATH
    | PENALTY
    | {"the class 2 has no row: these are not the rows": ("leave_one_out_path",)},
    "fold-of-one-class": OTHER_ROWS
    | OTHER_PATH
    | PENALTY
    | {"the class 1 has no row": ("leave_one_out_path",), "y has only one class, 0: a classifier": ("tune_alpha",)},
    "fold-of-one-class-jeffreys": {"is not at the optimum for these rows": (*TABLES, "profile_intervals")}
    | OTHER_PATH
    | JEFFREYS,
    "network-of-a-fold": NETWORK
    | OTHER_PATH
    | PENALTY
    | {
        'needs an optimum, and the fit is "settled"': (*ROWS, "laplace", "tune_alpha"),
        "the class 2 has no row": ("leave_one_out_path",),
    },
    "saddle": NETWORK
    | OTHER_PATH
    | NO_PROFILE
    | {
        'needs a fit with the verdict "optimal".*This one: saddle': (*ROWS, "laplace"),
        "has no optimum: saddle": ("leave_one_out_path",),
    },
}

NOT_PENALISED = {
    "small=None is the intercept alone, which has no penalty to compare": ("compare_models",),
    "score_test is for maximum likelihood, and this .* has a (penalty|prior)": ("score_test",),
    "variance_inflation is for fits without a penalty": ("variance_inflation",),
}
NOT_FIRTH = {"compare_models .large. is not for jeffreys=True": ("compare_models",)} | NOT_PENALISED
NO_SOFTMAX = {"variance_inflation is for one linear predictor": ("variance_inflation",)}
INFINITE = {"variance_inflation: .*: the factor is infinite": ("variance_inflation",)}
SINGULAR = {"wald: the covariance of the .* terms is singular to working precision along .*x": ("wald",)}

#: the same of tests of several coefficients and of models
HYPOTHESES = {
    "collinear": INFINITE,
    "collinear-penalty": SINGULAR | NOT_PENALISED,
    "collinear-softmax": NO_SOFTMAX,
    "collinear-counts": INFINITE,
    "nearly-collinear": SINGULAR | NOT_PENALISED,
    "constant-column": {"wald: of 'x3' the variance is 0: no row tells of it": ("wald",)} | NOT_PENALISED,
    "constant-column-jeffreys": INFINITE | NOT_FIRTH,
    "separated": {"This one: separated": LINEAR},
    "separated-penalty": NOT_PENALISED,
    "separated-jeffreys": {"wald: the tests of this table are by the profile": ("wald",)}
    | {sentence: functions for sentence, functions in NOT_FIRTH.items() if "variance_inflation" not in functions},
    "zeros-alone": {"This one: separated": LINEAR},
    "wide": INFINITE | {"8 observations for 8 effective parameters leave none": LINEAR},
    "wide-penalty": {"singular to working precision along .*: there are only 8 rows": ("wald",)}
    | NO_SOFTMAX
    | NOT_PENALISED,
    "perfect": {"needs a likelihood, which this loss does not have": LINEAR},
    "no-overdispersion": {"There is no overdispersion": LINEAR},
    "fold-without-a-class": NO_SOFTMAX | {"is not at the optimum": ("compare_models",)} | NOT_PENALISED,
    "fold-of-one-class": {"is not at the optimum": ("compare_models",)} | NOT_PENALISED,
    "fold-of-one-class-jeffreys": {"is not at the optimum": ("variance_inflation",)} | NOT_FIRTH,
    "network-of-a-fold": {"is for linear models, not for MLP": LINEAR},
    "saddle": {"is for linear models, not for MLP": LINEAR},
}
REFUSED = {name: sentences | HYPOTHESES[name] for name, sentences in REFUSED.items()}

#: cases whose refits are many
SLOW = {("wide-penalty", "tune_alpha")}

PAIRS = [(name, function) for name in CASES for function in FUNCTIONS if (name, function) not in SLOW]


def sentence(name, function):
    """What the error says, or None where there is a result."""
    return next((text for text, functions in REFUSED[name].items() if function in functions), None)


@pytest.mark.parametrize(("name", "function"), [pair for pair in PAIRS if sentence(*pair)])
def test_what_has_no_result_is_a_sentence(name, function):
    with pytest.raises((ValueError, TypeError), match=sentence(name, function)) as caught:
        convergence_warnings(lambda: FUNCTIONS[function](*case(name)))
    assert caught.type in (ValueError, TypeError)


@pytest.mark.parametrize(("name", "function"), [pair for pair in PAIRS if not sentence(*pair)])
def test_what_is_not_refused_is_finite(name, function):
    found, _ = convergence_warnings(lambda: FUNCTIONS[function](*case(name)))
    for field, values in numbers(found):
        if (name, function, field) == ("no-overdispersion", "profile_intervals", "std_error"):
            # theta^(-1/2) is zero, the edge: it has no standard error
            values = values[:-1]
        assert field in NOT_FINITE or values.dtype.kind != "f" or np.isfinite(values).all(), field
    plt.close("all")


def test_a_fold_that_lacks_a_class_is_scored(rng):
    """Cross-validation whose training rows lack a class: the other fold's fit has its probabilities and its score."""
    X = rng.normal(size=(60, 2))
    y = np.repeat([0, 1, 2], 20)
    model = LogisticRegression().fit(X[:40], y[:40])
    assert model.predict_proba(X[40:]).shape == (20, 2)
    assert model.score(X[40:], y[40:]) == 0
    assert_refused("y has the class 2, which is not among classes", inspection.hessian, model, X, y)


@pytest.mark.parametrize(
    "function",
    ["influence", "laplace", "leave_one_out", "leave_one_out_path", "marginal_effects", "residuals"] + ["tune_alpha"],
)
def test_rows_in_parts_are_refused(function, rng):
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    blocks = Blocks([(X[:20], y[:20]), (X[20:], y[20:])])
    assert_refused("X must be in memory", FUNCTIONS[function], Ridge().fit(X, y), blocks, None)
