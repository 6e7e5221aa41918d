"""Firth's logistic regression: closed forms, published estimates, separated classes."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit, logit

from sk_hessian.linear_model import LogisticRegression
from sk_hessian.objectives import Blocks
from sk_hessian.solvers import LBFGS, SGD, Newton
from tests import problems
from tests.estimators import assert_refused, convergence_warnings, inverse_hessian, raw_table

SOLVERS = ["auto", "newton", "lbfgs"]
every_solver = pytest.mark.parametrize("solver", SOLVERS)


def firth(**options):
    return LogisticRegression(**{"C": np.inf, "jeffreys": True, "tol": 1e-8, **options})


def raw_rows(rng, n=100):
    X = raw_table(rng, n, 3)
    return X, (X[:, 0] + rng.logistic(size=n) > 0).astype(int)


@every_solver
@pytest.mark.parametrize("cells", [(7, 0, 3, 9), (5, 2, 3, 4), (1, 0, 0, 1), (4, 0, 6, 0), (400, 1, 300, 9)])
def test_a_two_by_two_table_has_half_a_count_added_to_each_cell(solver, cells):
    a, b, c, d = cells
    X, y = np.repeat([[0.0], [0.0], [1.0], [1.0]], cells, axis=0), np.repeat([0, 1, 0, 1], cells)
    if y.min() == y.max():
        X, y, b = np.append(X, [[0.0]], axis=0), np.append(y, 1), b + 1
    model = firth(solver=solver).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.coef_[0, 0] == pytest.approx(np.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5))), rel=1e-6)
    assert model.intercept_[0] == pytest.approx(np.log((b + 0.5) / (a + 0.5)), rel=1e-6, abs=1e-8)


def test_proportions_of_groups_have_half_a_count_added(rng):
    """The same for any saturated model, and for weights instead of rows."""
    ones, zeros = np.array([0, 3, 8, 1]), np.array([5, 2, 0, 90])
    X, y = np.vstack([np.eye(4), np.eye(4)]), np.repeat([1, 0], 4)
    keep = np.concatenate([ones, zeros]) > 0
    model = firth(fit_intercept=False).fit(X[keep], y[keep], sample_weight=np.concatenate([ones, zeros])[keep])
    np.testing.assert_allclose(model.coef_[0], np.log((ones + 0.5) / (zeros + 0.5)), rtol=1e-6)


@every_solver
def test_published_estimates_of_the_endometrial_cancer_data(solver):
    """Heinze & Schemper (2002); the further digits are those of the R package logistf."""
    X, y = problems.endometrial()
    model = firth(solver=solver).fit(X, y)
    assert model.convergence_.status == "optimal"
    np.testing.assert_allclose(model.coef_[0], [2.92927330, -0.03475175, -2.60416387], rtol=1e-6)
    assert model.intercept_[0] == pytest.approx(3.77455951, rel=1e-6)
    errors = np.sqrt(np.diag(inverse_hessian(*model.fitted_objective(X, y), "expected")) / len(y))
    np.testing.assert_allclose(errors, [1.55, 0.040, 0.78, 1.49], rtol=0.02)


def test_the_likelihood_alone_separates_them():
    model, warned = convergence_warnings(lambda: LogisticRegression(C=np.inf).fit(*problems.endometrial()))
    assert model.convergence_.status == "separated"
    assert "x0" in warned[0]
    assert "Or use jeffreys=True with C=np.inf, whose estimates are finite." in warned[0]
    assert warned[0].endswith(model.convergence_.message)


@every_solver
@pytest.mark.parametrize("n", [4, 30, 200])
def test_completely_separated_rows_have_a_finite_optimum(solver, n, rng):
    X = raw_table(rng, n, 2)
    y = (X[:, 0] > np.median(X[:, 0])).astype(int)
    model, warned = convergence_warnings(lambda: firth(solver=solver, tol=1e-4).fit(X, y))
    assert not warned
    assert model.convergence_.status == "optimal"
    assert np.isfinite(model.coef_).all()
    assert model.score(X, y) > 0.9


@every_solver
def test_the_modified_score_vanishes(solver, rng):
    """Firth's equations, with the leverages from a QR factor of the weighted design."""
    X, y = raw_rows(rng)
    weight = rng.uniform(0.5, 2, size=len(y))
    model = firth(solver=solver).fit(X, y, sample_weight=weight)
    Z = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(y))])
    p = model.predict_proba(X)[:, 1]
    Q = np.linalg.qr(np.sqrt(weight * p * (1 - p))[:, None] * Z)[0]
    leverage = (Q**2).sum(axis=1)
    assert leverage.sum() == pytest.approx(4)
    np.testing.assert_allclose(Z.T @ (weight * (y - p) + leverage * (0.5 - p)), 0, atol=1e-5)


