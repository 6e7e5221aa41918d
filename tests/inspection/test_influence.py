import numpy as np
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from sklearn.base import clone

from sk_hessian.inspection import coef_table, influence, leave_one_out
from sk_hessian.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.objectives import MLPObjective, SquaredLoss
from tests.estimators import UNPENALISED, assert_refused, convergence_warnings, target

LOG = sm.families.links.Log()
PER_ROW = ("leverage", "residual", "cooks_distance", "dfbetas", "parameter_change")

#: name -> an unpenalised estimator and the family that statsmodels has for it
PEERS = {
    "Poisson": (PoissonRegressor(alpha=0, tol=1e-10), sm.families.Poisson()),
    "Gamma": (GammaRegressor(alpha=0, tol=1e-10), sm.families.Gamma(LOG)),
    "Tweedie": (TweedieRegressor(power=1.5, alpha=0, tol=1e-10), sm.families.Tweedie(var_power=1.5, link=LOG)),
    "LogisticRegression": (LogisticRegression(C=np.inf, tol=1e-10), sm.families.Binomial()),
}


def table(name, rng, n=60):
    X = rng.normal(size=(n, 3))
    y = target(name, X, rng)
    return X, (y == "yes").astype(float) if name == "LogisticRegression" else y


def with_constant(X):
    return np.hstack([X, np.ones((len(X), 1))])


def assert_close(actual, expected, rtol=1e-6):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def parameters(model):
    return np.append(np.atleast_2d(model.coef_).T.ravel(), model.intercept_)


def refits(model, X, y, weight=None):
    """Each row's fit of the others, the total penalty held fixed."""
    weight = np.ones(len(y)) if weight is None else weight
    for row in range(len(y)):
        rest = np.arange(len(y)) != row
        other = clone(model).set_params(tol=1e-9)
        if isinstance(model, (PoissonRegressor, TweedieRegressor)):
            other.set_params(alpha=model.alpha * weight.sum() / weight[rest].sum())
        yield other.fit(X[rest], y[rest], weight[rest])


# -- a peer -----------------------------------------------------------------------------------------------------------


def test_least_squares_is_as_in_statsmodels(rng):
    X, y = table("Ridge", rng)
    ours = influence(LinearRegression().fit(X, y), X, y)
    theirs = sm.OLS(y, with_constant(X)).fit().get_influence()
    assert_close(ours.leverage, theirs.hat_matrix_diag)
    assert_close(ours.cooks_distance, theirs.cooks_distance[0])
    assert_close(ours.residual, theirs.resid_studentized_internal)
    assert_close(ours.dffits, theirs.dffits[0])
    assert_close(ours.dfbetas, theirs.dfbetas)
    assert_close(ours.parameter_change, -theirs.dfbeta)


@pytest.mark.parametrize("curvature", ["observed", "expected"])
@pytest.mark.parametrize("name", PEERS)
def test_glms_are_as_in_statsmodels(name, curvature, rng):
    X, y = table(name, rng)
    model, family = PEERS[name]
    ours = influence(model.fit(X, y), X, y, curvature=curvature)
    fit = sm.GLM(y, with_constant(X), family=family).fit(tol=1e-14)
    theirs = fit.get_influence(observed=curvature == "observed")
    assert_close(ours.leverage, theirs.hat_matrix_diag)
    assert_close(ours.cooks_distance, theirs.cooks_distance[0])
    assert_close(ours.residual, theirs.resid_studentized)
    assert ours.dispersion == pytest.approx(fit.scale, rel=1e-6)
    if curvature == "expected" or name in ("Poisson", "LogisticRegression"):
        assert_close(ours.dfbetas, theirs.dfbetas)
        assert_close(ours.standard_error, fit.bse)


def test_weights_are_frequencies(rng):
    X, y = table("Gamma", rng)
    weight = rng.uniform(0.5, 2, size=len(y))
    ours = influence(GammaRegressor(alpha=0, tol=1e-10).fit(X, y, weight), X, y, sample_weight=weight)
    fit = sm.GLM(y, with_constant(X), family=sm.families.Gamma(LOG), freq_weights=weight).fit(tol=1e-14)
    assert_close(ours.leverage, fit.get_influence().hat_matrix_diag)
    mean = fit.fittedvalues
    dispersion = weight @ ((y - mean) / mean) ** 2 / (weight.sum() - 4)
    assert ours.dispersion == pytest.approx(dispersion, rel=1e-6)
    expected = np.sqrt(weight) * (y - mean) / mean / np.sqrt(dispersion * (1 - ours.leverage))
    assert_close(ours.residual, expected)


