"""Bad input: a clear error that names the argument, or the right fit; never a change of the arrays or the estimator."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from sk_hessian.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.solvers import SGD, SOLVERS, Momentum, Newton
from tests.estimators import (
    ALL_SOLVERS,
    ESTIMATORS,
    UNPENALISED,
    Interrupted,
    assert_refused,
    convergence_warnings,
    prediction,
    raw_table,
    target,
)

every_estimator = pytest.mark.parametrize("name", ESTIMATORS)
every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)
N = 40


def covering(cases):
    """Pairs of an estimator and a case: all share the code that refuses, so that these two meet every case."""
    return [(n, c) for n in ESTIMATORS for c in cases if n in ("Ridge", "LogisticRegression") or c == next(iter(cases))]


def data(name, rng):
    X = raw_table(rng, n=N, p=3)
    return X, target(name, X, rng)


@pytest.fixture
def rows(name, rng):
    return data(name, rng)


def assert_fit_refused(message, model, X, y, error=ValueError, **fit):
    """Fitting raises, and the estimator and the arrays are as they were."""
    arrays = [a for a in (X, y, fit.get("sample_weight")) if isinstance(a, np.ndarray)]
    copies = [a.copy() for a in arrays]
    before = dict(vars(model))
    assert_refused(message, model.fit, X, y, **fit, error=error)
    assert vars(model) == before
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


# -- offset -----------------------------------------------------------------------------------------------------------


def offset_for(name):
    return np.zeros((N, 3)) if name == "softmax" else np.zeros(N)


@pytest.mark.parametrize("name", ["PoissonRegressor", "softmax", "HuberRegressor"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "offset contains NaN"),
        (np.inf, "offset contains infinity"),
        (1e200, "offset is too large, up to 1e\\+200"),
    ],
)
def test_an_offset_that_is_not_finite(name, value, message, X, y):
    offset = offset_for(name)
    fitted = ESTIMATORS[name].fit(X, y)
    offset[3] = value
    assert_fit_refused(message, ESTIMATORS[name], X, y, offset=offset)
    for call in (fitted.predict, lambda X, offset: fitted.score(X, y, offset=offset)):
        assert_refused(message, call, X, offset=offset)


SHAPES = ["other", "short", "scalar", "wide", "text", "three", "sparse"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, k) for n in ESTIMATORS for k in SHAPES if n in ("PoissonRegressor", "softmax", "Ridge") or k == "other"],
)
def test_an_offset_of_the_wrong_shape(name, kind, X, y):
    fitted = ESTIMATORS[name].fit(X, y)
    offset = {
        "short": offset_for(name)[1:],
        "scalar": 0.5,
        "wide": np.zeros((N, 4)),
        "other": np.zeros(N) if name == "softmax" else np.zeros((N, 3)),
        "text": np.array(["a"] * N),
        "three": np.zeros((N, 1, 1)),
        "sparse": sp.csr_array(np.zeros((N, 3))),
    }[kind]
    message = "^offset must be an array of finite numbers: could" if kind == "text" else "^offset must"
    assert_fit_refused(message, ESTIMATORS[name], X, y, offset=offset)
    methods = ("partial_fit", "predict", "score", "d2_score", "fitted_objective")
    for method in [method for method in methods if hasattr(fitted, method)]:
        arguments = (X,) if method == "predict" else (X, y)
        assert_refused(message, getattr(fitted, method), *arguments, offset=offset)


def test_one_offset_for_all_classes_is_said_to_change_nothing(rng):
    X, y = data("softmax", rng)
    message = r"offset must have a column for each class, shape \(40, 3\): one number for each row would move all"
    assert_fit_refused(message, LogisticRegression(), X, y, offset=np.zeros(N))


@every_estimator
def test_an_offset_is_not_written_to(name, X, y, rng):
    offset = rng.uniform(0.1, 1, size=offset_for(name).shape)
    copy = offset.copy()
    offset.flags.writeable = False
    model = ESTIMATORS[name].fit(X, y, offset=offset)
    model.predict(X, offset=offset), model.score(X, y, offset=offset)
    np.testing.assert_array_equal(offset, copy)
    frame = pd.DataFrame(offset) if offset.ndim == 2 else pd.Series(offset)
    np.testing.assert_array_equal(model.fit(X, y, offset=frame).predict(X, frame), model.predict(X, offset))


# -- X --------------------------------------------------------------------------------------------------------------


def spoilt(X, value):
    X[3, 1] = value
    return X


ROWS = {
    "nan": (lambda X, y: (spoilt(X, np.nan), y), "Input X contains NaN"),
    "inf": (lambda X, y: (spoilt(X, -np.inf), y), "Input X contains infinity"),
    "sparse-nan": (lambda X, y: (sp.csr_array(spoilt(X, np.nan)), y), "Input X contains NaN"),
    "sparse-inf": (lambda X, y: (sp.csr_array(spoilt(X, np.inf)), y), "Input X contains infinity"),
    "1d": (lambda X, y: (X[0], y), "Expected 2D array, got 1D array"),
    "3d": (lambda X, y: (X[None], y), "dim 3"),
    "rows": (lambda X, y: (X[:-1], y), "inconsistent numbers of samples"),
    "empty": (lambda X, y: (X[:0], y[:0]), "0 sample"),
    "no-columns": (lambda X, y: (X[:, :0], y), "0 feature"),
    "complex": (lambda X, y: (X.astype(complex), y), "Complex data not supported"),
    "strings": (lambda X, y: (np.full(X.shape, "red"), y), "could not convert string to float|Unable to convert"),
    "no-y": (lambda X, y: (X, None), "y.*None|requires y"),
    "y-3d": (lambda X, y: (X, y[:, None, None]), "y"),
}


@pytest.mark.parametrize(("name", "case"), covering(ROWS))
def test_rows_that_are_refused(name, case, rng):
    change, message = ROWS[case]
    assert_fit_refused(message, ESTIMATORS[name], *change(*data(name, rng)))


@pytest.mark.parametrize("name", ["Ridge", "LogisticRegression", "softmax", "PoissonRegressor", "HuberRegressor"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_entry_far_down_a_long_table_is_found(name, value, rng):
    """The sums of the fit find it, whether a sample has the row or not, and the estimator is as it was."""
    n = 30_000
    X = rng.normal(size=(n, 30)) + 2
    y = np.arange(n) % (3 if name == "softmax" else 2)
    model = clone(ESTIMATORS[name]).fit(X[:100], y[:100])
    before = model.coef_
    for row in (0, n // 2, n - 1):
        spoilt_rows = X.copy()
        spoilt_rows[row, 7] = value
        assert_fit_refused("Input X contains " + ("NaN" if np.isnan(value) else "infinity"), model, spoilt_rows, y)
        assert model.coef_ is before


def test_rows_are_as_finite_as_they_are_large(rng):
    """Sums that overflow are no entry that is not finite."""
    X = rng.normal(size=(300, 2)) * 1e160
    y = X[:, 0] / 1e160
    assert Ridge(alpha=0).fit(X, y).convergence_.status == "optimal"


#: two columns are targets, or successes and failures
TAKE_TWO = [n for n in ESTIMATORS if n in ("LinearRegression", "Ridge") or n.startswith("Binomial")]


@pytest.mark.parametrize("name", [n for n in ESTIMATORS if n not in TAKE_TWO])
def test_elsewhere_there_is_one_target(name, X, y):
    assert_fit_refused("y should be a 1d array", ESTIMATORS[name], X, np.column_stack([y, y]))
    model = ESTIMATORS[name]
    with pytest.warns(match="A column-vector y was passed when a 1d array was expected"):
        model.fit(X, y[:, None])
    assert model.convergence_.status == "optimal"


CLASSIFIERS = ("LogisticRegression", "softmax", "OrdinalClassifier")


@pytest.mark.parametrize("name", [n for n in ESTIMATORS if n not in CLASSIFIERS])
def test_y_that_is_not_finite(name, X, y):
    y[0] = np.nan if name == "Ridge" else np.inf
    assert_fit_refused("Input y contains (NaN|infinity)", ESTIMATORS[name], X, y)


# -- y out of range -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "bad", "message"),
    [
        (PoissonRegressor(), -1.0, "y must be non-negative for PoissonRegressor, got -1.0"),
        (NegativeBinomialRegressor(), -1.0, "y must be non-negative for NegativeBinomialRegressor, got -1.0"),
        (GammaRegressor(), 0.0, "y must be positive for GammaRegressor, got 0.0"),
        (TweedieRegressor(power=1), -1.0, "y must be non-negative for TweedieRegressor"),
        (TweedieRegressor(power=1.5), -1.0, "y must be non-negative for TweedieRegressor"),
        (TweedieRegressor(power=3), 0.0, "y must be positive for TweedieRegressor"),
    ],
    ids=str,
)
def test_targets_out_of_range(model, bad, message, rng):
    X, y = data("GammaRegressor", rng)
    y[7] = bad
    assert_fit_refused(message, clone(model), X, y)


@pytest.mark.parametrize("name", ["LinearRegression", "Ridge", "HuberRegressor", "PoissonRegressor"])
def test_a_target_whose_square_overflows_is_named(name, X, y):
    assert_fit_refused("y is too large.*divide y by a constant", ESTIMATORS[name], X, np.abs(y) * 1e300 + 1e300)


@pytest.mark.parametrize("label", [0, "yes", True])
def test_one_class(label, rng):
    X, _ = data("LogisticRegression", rng)
    assert_fit_refused("y has only one class|one class", LogisticRegression(), X, np.full(N, label))


# -- weights --------------------------------------------------------------------------------------------------------


WEIGHTS = {
    "negative": (np.where(np.arange(N) == 3, -1e-9, 1), "sample_weight must not be negative"),
    "zero": (np.zeros(N), "sample_weight.*at least one non-zero"),
    "nan": (np.where(np.arange(N) == 3, np.nan, 1), "sample_weight contains NaN"),
    "inf": (np.where(np.arange(N) == 3, np.inf, 1), "sample_weight contains infinity"),
    "short": (np.ones(N - 1), "sample_weight|inconsistent numbers of samples"),
    "2d": (np.ones((N, 2)), "sample_weight must be 1-D"),
    "huge": (np.full(N, 1e308), "sample_weight is too large"),
    "strings": (np.full(N, "heavy"), "could not convert string|sample_weight"),
}


@pytest.mark.parametrize(("name", "case"), covering(WEIGHTS))
def test_bad_weights(name, case, rng):
    (weight, message), (X, y) = WEIGHTS[case], data(name, rng)
    assert_fit_refused(message, ESTIMATORS[name], X, y, sample_weight=weight)


@every_estimator
def test_weights_of_every_kind(name, X, y):
    plain = ESTIMATORS[name].fit(X, y)
    for weight in (1, 1.0, np.ones(N, dtype=int), np.ones(N, dtype=bool), [1] * N):
        model = ESTIMATORS[name].fit(X, y, sample_weight=weight)
        np.testing.assert_array_equal(model.coef_, plain.coef_)
    assert ESTIMATORS[name].fit(X, y, sample_weight=2.5).convergence_.status == "optimal"


def test_weights_that_leave_one_class(rng):
    X, y = data("LogisticRegression", rng)
    assert_fit_refused("only one class", LogisticRegression(), X, y, sample_weight=(y == "yes").astype(float))


# -- parameters -----------------------------------------------------------------------------------------------------


PARAMETERS = [
    ("tol", 0, ValueError, "tol must be a number > 0, got 0"),
    ("tol", np.nan, ValueError, "tol must be a number > 0, got nan"),
    ("tol", np.inf, ValueError, "tol must be a number > 0, got inf"),
    ("tol", "tight", TypeError, "tol must be a number > 0, got 'tight'"),
    ("tol", True, TypeError, "tol must be a number"),
    ("max_iter", 0, ValueError, "max_iter must be an integer of at least 1, got 0"),
    ("max_iter", 1.5, ValueError, "max_iter must be an integer of at least 1, got 1.5"),
    ("max_iter", True, ValueError, "max_iter must be an integer"),
    ("fit_intercept", 1, TypeError, "fit_intercept must be True or False, got 1"),
    ("warm_start", None, TypeError, "warm_start must be True or False"),
    ("verbose", -1, ValueError, "verbose must be a non-negative integer, got -1"),
    ("verbose", "loud", ValueError, "verbose must be a non-negative integer"),
    ("random_state", "seed", (ValueError, TypeError), "random_state"),
    ("random_state", -1, (ValueError, TypeError), "random_state"),
    ("solver", "newton-cholesky", ValueError, "solver='newton-cholesky' is unknown: choose from .*use \"newton\""),
    ("solver", None, TypeError, "solver must be one of"),
    ("solver", Newton, TypeError, "solver must be one of"),
    ("solver", SGD(batch_size=N + 1), ValueError, r"batch_size=41 is larger .*=40\); use batch_size=None"),
    ("solver", Momentum(momentum=2), ValueError, "Momentum: momentum=2"),
]
#: the first bad value of each parameter
FIRST = [next(case for case in PARAMETERS if case[0] == parameter) for parameter in dict(c[:2] for c in PARAMETERS)]


@pytest.mark.parametrize(
    ("name", "parameter", "value", "error", "message"),
    [
        (name, *case)
        for name in ESTIMATORS
        for case in (PARAMETERS if name == "Ridge" else FIRST)
        if case[0] in ESTIMATORS[name].get_params()
    ],
)
def test_bad_parameters(name, parameter, value, error, message, rng):
    """All estimators share what checks these parameters."""
    assert_fit_refused(message, ESTIMATORS[name].set_params(**{parameter: value}), *data(name, rng), error=error)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (Ridge(alpha=-1), ValueError, "alpha must be a number >= 0, got -1"),
        (Ridge(alpha=np.nan), ValueError, "alpha must be a number >= 0, got nan"),
        (Ridge(alpha=np.inf), ValueError, "alpha must be a number >= 0, got inf"),
        (Ridge(alpha="small"), TypeError, "alpha must be a number >= 0, got 'small'"),
        (Ridge(alpha=[1.0, 2.0]), ValueError, "alpha must be a number or have one entry for each of the 1 targets"),
        (Ridge(alpha=[-1.0]), ValueError, "alpha must be finite and non-negative"),
        (GammaRegressor(alpha=None), TypeError, "alpha must be a number >= 0, got None"),
        (TweedieRegressor(power=0.5), ValueError, "power=0.5: no distribution exists between 0 and 1; use 0, or"),
        (TweedieRegressor(power=-1), ValueError, "power must be a number >= 0, got -1"),
        (TweedieRegressor(power=np.nan), ValueError, "power must be a number >= 0, got nan"),
        (TweedieRegressor(link="logit"), ValueError, "link must be 'auto', .* or 'inverse', got 'logit'"),
        (HuberRegressor(epsilon=0.9), ValueError, "epsilon must be a number >= 1, got 0.9"),
        (HuberRegressor(epsilon=np.inf), ValueError, "epsilon must be a number >= 1, got inf"),
        (HuberRegressor(alpha=-1e-9), ValueError, "alpha must be a number >= 0"),
        (LogisticRegression(C=0), ValueError, "C must be a number > 0, got 0"),
        (LogisticRegression(C=np.nan), ValueError, "C must be a number > 0, got nan"),
        (LogisticRegression(C="1"), TypeError, "C must be a number > 0, got '1'"),
        (LogisticRegression(class_weight="even"), ValueError, "class_weight must be a dict, .* or None, got 'even'"),
        (LogisticRegression(class_weight={"yes": -1, "no": 1}), ValueError, "class_weight must be positive"),
        (LogisticRegression(class_weight={"yes": 0, "no": 1}), ValueError, "class_weight must be positive"),
        (LogisticRegression(class_weight={"yes": np.inf, "no": 1}), ValueError, ".* positive and finite"),
    ],
    ids=str,
)
def test_bad_parameters_of_one_estimator(model, error, message, rng):
    name = type(model).__name__.replace("TweedieRegressor", "GammaRegressor")
    assert_fit_refused(message, clone(model), *data(name, rng), error=error)


PENALTIES = {
    "short": ([1.0, 2.0], "penalty_weights must have one entry for each of the 3 features, got shape"),
    "negative": ([1.0, -1.0, 1.0], "penalty_weights must not be negative"),
    "nan": ([1.0, np.nan, 1.0], "penalty_weights contains NaN"),
    "2d": ([[1.0, 1.0, 1.0]], "penalty_weights must have one entry"),
    "scalar": (1.0, "penalty_weights"),
}


@pytest.mark.parametrize(("name", "case"), [pair for pair in covering(PENALTIES) if pair[0] != "LinearRegression"])
def test_bad_penalty_weights(name, case, rng):
    weights, message = PENALTIES[case]
    assert_fit_refused(message, ESTIMATORS[name].set_params(penalty_weights=weights), *data(name, rng))


# -- odd but right --------------------------------------------------------------------------------------------------


@every_estimator
def test_columns_of_every_type(name, rng):
    """They are converted before the solver sees them: the fit has the same bits."""
    X = rng.integers(0, 2, size=(N, 3))
    X[:3] = np.eye(3)
    y = target(name, X.astype(float), rng)
    same = ESTIMATORS[name].fit(X.astype(float), y)
    assert same.convergence_.status == "optimal"
    for kind in (np.int64, np.int8, np.uint8, bool, np.float16, object):
        model = ESTIMATORS[name].fit(X.astype(kind), y)
        np.testing.assert_array_equal(model.coef_, same.coef_, str(kind))


@every_solver
@every_estimator
def test_columns_of_every_size(name, solver, X, y):
    """A penalty on coefficients of size 1 / scale decides at the extremes; the fit is finite and has a verdict."""
    for scale in (1e-300, 1e-160, 1e-30, 1e30, 1e100):
        model = ESTIMATORS[name].set_params(solver=solver, random_state=0)
        Z = X / X.std(axis=0) * scale
        _, caught = convergence_warnings(lambda model=model, Z=Z: model.fit(Z, y))
        assert np.isfinite(model.coef_).all(), scale
        assert np.isfinite(model.intercept_).all(), scale
        assert model.convergence_.status == "optimal" or caught, scale


@every_solver
@pytest.mark.parametrize("name", ["LinearRegression", "LogisticRegression", "PoissonRegressor"])
def test_columns_of_very_different_sizes_without_a_penalty(name, solver, rng):
    Z = rng.normal(size=(N, 3))
    y = target(name, Z, rng)
    model = UNPENALISED[name].set_params(solver=solver, tol=1e-8)
    expected = prediction(clone(model).fit(Z, y), Z)
    for scales in ((1e-150, 1, 1e150), (1e-300, 1, 1e300), (1e-8, 1, 1e8)):
        X = Z * scales
        np.testing.assert_allclose(prediction(model.fit(X, y), X), expected, rtol=1e-5, atol=1e-6)


@every_solver
@pytest.mark.parametrize("name", ["LinearRegression", "Ridge", "LogisticRegression", "PoissonRegressor"])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_a_constant_column_changes_nothing(name, solver, make, X, y):
    """Beside an intercept its best coefficient is zero, or zero by convention."""
    model = ESTIMATORS[name].set_params(solver=solver, tol=1e-7, random_state=0)
    without = clone(model).fit(X, y)
    for size in (0.0, 1e-100, 1.0, 1e8, 1e20):
        extra = np.column_stack([X, np.full(N, size)])
        model.fit(make(extra), y)
        assert model.convergence_.status == "optimal", size
        np.testing.assert_allclose(model.coef_.T[:-1], without.coef_.T, rtol=1e-4, atol=1e-9, err_msg=str(size))
        np.testing.assert_allclose(prediction(model, extra), prediction(without, X), rtol=1e-4, atol=1e-4)


@every_solver
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("size", [1e60, 1e111])
def test_a_huge_constant_column_is_refused_or_no_worse_than_the_start(solver, make, size):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2))
    y = X[:, 0] + rng.logistic(size=N) > 0
    model = LogisticRegression(solver=solver, random_state=0)
    try:
        convergence_warnings(lambda: model.fit(make(np.column_stack([X, np.full(N, size)])), y))
    except ValueError as error:
        message = str(error)
    else:
        message = "X: fitted"
        assert model.convergence_.objective <= model.history_["objective"][0] * (1 + 1e-12)
    assert "X" in message


def test_a_model_that_needs_a_positive_mean_refuses_columns_of_zeros_alone(rng):
    _, y = data("TweedieRegressor-identity", rng)
    model = ESTIMATORS["TweedieRegressor-identity"].set_params(fit_intercept=False)
    assert_fit_refused("link='identity' needs a positive mean", model, np.zeros((N, 2)), y)


@every_solver
@pytest.mark.parametrize("name", [n for n in ESTIMATORS if n not in CLASSIFIERS])
def test_a_constant_target(name, solver, rng):
    X, _ = data(name, rng)
    model = ESTIMATORS[name].set_params(solver=solver, random_state=0)
    zero = (0.0,) if name in ("LinearRegression", "Ridge", "HuberRegressor") else ()
    for value in (0.7, 1e-8) if name.startswith("Binomial") else (1.0, 1e-8, 1e8, *zero):
        _, caught = convergence_warnings(lambda value=value: model.fit(X, np.full(N, value)))
        assert model.convergence_.status == "optimal" or caught, value
        np.testing.assert_allclose(model.predict(X), value, rtol=1e-5, atol=0 if value else 1e-12)


@every_estimator
def test_read_only_arrays_are_accepted_and_nothing_is_written(name, X, y, rng):
    weight = rng.uniform(0.5, 2, size=N)
    weight[:2] = 0
    copies = X.copy(), y.copy(), weight.copy()
    for array in (X, y, weight):
        array.flags.writeable = False
    assert ESTIMATORS[name].fit(X, y, sample_weight=weight).convergence_.status == "optimal"
    for array, copy in zip((X, y, weight), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@every_estimator
def test_data_frames_are_not_written_to(name, X, y):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    before = frame.copy()
    assert ESTIMATORS[name].fit(frame, pd.Series(y)).convergence_.status == "optimal"
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("name", ["Ridge", "softmax", "HuberRegressor"])
def test_sparse_input_is_not_written_to(name, X, y):
    sparse = sp.coo_array((np.r_[X[:, 0], 1.0], (np.r_[np.arange(N), 0], np.r_[np.zeros(N, int), 2])), shape=X.shape)
    parts = [a.copy() for a in (sparse.data, *sparse.coords)]
    convergence_warnings(lambda: ESTIMATORS[name].fit(sparse, y))
    for part, before in zip((sparse.data, *sparse.coords), parts, strict=True):
        np.testing.assert_array_equal(part, before)


# -- a failed fit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "error"), covering((KeyboardInterrupt, MemoryError, RuntimeError)))
def test_an_interrupted_fit_leaves_the_estimator_as_it_was(name, error, X, y):
    model = ESTIMATORS[name].fit(X, y).set_params(solver=Interrupted(error))
    before = dict(vars(model))
    assert_refused("now", model.fit, X * [1, 2, 3], y[::-1], error=error)
    assert list(vars(model)) == list(before)
    assert all(vars(model)[key] is before[key] for key in before)


@every_estimator
def test_a_refused_refit_leaves_the_former_fit(name, X, y):
    model = ESTIMATORS[name].fit(X, y)
    before = dict(vars(model))
    assert_refused("Input X contains NaN", model.fit, np.full((N, 5), np.nan), y)
    assert all(vars(model)[key] is before[key] for key in before)
    assert model.n_features_in_ == 3


@pytest.mark.parametrize("name", ["PoissonRegressor", "GammaRegressor", "TweedieRegressor"])
def test_scoring_targets_out_of_range(name, X, y):
    model = ESTIMATORS[name].fit(X, y)
    assert_refused(r"y must be (non-negative|positive)", model.score, X, -y - 1)


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_wrong_with_the_solver_is_said_before_the_data_are_read(solver):
    spec = SOLVERS[solver](precondition="magic")
    message = "precondition='magic' is not supported"
    assert_fit_refused(message, LinearRegression(solver=spec), np.ones((3, 1)), np.ones(3))


def error_of(model, X, y):
    """The message of the ValueError that a fit ends in, None where it ends in none."""
    try:
        convergence_warnings(lambda: model.fit(X, y))
    except ValueError as error:
        return str(error)
    return None


def extreme_column(kind, size, rng):
    """Positive rows of some size, constant, with one row alone, or of sizes that differ by sixty powers of ten."""
    x = rng.uniform(0.1, 3, size=30)
    rows = {"any": x, "constant": np.ones(30), "one row": (np.arange(30) == 0) * 1.0}
    return rows[kind] * size if kind in rows else x * 10.0 ** rng.integers(-60, 1, size=30) * size


@pytest.mark.parametrize("model", [
    TweedieRegressor(power=1, link="identity", alpha=0), TweedieRegressor(power=1, link="identity"),
    TweedieRegressor(power=2, link="identity", alpha=0), TweedieRegressor(power=1.5, alpha=0),
    TweedieRegressor(power=0, link="log", alpha=0), LinearRegression(), HuberRegressor(), PoissonRegressor(),
], ids=str)  # fmt: skip
@pytest.mark.parametrize(
    "sizes", [(1e182, 1e258), (1e-300, 1e-300), (1e-300, 1e300), (1e182, 1), (1e145, 1e-182)], ids=str
)
def test_columns_of_extreme_sizes_are_fitted_or_named(model, sizes, rng):
    """Never an error of numpy or scipy, nor one that names neither column nor remedy."""
    y = rng.poisson(2, size=30) + 1.0
    for kinds in itertools.combinations_with_replacement(["any", "constant", "one row", "mixed"], 2):
        X = np.stack([extreme_column(kind, size, rng) for kind, size in zip(kinds, sizes, strict=True)], axis=1)
        for container, fit_intercept in ((np.asarray, False), (sp.csr_array, False), (np.asarray, True)):
            one = clone(model).set_params(fit_intercept=fit_intercept, max_iter=30)
            said = error_of(one, container(X), y)
            if said is None:
                assert np.isfinite(one.coef_).all()
            else:
                assert re.search(r"X: column x\d .*(divide|multiply) it by|link='identity' needs a positive", said)


@pytest.mark.parametrize(("exponent", "y", "power", "alpha", "message"), [
    (-300, 1.0, 1, 1.0, "column x0 is so small that its coefficient overflows; multiply it"),
    (224, 1e-150, 3, 0.0, "column x0 is so large beside y that its coefficient vanishes; divide it"),
    (0, 1e-150, 3, 0.0, "y is so small or so large that its deviance overflows; multiply or divide it"),
])  # fmt: skip
def test_a_start_that_cannot_be_written_names_the_reason(exponent, y, power, alpha, message, rng):
    X = rng.uniform(1, 2, size=(20, 1)) * 10.0**exponent
    X[0] *= 1e-6 if exponent == 0 else 1
    model = TweedieRegressor(power=power, link="identity", alpha=alpha, fit_intercept=False)
    assert_fit_refused(message, model, X, y * rng.gamma(2, size=20) + y)


#: with a penalty, and some without
ZEROS = {f"{n}": ESTIMATORS[n] for n in ESTIMATORS if not n.endswith("identity") and n != "OrdinalClassifier"}
ZEROS |= {f"{name}, free": UNPENALISED[name] for name in ("LogisticRegression", "softmax", "PoissonRegressor")}
ZEROS |= {"log": TweedieRegressor(power=0, link="log", alpha=0)}


@pytest.mark.parametrize("solver", [*ALL_SOLVERS, Newton(precondition=None), SGD(precondition="full")], ids=str)
@pytest.mark.parametrize("name", ZEROS)
def test_columns_of_zeros_alone_without_an_intercept(name, solver):
    """Nothing can be estimated: the coefficients are zero."""
    y = np.arange(12) % (2 if name.startswith("Logistic") else 3 if name.startswith("softmax") else 12)
    y = y / 12 if name.startswith("Binomial") else y
    model = clone(ZEROS[name]).set_params(fit_intercept=False, solver=solver)
    convergence_warnings(lambda: model.fit(np.zeros((12, 2)), y + name.startswith(("Gamma", "Tweedie"))))
    assert model.convergence_.status == "optimal"
    np.testing.assert_array_equal(model.coef_, 0)
