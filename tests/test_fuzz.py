"""Odd shapes, scales, weights and options at every estimator and solver, drawn by hypothesis.

Whatever comes, a fit is finite with a verdict, or a clear error; no input is modified, and the objective never ends
above its start by more than an optimum's tolerance. Hypothesis draws some numbers from the source of the modules that
are imported, so that the examples of a part of the suite are not those of the whole.
"""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sk_hessian.objectives import FunctionObjective
from sk_hessian.solvers import LBFGS, SGD, SOLVERS, Clip, Momentum, Newton, minimize
from tests.estimators import ESTIMATORS

STATUSES = {"optimal", "stopped", "settled", "stalled", "separated", "saddle", "diverged", "max_iter"}
#: a clear error names an argument
NAMES = re.compile(r"\b(X|y|sample_weight|class_weight|link|alpha|C|batch_size|solver|hessian|precondition)\b")
PRECONDITIONERS = ["auto", None, "diagonal", "full"]

#: the same examples every time; a failing one is shown as it was drawn, since making it small can take minutes
bounded = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

rates = st.sampled_from(["auto", 1e-3, 0.5, 1e3])
batches = st.sampled_from(["auto", None, 1, 7])
SPECS = {
    "sgd": st.builds(
        SGD, rates, schedule=st.sampled_from(["constant", "inverse"]), batch_size=batches, average=st.booleans(),
        precondition=st.sampled_from(PRECONDITIONERS),
    ),
    "momentum": st.builds(
        Momentum, rates, momentum=st.sampled_from([0.0, 0.5, 0.99]), nesterov=st.booleans(), batch_size=batches,
        precondition=st.sampled_from(PRECONDITIONERS),
    ),
    "clip": st.builds(
        Clip, rates, clip_value=st.sampled_from(["auto", 1e-3, 1e3]), by=st.sampled_from(["value", "norm"]),
        batch_size=batches, precondition=st.sampled_from(PRECONDITIONERS),
    ),
    "newton": st.builds(
        Newton, st.sampled_from(["auto", "exact", "gauss-newton", "subsampled", "diagonal"]),
        linear_solver=st.sampled_from(["auto", "cholesky"]), damping=st.sampled_from(["auto", 0.0, 10.0]),
        learning_rate=st.sampled_from(["auto", 1.0, 0.1]), precondition=st.sampled_from(PRECONDITIONERS),
    ),
    "lbfgs": st.builds(
        LBFGS, st.sampled_from([1, 3, 10]), learning_rate=st.sampled_from(["auto", 1.0]),
        precondition=st.sampled_from(PRECONDITIONERS),
    ),
}  # fmt: skip


@st.composite
def tables(draw):
    """X of odd shape: columns from 1e-300 to 1e300, constant, duplicate, zero, whole numbers; dense or sparse."""
    n, p = draw(st.integers(1, 30)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    X = rng.normal(size=(n, p))
    for j in range(p):
        kind = draw(
            st.sampled_from(["plain", "scaled", "constant", "duplicate", "zero", "integers", "shifted", "rare"])
        )
        size = 10.0 ** draw(st.integers(-300, 300))
        X[:, j] = {
            "plain": X[:, j],
            "scaled": X[:, j] * size,
            "constant": np.full(n, size),
            "duplicate": X[:, 0],
            "zero": np.zeros(n),
            "integers": rng.integers(0, 3, size=n),
            "shifted": X[:, j] + 1e6,
            "rare": (np.arange(n) == 0) * 1.0,
        }[kind]
    X = X.astype(np.float32) if np.abs(X).max() < 1e30 and draw(st.booleans()) else X
    kind = draw(st.sampled_from([np.asarray, np.asfortranarray, sp.csr_array]))
    return kind(X), rng


def targets(draw, name, n, rng):
    """y that is in the range of the loss, or not."""
    size = 10.0 ** draw(st.sampled_from([0, 0, 0, 0, -300, -20, 5, 100, 300]))
    if name in ("LogisticRegression", "softmax", "OrdinalClassifier"):
        return rng.integers(0, draw(st.integers(1, 4)), size=n)
    if name.startswith("Binomial") and size == 1:
        return rng.integers(0, 1 + draw(st.integers(0, 4)), size=n) / draw(
            st.sampled_from([4, 4, 4, 1, 1e-20, 1e20, 1e300])
        )
    kind = draw(st.sampled_from(["positive", "counts", "constant", "any", "zeros"]))
    return (
        size
        * {
            "positive": rng.gamma(1, size=n),
            "counts": rng.poisson(2, size=n),
            "constant": np.ones(n),
            "any": rng.normal(size=n),
            "zeros": np.zeros(n),
        }[kind]
    )


def weights(draw, n, rng):
    kind = draw(st.sampled_from(["none", "none", "ones", "any", "tiny", "huge", "some zero", "wide"]))
    return {
        "none": None,
        "ones": np.ones(n),
        "any": rng.uniform(size=n),
        "tiny": rng.uniform(size=n) * 1e-200,
        "huge": rng.uniform(size=n) * 1e200,
        "some zero": np.where(np.arange(n) % 2, 1.0, 0.0),
        "wide": 10.0 ** rng.uniform(-12, 12, size=n),
    }[kind]


def options(draw, name):
    strength = draw(st.sampled_from([0.0, 1e-12, 1e-3, 1.0, 1e6]))
    if name in ("LogisticRegression", "softmax"):
        return {"C": np.inf if strength == 0 else 1 / strength}
    return {} if name == "LinearRegression" else {"alpha": strength}


def parts(array):
    return [array.data, array.indices, array.indptr] if sp.issparse(array) else [] if array is None else [array]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ESTIMATORS)