# -- true refits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(alpha=[3.0]), TweedieRegressor(power=0, alpha=0.1)])
def test_the_change_is_exact_for_a_squared_loss(model, rng):
    X, y = table("Ridge", rng, 25)
    weight = rng.uniform(0.5, 2, size=25)
    model = clone(model).fit(X, y, weight)
    changes = [parameters(other) - parameters(model) for other in refits(model, X, y, weight)]
    assert_close(influence(model, X, y, sample_weight=weight).parameter_change, np.array(changes), 1e-8)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Poisson", PoissonRegressor(alpha=0.05)),
        ("Gamma", GammaRegressor(alpha=0.05)),
        ("Tweedie-identity", TweedieRegressor(power=1, link="identity", alpha=0)),
        ("LogisticRegression", LogisticRegression()),
        ("softmax", LogisticRegression()),
    ],
)
def test_the_change_is_nearly_that_of_refits(name, model, rng):
    X, y = table(name, rng, 100)
    model = clone(model).set_params(tol=1e-8).fit(X, y)
    changes = np.array([parameters(other) - parameters(model) for other in refits(model, X, y)])
    found = influence(model, X, y).parameter_change
    assert np.corrcoef(changes.ravel(), found.ravel())[0, 1] > 0.998
    assert np.linalg.norm(changes - found) < 0.07 * np.linalg.norm(changes)


def test_the_change_of_a_robust_fit(rng):
    X = rng.normal(size=(80, 2))
    y = X[:, 0] + rng.standard_t(3, size=80)
    model = HuberRegressor(alpha=0, tol=1e-8).fit(X, y)
    found = influence(model, X, y)
    changes = np.array([parameters(other) - parameters(model) for other in refits(model, X, y)])
    assert np.corrcoef(changes.ravel(), found.parameter_change[:, :-1].ravel())[0, 1] > 0.99
    # a response beyond epsilon scales does not move its own prediction; the others count as parameters
    assert (np.abs(found.leverage[model.outliers_]) < 1e-12).all()
    assert model.outliers_.any()
    assert found.n_effective_parameters == pytest.approx(3)
    residual = (y - model.predict(X)) / model.scale_ / np.sqrt(1 - found.leverage)
    assert_close(found.residual, residual)
    assert found.dffits is None


def test_standard_errors_of_a_robust_fit_are_the_sandwich(rng):
    X = rng.normal(size=(80, 2))
    y = X[:, 0] + rng.standard_t(3, size=80)
    model = HuberRegressor(alpha=0, tol=1e-8).fit(X, y)
    found, table = influence(model, X, y), coef_table(model, X, y, cov="sandwich")
    assert_close(found.standard_error, table.std_error)
    change = found.parameter_change
    cook = np.einsum("np,np->n", change, np.linalg.solve(table.covariance, change.T).T) / 3
    assert_close(found.cooks_distance, cook)


def network(name, rng):
    X = rng.normal(size=(80, 2)) * [1e2, 1e-1]
    Z = X / [1e2, 1e-1]
    noisy = np.tanh(2 * Z[:, 0]) + Z[:, 1] + 0.5 * rng.normal(size=80)
    options = {"hidden_layer_sizes": (2,), "activation": "tanh", "alpha": 0.1, "random_state": 0, "tol": 1e-7}
    if name == "network":
        return MLPRegressor(**options), X, noisy
    if name == "softmax network":
        return MLPClassifier(**options), X, np.digitize(noisy, [-0.7, 0.7])
    if name == "robust network":
        return MLPRegressor("huber", **options), X, noisy
    return MLPClassifier(**options), X, np.stack([noisy > 0, Z[:, 1] > noisy - 0.3], axis=1).astype(int)