@every_solver
def test_units_and_origins_of_columns_change_nothing(solver, rng):
    X, y = raw_rows(rng)
    model = firth(solver=solver).fit(X, y)
    scale, shift = np.array([1e-5, 1e4, 3.0]), np.array([1.0, -1e6, 7.0])
    moved = firth(solver=solver).fit(X * scale + shift, y)
    np.testing.assert_allclose(moved.coef_ * scale, model.coef_, rtol=1e-5)
    np.testing.assert_allclose(moved.predict_proba(X * scale + shift), model.predict_proba(X), rtol=1e-5)


def test_classes_are_interchangeable(rng):
    X, y = raw_rows(rng)
    names = np.array(["no", "yes"])
    model, other = firth().fit(X, names[y]), firth().fit(X, names[1 - y])
    np.testing.assert_allclose(model.coef_, -other.coef_, rtol=1e-6)
    assert model.classes_.tolist() == ["no", "yes"]


@every_solver
def test_dependent_columns_are_named_and_change_no_prediction(solver, rng):
    X, y = raw_rows(rng)
    alone = firth(solver=solver).fit(X, y)
    double, warned = convergence_warnings(
        lambda: firth(solver=solver).fit(np.column_stack([X, 2 * X[:, 0] - X[:, 1], np.ones(len(y))]), y)
    )
    assert double.convergence_.status == "optimal"
    assert any("x3 = 2 x0 - x1" in direction for direction in double.convergence_.flat_directions), warned
    wide = np.column_stack([X, 2 * X[:, 0] - X[:, 1], np.ones(len(y))])
    np.testing.assert_allclose(double.predict_proba(wide), alone.predict_proba(X), rtol=1e-5)


def test_as_many_columns_as_rows_leave_each_row_half_a_count(rng):
    """Every row determines its own probability (y + 1/2) / 2: log odds of log 3."""
    X, y = rng.normal(size=(12, 30)), np.arange(12) % 2
    model, _ = convergence_warnings(lambda: firth().fit(X, y))
    np.testing.assert_allclose(model.decision_function(X), np.log(3) * (2 * y - 1), rtol=1e-4)


def test_an_intercept_alone_is_the_proportion_with_half_a_count(rng):
    y = np.array([1] * 3 + [0] * 8)
    model, _ = convergence_warnings(lambda: firth().fit(np.ones((11, 1)), y))
    np.testing.assert_allclose(model.predict_proba(np.ones((1, 1)))[0, 1], 3.5 / 12, rtol=1e-7)


@pytest.mark.parametrize("rows", [sp.csr_array, sp.csc_matrix, np.asfortranarray, np.float32])
def test_containers_agree(rows, rng):
    X = rng.normal(size=(80, 3)) * (rng.uniform(size=(80, 3)) < 0.6)
    y = (X[:, 0] + rng.logistic(size=80) > 0).astype(int)
    np.testing.assert_allclose(firth().fit(rows(X), y).coef_, firth().fit(X, y).coef_, rtol=1e-5)


def test_blocks_of_rows_have_the_same_optimum(rng):
    X, y = raw_rows(rng)
    blocks = Blocks([(X[i : i + 30], y[i : i + 30]) for i in range(0, len(y), 30)])
    np.testing.assert_allclose(firth().fit(blocks).coef_, firth().fit(X, y).coef_, rtol=1e-7)


def test_offset_is_added_to_the_linear_predictor(rng):
    X, y = raw_rows(rng)
    offset = 0.7 * (X[:, 1] - X[:, 1].mean()) / X[:, 1].std()
    plain, beside = firth().fit(X, y), firth().fit(X, y, offset=offset)
    np.testing.assert_allclose(beside.coef_[0, 1] + 0.7 / X[:, 1].std(), plain.coef_[0, 1], rtol=1e-5)
    np.testing.assert_allclose(beside.predict_proba(X, offset=offset), plain.predict_proba(X), rtol=1e-5)