@bounded
@given(st.data())
def test_a_fit_is_finite_or_a_clear_error(name, solver, data):
    draw = data.draw
    X, rng = draw(tables())
    y, weight = targets(draw, name, X.shape[0], rng), weights(draw, X.shape[0], rng)
    model = ESTIMATORS[name].set_params(
        solver=draw(SPECS[solver]),
        max_iter=draw(st.sampled_from([1, 30])),
        tol=draw(st.sampled_from([1e-1, 1e-4, 1e-12])),
        **({} if name == "OrdinalClassifier" else {"fit_intercept": draw(st.booleans())}),
        random_state=0,
        **options(draw, name),
    )
    inputs = [*parts(X), y, *parts(weight)]
    before = [a.copy() for a in inputs]
    error = refusal(lambda: model.fit(X, y, sample_weight=weight))
    if error is None:
        assert_sound(model)
    else:
        assert NAMES.search(error), error
        assert not hasattr(model, "coef_")
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def refusal(fit):
    """The text of the ValueError or TypeError that ``fit()`` raises, or None; a raw error of LAPACK is neither."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            fit()
        except np.linalg.LinAlgError:
            raise
        except (ValueError, TypeError) as error:
            return str(error)
    return None


def assert_sound(model):
    verdict, objective = model.convergence_, model.history_["objective"]
    assert verdict.status in STATUSES
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.intercept_).all()
    assert np.isfinite(verdict.objective)
    # an optimum is within the tolerance of the best point, even if one that was left is better; other ends are the best
    above = verdict.tol**2 * verdict.scale if verdict.status == "optimal" else 0.0
    assert verdict.objective <= objective[0] + above + 1e-9 * max(abs(objective[0]), verdict.scale)
    assert np.max(model.n_iter_) <= model.max_iter
    if verdict.status == "optimal":
        # a perfect fit has nothing to gain but rounding
        assert verdict.decrement <= max(verdict.tol**2 * verdict.scale, 1e-12 * abs(verdict.objective))
    assert verdict.message.startswith(verdict.status)


@pytest.mark.parametrize("name", ["LinearRegression", "Ridge", "LogisticRegression", "PoissonRegressor"])
@bounded
@given(st.data())
def test_all_solvers_tell_the_same_story(name, data):
    """Where two solvers both say optimal, their objectives agree to the tolerance, or to rounding."""
    X, rng = data.draw(tables())
    y, weight = targets(data.draw, name, X.shape[0], rng), weights(data.draw, X.shape[0], rng)
    model = ESTIMATORS[name].set_params(random_state=0, max_iter=200, **options(data.draw, name))
    values, scale, noise = [], 0.0, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for solver in SOLVERS:
            try:
                fitted = clone(model).set_params(solver=solver).fit(X, y, sample_weight=weight)
            except ValueError:
                continue
            if fitted.convergence_.status == "optimal":
                values.append(fitted.convergence_.objective)
                scale = max(scale, fitted.convergence_.scale)
                objective, theta = fitted.fitted_objective(X, y, weight)
                noise = max(noise, objective.at(theta).noise)
    assert np.ptp(values or [0.0]) <= max(1.2e-8 * scale, noise)


@pytest.mark.parametrize("solver", SOLVERS)
@bounded
@given(st.data())
def test_any_quadratic_function(solver, data):
    """Its Hessian is found by differences of the gradient, ten digits of it: the condition is at most 1e6."""
    draw = data.draw
    size = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    values = 10.0 ** rng.uniform(-draw(st.integers(0, 3)), draw(st.integers(0, 3)), size=size)
    values *= np.where(rng.uniform(size=size) < draw(st.sampled_from([0.0, 0.0, 0.3])), -1, 1)
    Q = np.linalg.qr(rng.normal(size=(size, size)))[0]
    H, b = (Q * values) @ Q.T, rng.normal(size=size)
    objective = FunctionObjective(lambda x: 0.5 * x @ H @ x - b @ x, jac=lambda x: H @ x - b)
    with np.errstate(over="ignore", invalid="ignore"):
        result = minimize(objective, rng.normal(size=size), solver, max_iter=50)
    assert np.isfinite(result.x).all()
    assert result.fun <= result.history["objective"][0]
    if values.min() < -1e-2 * np.abs(values).max():
        assert result.status != "optimal"
    elif result.status == "optimal" and values.min() > 0:
        best = -0.5 * b @ np.linalg.solve(H, b)
        assert result.fun - best <= 1.2e-8 * (result.history["objective"][0] - best) + 1e-12 * abs(best)