@pytest.mark.parametrize("name", ["network", "softmax network", "robust network", "labels"])
def test_the_newton_step_of_a_network(name, rng):
    model, X, y = network(name, rng)
    model.fit(X, y)
    found = influence(model, X, y)
    objective, theta = model.fitted_objective(X, y)
    H = 80 * objective.hessian_matrix(theta)
    raw, step = objective.raw_predictions(theta), 1e-6 * (1 + np.abs(theta))
    moved = [objective.raw_predictions(theta + s) - objective.raw_predictions(theta - s) for s in np.diag(step)]
    J = np.stack(moved, axis=2) / (2 * step)
    encoded = np.unique(y, return_inverse=True)[1] if name == "softmax network" else y
    slope = objective.loss.value_and_gradient(encoded, raw)[1]
    bend = objective.loss.hessian(encoded, raw, "observed")
    unit = 1 / np.sqrt(np.diag(H))
    for row in range(0, 80, 8):
        rest = unit[:, None] * (H - J[row].T @ bend[row] @ J[row]) * unit
        change = unit * np.linalg.lstsq(rest, unit * (J[row].T @ slope[row]), rcond=1e-10)[0]
        change = objective.canonical(change)
        assert_close(found.parameter_change[row] / unit, change / unit, 1e-4)


@pytest.mark.parametrize("name", ["network", "softmax network"])
def test_the_change_of_a_network_is_roughly_that_of_refits(name, rng):
    model, X, y = network(name, rng)
    model.fit(X, y)
    found = influence(model, X, y)
    full, errors = model.fitted_objective(X, y)[1], []
    for row in range(0, 80, 8):
        rest = np.delete(np.arange(80), row)
        other = clone(model).fit(X, y).set_params(warm_start=True).fit(X[rest], y[rest])
        change = (other.fitted_objective(X[rest], y[rest])[1] - full) / found.standard_error
        error = found.parameter_change[row] / found.standard_error - change
        errors.append(np.linalg.norm(error) / np.linalg.norm(change))
    assert np.median(errors) < 0.25


# -- the loss of test rows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model", "error"),
    [
        ("Ridge", Ridge(), 1e-8),
        ("Poisson", PoissonRegressor(alpha=0.05, tol=1e-8), 0.1),
        ("softmax", LogisticRegression(tol=1e-8), 0.1),
    ],
)
def test_the_change_of_a_test_loss(name, model, error, rng):
    X, y = table(name, rng, 90)
    train, test = (X[:60], y[:60]), (X[60:], y[60:])
    model = clone(model).fit(*train)

    def mean_loss(fit):
        objective, theta = fit.fitted_objective(*test)
        encoded = np.unique(test[1], return_inverse=True)[1] if name == "softmax" else test[1]
        return objective.loss.value(encoded, objective.raw_predictions(theta)).mean()

    changes = np.array([mean_loss(other) - mean_loss(model) for other in refits(model, *train)])
    found = influence(model, *train, X_test=test[0], y_test=test[1]).test_loss_change
    np.testing.assert_allclose(found, changes, atol=error * np.abs(changes).max())
    assert (changes > 0).any()
    assert (changes < 0).any()


def test_an_offset_is_part_of_the_predictor(rng):
    X, y = table("Poisson", rng, 90)
    offset = rng.normal(size=90)
    model = PoissonRegressor(alpha=0, tol=1e-10).fit(X[:60], y[:60], offset=offset[:60])
    test = {"X_test": X[60:], "y_test": y[60:], "offset_test": offset[60:]}
    ours = influence(model, X[:60], y[:60], offset=offset[:60], **test)
    fit = sm.GLM(y[:60], with_constant(X[:60]), family=sm.families.Poisson(), offset=offset[:60]).fit(tol=1e-14)
    theirs = fit.get_influence()
    assert_close(ours.cooks_distance, theirs.cooks_distance[0])
    assert_close(ours.dfbetas, theirs.dfbetas)
    mean = model.predict(X[60:], offset=offset[60:])
    change = ours.parameter_change @ with_constant(X[60:]).T
    expected = (change * (mean - y[60:]) + 0.5 * change**2 * mean).mean(axis=1)
    assert_close(ours.test_loss_change, expected)