def test_estimates_have_less_bias_than_the_likelihoods(rng):
    """Firth's expansion: the bias of order 1/n is gone. Four hundred small tables, none of them separated."""
    X = np.tile([[-1.0], [0.0], [1.0]], (14, 1))
    slopes = []
    for _ in range(400):
        y = (rng.uniform(size=len(X)) < expit(1.0 * X[:, 0])).astype(int)
        ordinary, warned = convergence_warnings(lambda y=y: LogisticRegression(C=np.inf).fit(X, y))
        if not warned:
            slopes.append([ordinary.coef_[0, 0], firth(tol=1e-4).fit(X, y).coef_[0, 0]])
    likelihood, jeffreys = np.abs(np.mean(slopes, axis=0) - 1)
    assert jeffreys < 0.6 * likelihood


def test_flic_puts_the_mean_probability_right(rng):
    """Puhr et al. (2017): the intercept again, by the likelihood alone, beside Firth's other coefficients."""
    X, y = raw_rows(rng)
    y[:70] = 0
    model = firth().fit(X, y)
    assert model.predict_proba(X)[:, 1].mean() > y.mean() + 1e-3
    rest = model.decision_function(X)
    ones = np.ones((len(y), 1))
    flic = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8).fit(ones, y, offset=rest)
    assert flic.predict_proba(ones, offset=rest)[:, 1].mean() == pytest.approx(y.mean(), rel=1e-9)


def test_small_samples_are_drawn_towards_a_half(rng):
    X, y = raw_rows(rng, 40)
    y[:30] = 0
    assert y.mean() < 0.3
    ordinary, _ = convergence_warnings(lambda: LogisticRegression(C=np.inf).fit(X, y))
    assert logit(firth().fit(X, y).predict_proba(X)[:, 1].mean()) > logit(ordinary.predict_proba(X)[:, 1].mean())


# -- what it needs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "solver",
    [
        Newton(hessian="exact"),
        Newton(hessian="gauss-newton"),
        Newton(hessian="diagonal"),
        Newton(linear_solver="cg"),
        Newton(precondition=None, hessian="exact"),
        Newton(precondition="diagonal"),
        LBFGS(memory=3),
        LBFGS(precondition="diagonal"),
    ],
    ids=str,
)
def test_options_of_the_other_solvers_lead_to_the_same_optimum(solver, rng):
    X, y = raw_rows(rng)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = firth(solver=solver).fit(X, y)
    assert model.convergence_.status == "optimal"
    np.testing.assert_allclose(model.coef_, firth(solver="newton").fit(X, y).coef_, rtol=1e-5)


SOLVERS_OF_SAMPLES = ("sgd", "momentum", "clip", SGD(), Newton(hessian="subsampled"))
REFUSED = [({"solver": solver}, "needs solver='auto', 'newton' or 'lbfgs'") for solver in SOLVERS_OF_SAMPLES]
REFUSED += [({"C": 1.0}, r"needs C=np.inf, got C=1.0"), ({"penalty_weights": [1, 2, 3]}, "needs penalty_weights=None")]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=str)
def test_what_jeffreys_prior_does_not_go_with(options, message, rng):
    assert_refused(f"jeffreys=True {message}", firth(**options).fit, *raw_rows(rng))


@pytest.mark.parametrize("jeffreys", ["yes", 1, None])
def test_jeffreys_is_true_or_false(jeffreys, rng):
    assert_refused("jeffreys must be True or False", firth(jeffreys=jeffreys).fit, *raw_rows(rng), error=TypeError)


def test_more_than_two_classes_are_refused(iris):
    assert_refused("Only binary classification is supported with jeffreys=True, but y has 3", firth().fit, *iris)


def test_a_stream_is_refused(rng):
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as caught:
        firth().partial_fit(*raw_rows(rng), classes=[0, 1])
    assert "needs jeffreys=False" in str(caught.value.__cause__)


def test_a_run_that_is_too_short_says_so(rng):
    model, warned = convergence_warnings(lambda: firth(max_iter=1).fit(*raw_rows(rng)))
    assert model.convergence_.status == "max_iter"
    assert "max_iter" in warned[0]


def test_a_warm_start_is_at_the_optimum(rng):
    X, y = raw_rows(rng)
    model = firth(warm_start=True).fit(X, y)
    assert model.fit(X, y).n_iter_[0] <= 1