# -- units, containers, weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNPENALISED)
def test_units_and_containers_do_not_matter(name, rng):
    Z = rng.normal(size=(100, 3))
    X = Z * [1e-6, 1, 1e6] + [0, -1e3, 3e7]
    y = target(name, Z, rng)
    model = UNPENALISED[name].set_params(tol=1e-8)
    expected = influence(model.fit(Z, y), Z, y)
    n_slopes = 3 * (3 if name == "softmax" else 1)
    for rows, tolerance in ((X, 1e-9), (sp.csr_array(X), 1e-6), (Z.astype(np.float32), 1e-5)):
        found = influence(model.fit(rows, y), rows, y)
        assert_close(found.leverage, expected.leverage, tolerance)
        assert_close(found.cooks_distance, expected.cooks_distance, tolerance)
        assert_close(found.residual, expected.residual, tolerance)
        assert_close(found.dfbetas[:, :n_slopes], expected.dfbetas[:, :n_slopes], tolerance)


@pytest.mark.parametrize("name", ["LinearRegression", "softmax", "Poisson"])
def test_leverages_add_up_to_the_parameters(name, rng):
    X, y = table(name, rng, 150)
    estimators = {"Poisson": PoissonRegressor(alpha=0), "softmax": LogisticRegression(C=np.inf)}
    found = influence(estimators.get(name, LinearRegression()).fit(X, y), X, y)
    assert found.n_effective_parameters == pytest.approx(8 if name == "softmax" else 4)
    assert (found.leverage > 0).all()


def test_a_network_without_hidden_layer_is_the_linear_model(rng):
    X, y = table("softmax", rng, 90)
    rest = y != "b"
    X, y = X[rest], y[rest]
    binary = influence(LogisticRegression(C=np.inf, tol=1e-9).fit(X, y), X, y)
    network = MLPClassifier((), alpha=0.0, tol=1e-9).fit(X, y)
    assert_close(influence(network, X, y).cooks_distance, binary.cooks_distance, 1e-5)


def test_the_blocks_of_a_softmax_model(rng):
    X, y = table("softmax", rng, 90)
    model = LogisticRegression(C=2.0, tol=1e-9).fit(X, y)
    found = influence(model, X, y)
    objective, theta = model.fitted_objective(X, y)
    H = 90 * objective.hessian_matrix(theta)
    change = found.parameter_change
    cook = np.einsum("np,np->n", change, change @ H) / found.n_effective_parameters
    assert_close(found.cooks_distance, cook)
    probability = model.predict_proba(X)
    H_inverse = np.linalg.pinv(H)
    for row in range(5):
        J = np.kron(with_constant(X)[row], np.eye(3))
        p = probability[row]
        # without the last class, whose residual is minus the sum of the others
        B, gap = (np.diag(p) - np.outer(p, p)), (model.classes_ == y[row]) - p
        M = J @ H_inverse @ J.T
        assert found.leverage[row] == pytest.approx(np.trace(B @ M))
        spread = (B - B @ M @ B)[:2, :2]
        assert found.residual[row] ** 2 == pytest.approx(gap[:2] @ np.linalg.solve(spread, gap[:2]))


def test_rows_of_weight_zero_have_no_influence(rng):
    X, y = table("Poisson", rng)
    weight = rng.integers(0, 3, size=60).astype(float)
    keep = weight > 0
    all_rows = influence(PoissonRegressor().fit(X, y, weight), X, y, sample_weight=weight)
    kept = influence(
        PoissonRegressor().fit(X[keep], y[keep], weight[keep]), X[keep], y[keep], sample_weight=weight[keep]
    )
    for name in PER_ROW:
        np.testing.assert_array_equal(getattr(all_rows, name)[keep], getattr(kept, name))
        assert not getattr(all_rows, name)[~keep].any()


def test_dependent_and_constant_columns_do_not_matter(rng):
    X, y = table("Ridge", rng)
    expected = influence(LinearRegression().fit(X, y), X, y)
    wide = np.column_stack([X, X[:, 0] + X[:, 1], np.full(60, 7.0)])
    found = influence(LinearRegression().fit(wide, y), wide, y)
    assert_close(found.leverage, expected.leverage, 1e-9)
    assert_close(found.cooks_distance, expected.cooks_distance, 1e-9)
    assert not found.dfbetas[:, 4].any()


def test_more_columns_than_rows(rng):
    X = rng.normal(size=(15, 40)) * 10.0 ** rng.integers(-3, 4, size=40)
    y = rng.normal(size=15)
    model = Ridge(alpha=5.0).fit(X, y)
    found = influence(model, X, y)
    changes = np.array([parameters(other) - parameters(model) for other in refits(model, X, y)])
    size = np.abs(changes).max(axis=0)
    np.testing.assert_allclose(found.parameter_change / size, changes / size, atol=1e-8)
    assert found.n_effective_parameters < 15


def test_rows_that_alone_determine_a_parameter(rng):
    X, y = table("Ridge", rng, 30)
    X[:, 2] = 0
    X[4, 2] = 1
    found = influence(LinearRegression().fit(X, y), X, y)
    assert found.leverage[4] == pytest.approx(1)
    assert np.isnan(found.residual[4])
    assert np.isinf(found.cooks_distance[4])
    assert np.isnan(found.dfbetas[4]).all()
    assert np.isnan(found.parameter_change[4]).all()
    rest = np.delete(np.arange(30), 4)
    assert all(np.isfinite(getattr(found, name)[rest]).all() for name in PER_ROW)
    # the other rows' tables are those without that row and its column
    other = influence(LinearRegression().fit(X[rest, :2], y[rest]), X[rest, :2], y[rest])
    assert_close(found.leverage[rest], other.leverage)
    assert "Rows without which parameters are not determined: 1" in str(found)


def test_a_class_of_one_row_has_a_linearised_influence(rng):
    X = rng.normal(size=(30, 2))
    y = np.repeat([0, 1, 2], [15, 14, 1])
    found = influence(LogisticRegression().fit(X, y), X, y)
    assert found.residual[29] == found.residual.max()
    assert np.isfinite(found.dfbetas).all()


# -- what it says -----------------------------------------------------------------------------------------------------


def test_analytic_weights_are_as_in_statsmodels(rng):
    X, weight = rng.normal(size=(60, 2)), rng.uniform(0.2, 4.0, size=60)
    y = X[:, 0] + rng.normal(size=60) / np.sqrt(weight)
    model = LinearRegression(tol=1e-8)
    # weighted least squares are those of the rows times the roots of their weights
    root = np.sqrt(weight)
    peer = sm.OLS(root * y, root[:, None] * np.column_stack([X, np.ones(60)])).fit()
    theirs = peer.get_influence()
    for scale in (1.0, 1e-3):
        model.fit(X, y, scale * weight)
        ours = influence(model, X, y, sample_weight=scale * weight, weights="analytic")
        assert ours.dispersion == pytest.approx(scale * peer.scale, rel=1e-8)
        np.testing.assert_allclose(ours.standard_error, peer.bse, rtol=1e-8)
        np.testing.assert_allclose(ours.cooks_distance, theirs.cooks_distance[0], rtol=1e-7)
        np.testing.assert_allclose(ours.residual, theirs.resid_studentized_internal, rtol=1e-7)
        np.testing.assert_allclose(ours.dfbetas, theirs.dfbetas, rtol=1e-6)
    with pytest.raises(ValueError, match=r"observations \(frequencies count as rows; weights='analytic' would not\)"):
        influence(model, X, y, sample_weight=1e-3 * weight)


def test_class_weights_of_any_scale_are_no_likelihood(rng):
    X = rng.normal(size=(80, 2))
    y = (X[:, 0] + rng.normal(size=80) > 0).astype(int)
    plain = LogisticRegression(C=np.inf, tol=1e-8).fit(X, y)
    alike = [LogisticRegression(C=np.inf, tol=1e-8, class_weight={0: c, 1: c}).fit(X, y) for c in (1.0, 10.0)]
    first, second = (influence(model, X, y) for model in alike)
    without = influence(plain, X, y)
    for name in ("leverage", "parameter_change", "residual", "cooks_distance", "dfbetas"):
        np.testing.assert_allclose(getattr(second, name), getattr(first, name), rtol=1e-6, atol=1e-12)
    for name in ("leverage", "parameter_change", "residual"):
        np.testing.assert_allclose(getattr(second, name), getattr(without, name), rtol=1e-6, atol=1e-12)
    assert second.dffits is None
    error = coef_table(alike[1], X, y, cov="sandwich").std_error
    np.testing.assert_allclose(second.standard_error, error, rtol=1e-5)


def test_one_array_of_the_rows_times_the_parameters_is_kept(rng):
    X = rng.normal(size=(50, 3))
    found = influence(Ridge().fit(X, X[:, 0]), X, X[:, 0] + 0)
    assert [name for name, value in vars(found).items() if np.shape(value) == (50, 4)] == ["parameter_change"]


def test_a_matrix_of_too_many_columns_is_refused_at_once(rng):
    X = sp.random_array((200, 3100), density=0.01, rng=rng, format="csr")
    y = rng.integers(0, 2, 200)
    model = LogisticRegression(C=0.1).fit(X, y)
    message = "needs a dense matrix of curvature of 3100 columns; 3000 are the most"
    for function in (influence, leave_one_out):
        assert_refused(message, function, model, X, y)
    message = "is for up to 3000 parameters, .* has 3101: choose some of its columns by features="
    assert_refused(message, coef_table, model, X, y)
    dense = X.toarray()
    assert influence(model, dense, y).n_effective_parameters < 200


def test_the_printed_table_names_the_most_influential_rows(rng):
    X, y = table("Ridge", rng)
    y[7] += 10
    found = influence(LinearRegression().fit(X, y), X, y)
    lines = str(found).splitlines()
    assert len(lines) == 7
    assert lines[1].split()[0] == "7"
    assert lines[-1] == "60 rows, 4 effective parameters"
    assert repr(found) == str(found)


def test_the_frame_has_a_line_for_each_row(rng):
    X, y = table("Ridge", rng)
    found = influence(LinearRegression().fit(X, y), X, y, X_test=X, y_test=y)
    frame = found.to_frame()
    assert list(frame)[:5] == ["leverage", "residual", "cooks_distance", "dffits", "test_loss_change"]
    assert list(frame)[5:] == [f"dfbetas {name}" for name in ("x0", "x1", "x2", "intercept")]
    np.testing.assert_array_equal(frame["dfbetas x1"], found.dfbetas[:, 1])


def test_bad_arguments_are_named(rng):
    X, y = table("Ridge", rng)
    model = Ridge().fit(X, y)
    assert_refused(r"weights must be .*, got 'importance'", influence, model, X, y, weights="importance")
    with pytest.raises(ValueError, match=r"curvature must be one of \('observed', 'expected', None\), got 'exact'"):
        influence(model, X, y, curvature="exact")
    assert_refused("X_test and y_test must be given both", influence, model, X, y, X_test=X)
    assert_refused("offset_test needs X_test", influence, model, X, y, offset_test=y)
    assert_refused("X_test, y_test: X has 2 features", influence, model, X, y, X_test=X[:, :2], y_test=y)
    Y = np.stack([y, y**2], axis=1)
    assert_refused("y has 2 targets", influence, Ridge().fit(X, Y), X, Y)
    with pytest.raises(ValueError, match="4 observations for 4 effective parameters leave none"):
        influence(LinearRegression().fit(X[:4], y[:4]), X[:4], y[:4])
    assert_refused("the fit is perfect", influence, LinearRegression().fit(X, X[:, 0]), X, X[:, 0])


def test_a_network_must_be_optimal_and_small(rng):
    X, y = table("Ridge", rng)
    short, _ = convergence_warnings(
        lambda: MLPRegressor(hidden_layer_sizes=(3,), solver="sgd", max_iter=2, random_state=0).fit(X, y)
    )
    assert_refused(r'influence needs a fit with the verdict "optimal"\. This one: max_iter', influence, short, X, y)
    wide = MLPObjective(X, y, SquaredLoss(), hidden_layer_sizes=(500,))
    assert_refused(r"a network of \d+ parameters is not formed", wide.at(wide.start(0)).whole_factor, "observed")


def test_rows_of_negative_curvature_are_refused(rng):
    X = rng.uniform(0.5, 2, size=(60, 2))
    y = rng.gamma(3, (1 + X @ [1, 2]) / 3)
    model = TweedieRegressor(power=2, link="identity", alpha=0).fit(X, y)
    assert (influence(model, X, y).leverage > 0).all()
    assert_refused(r"observed.* is negative for some rows", influence, model, X, y, curvature="observed")
