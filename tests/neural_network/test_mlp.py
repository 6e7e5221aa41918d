import pickle
from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.neural_network
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from sk_hessian.inspection import laplace
from sk_hessian.linear_model import HuberRegressor, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.objectives import (
    ACTIVATIONS,
    MLPObjective,
    SquaredLoss,
    StreamObjective,
    TweedieLoss,
    first_memory,
)
from sk_hessian.solvers import LBFGS, SGD, SOLVERS, Clip, Momentum, Newton, minimize
from tests.estimators import assert_refused

every_solver = pytest.mark.parametrize("solver", ["auto", *SOLVERS, Newton(hessian="exact")], ids=str)
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINKED = {"hidden_layer_sizes": (5,), "activation": "relu", "random_state": 0}
#: small, smooth and penalised, so that a fit is quick and has a verdict
SMALL = {"hidden_layer_sizes": (4,), "activation": "tanh", "alpha": 0.5, "random_state": 0}


def wave(rng, n=150):
    X = rng.normal(size=(n, 3))
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=n)


@pytest.fixture
def rows(rng):
    return wave(rng)


def classes(rng, n=150, k=2):
    X, y = wave(rng, n)
    return X, np.array(["no", "yes", "maybe"])[np.digitize(y, np.quantile(y, np.arange(1, k) / k))]


# -- the right answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs", "sgd"])
@pytest.mark.parametrize(
    ("loss", "linear"),
    [
        ("squared_error", Ridge(alpha=1.0)),
        ("poisson", PoissonRegressor(alpha=1.0 / 150)),
        ("huber", HuberRegressor(alpha=0.5)),
    ],
)
def test_no_hidden_layer_is_the_linear_estimator(loss, linear, solver, X, y):
    y = np.abs(y) if loss == "poisson" else y
    model = MLPRegressor(loss, (), alpha=1.0, solver=solver, tol=1e-8).fit(X, y)
    linear = clone(linear).set_params(tol=1e-8).fit(X, y)
    assert model.convergence_.status == "optimal"
    np.testing.assert_allclose(model.coefs_[0][:, 0], linear.coef_, rtol=1e-6 if loss == "huber" else 1e-8, atol=1e-9)
    np.testing.assert_allclose(model.predict(X), linear.predict(X), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("k", [2, 3])
def test_no_hidden_layer_is_logistic_regression(k, rng):
    X, y = classes(rng, k=k)
    model = MLPClassifier((), alpha=1.0, tol=1e-8).fit(X, y)
    linear = LogisticRegression(C=1.0, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), linear.predict_proba(X), atol=1e-8)
    assert (model.predict(X) == linear.predict(X)).all()


@every_solver
def test_no_solver_ends_above_scikit_learn(solver):
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    X = X / X.std(axis=0)
    options = {"hidden_layer_sizes": (3,), "activation": "tanh", "alpha": 1.0}
    ours = min(MLPRegressor(**options, solver=solver, random_state=seed).fit(X, y).loss_ for seed in range(3))
    other = [
        sklearn.neural_network.MLPRegressor(**options, solver="lbfgs", max_iter=3000, random_state=seed).fit(X, y)
        for seed in range(3)
    ]
    assert ours <= 1.02 * min(model.loss_ for model in other)


@quiet
@every_solver
def test_raw_units_train_as_standardised_ones_do(solver, rng):
    X, y = wave(rng, 300)
    options = {"hidden_layer_sizes": (8,), "activation": "tanh", "alpha": 0, "max_iter": 200, "random_state": 0}
    model = MLPRegressor(**options, solver=solver)
    scores = [
        clone(model).fit(A, b).score(A, b) for A, b in ((X, y), (X * [1, 1e3, 1e-4] + [0, 5e4, 1e-3], 1e5 * y + 3e5))
    ]
    assert scores[0] > 0.95
    assert scores[1] == pytest.approx(scores[0], abs=0.01)


@pytest.mark.parametrize("solver", ["newton", "lbfgs", Newton(hessian="exact")], ids=str)
@pytest.mark.parametrize("kind", ["regressor", "classifier", "labels"])
def test_weights_are_repetitions_and_sparse_is_dense(kind, solver, rng):
    X, y = wave(rng, 80)
    X *= rng.uniform(size=X.shape) < 0.7
    weight = rng.integers(0, 3, size=80)
    model = MLPRegressor(**SMALL, solver=solver, tol=1e-6)
    if kind != "regressor":
        model = MLPClassifier(**SMALL, solver=solver, tol=1e-6)
        y = (y > 0).astype(int) if kind == "classifier" else np.column_stack([y > 0, X[:, 0] > 0]).astype(int)
    fits = [
        clone(model).fit(X, y, sample_weight=weight),
        clone(model).fit(X.repeat(weight, axis=0), y.repeat(weight, axis=0)),
        clone(model).fit(sp.csc_array(X), y, sample_weight=weight),
    ]
    predictions = [fit.predict(X) if kind == "regressor" else fit.predict_proba(X) for fit in fits]
    assert fits[0].convergence_.status == "optimal"
    np.testing.assert_allclose(predictions[1], predictions[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(predictions[2], predictions[0], rtol=1e-4, atol=1e-5)


def test_float32_gives_nearly_the_same(X, y):
    model = MLPRegressor(**SMALL)
    a, b = clone(model).fit(X, y).predict(X), clone(model).fit(X.astype(np.float32), y).predict(X.astype(np.float32))
    assert np.abs(a - b).max() < 1e-3


def test_several_targets_at_once(X, y):
    Y = np.column_stack([y, X[:, 0] ** 2, X[:, 1]])
    model = MLPRegressor(**SMALL | {"alpha": 0.01, "hidden_layer_sizes": (8,)}, tol=1e-2).fit(X, 1e4 * Y)
    assert model.predict(X).shape == (150, 3)
    assert model.n_outputs_ == 3
    assert model.score(X, 1e4 * Y) > 0.9


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_positive_targets_have_positive_predictions(loss, X, y, rng):
    y = rng.gamma(5, np.exp(y) / 5)
    model = MLPRegressor(loss, **SMALL).fit(X, y)
    assert model.predict(X).min() > 0
    assert model.out_activation_ == "exp"
    assert np.corrcoef(np.log(model.predict(X)), np.log(y))[0, 1] > 0.7


def test_huber_does_not_see_outliers(X, y):
    y[:5] += 1e4
    model = MLPRegressor("huber", **SMALL).fit(X, y)
    assert np.median(np.abs(model.predict(X) - y)) < 0.5
    assert 0 < model.scale_ < 10


def test_several_labels_at_once(rng):
    X, Y = make_multilabel_classification(n_samples=200, n_classes=3, random_state=0)
    model = MLPClassifier(**SMALL).fit(X, Y)
    assert model.predict(X).shape == model.predict_proba(X).shape == (200, 3)
    np.testing.assert_array_equal(model.predict(X), (model.predict_proba(X) > 0.5).astype(int))
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
    np.testing.assert_array_equal(model.fit(X, sp.csr_array(Y)).predict(X), clone(model).fit(X, Y).predict(X))
    assert model.score(X, Y) > 0.7


@pytest.mark.parametrize("k", [2, 3])
def test_probabilities_and_class_weights(k, rng):
    X, y = classes(rng, k=k)
    model = MLPClassifier(**SMALL).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert (model.classes_[model.predict_proba(X).argmax(axis=1)] == model.predict(X)).all()
    heavy = MLPClassifier(**SMALL, class_weight={"no": 20}).fit(X, y)
    assert (heavy.predict(X) == "no").sum() > (model.predict(X) == "no").sum()


# -- stopping, restarts, verdicts -------------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("solver", ["auto", *SOLVERS, SGD(batch_size=16)], ids=str)
@pytest.mark.parametrize("kind", [MLPRegressor, MLPClassifier], ids=lambda k: k.__name__)
def test_early_stopping_keeps_the_best_weights_with_every_solver(kind, solver, rng):
    X, y = wave(rng, 200) if kind is MLPRegressor else classes(rng, 200)
    model = kind(
        hidden_layer_sizes=(20,), alpha=0, solver=solver, early_stopping=True, n_iter_no_change=5, random_state=1
    ).fit(X, y)
    assert model.convergence_.status in ("stopped", "stalled")
    assert len(model.validation_scores_) == model.n_iter_ < 1000
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    best = int(np.argmax(model.validation_scores_))
    assert model.loss_ == pytest.approx(model.loss_curve_[best], rel=1e-12)
    again = clone(model).set_params(max_iter=best + 1).fit(X, y)
    np.testing.assert_allclose(again.coefs_[0], model.coefs_[0])


@pytest.mark.parametrize("n", [2, 5, 10])
def test_a_score_needs_two_rows(n, rng):
    X, y = wave(rng, n)
    message = f"validation_fraction=0.1 leaves {n - 1} rows to train and 1 to hold out, but each part needs at least 2"
    assert_refused(message, MLPRegressor(**SMALL, early_stopping=True).fit, X, y)
    assert_refused(
        message, MLPClassifier(**SMALL, early_stopping=True).fit, X, np.column_stack([y > 0, y < 1]).astype(int)
    )


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_a_held_out_row_whose_prediction_overflows(loss, rng):
    """The linear predictor of a row far outside is finite, its exponential is not: early stopping has no score yet."""
    X = np.abs(rng.normal(size=(60, 1)))
    y = np.exp(X[:, 0])
    X[0] = 1e4
    options = {"early_stopping": True, "n_iter_no_change": 2, "solver": "lbfgs"}
    fits = [MLPRegressor(loss, (), random_state=seed, **options).fit(X, y) for seed in range(15)]
    assert all(np.isfinite(model.loss_) for model in fits)
    held = [model for model in fits if -np.inf in model.validation_scores_]
    assert held
    for model in held:
        assert set(model.validation_scores_) == {-np.inf}
        assert model.convergence_.status == "optimal"
        assert model.n_iter_ > 3


@quiet
@pytest.mark.parametrize("counts", [(38, 2), (10, 10), (30, 2, 2), (12, 9, 9)])
def test_the_rows_to_train_on_have_every_class(counts, rng):
    """Else the fit would be refused, as below."""
    y = np.repeat(np.arange(len(counts)), counts)
    X = rng.normal(size=(len(y), 2))
    for fraction, seed in product((0.1, 0.3, 0.5), range(10)):
        model = MLPClassifier((1,), early_stopping=True, validation_fraction=fraction, max_iter=1, random_state=seed)
        assert len(model.fit(X, y).classes_) == len(counts)


def test_a_class_that_is_not_trained_on_is_an_error(rng):
    X, _ = wave(rng, 20)
    model = MLPClassifier(early_stopping=True, validation_fraction=0.9, random_state=0)
    with pytest.raises(ValueError, match=r"validation_fraction=0.9 leaves no row of a rare class to train on"):
        model.fit(X, np.repeat([0, 1], [18, 2]))


@quiet
@pytest.mark.parametrize(
    ("options", "ended"),
    [
        ({"n_iter_no_change": 3}, "stopped"),
        ({"max_iter": 40}, "max_iter"),
        ({"alpha": 0.3, "tol": 0.05}, "optimal"),
        ({"activation": "relu", "tol": 1e-3}, "settled"),
    ],
    ids=str,
)
def test_the_verdict_on_the_last_point_is_not_said_of_the_best(options, ended, X, y):
    network = {"hidden_layer_sizes": (20,), "activation": "tanh", "alpha": 0.0, "n_iter_no_change": 1000}
    model = MLPRegressor(**network | options, solver="lbfgs", early_stopping=True, random_state=0).fit(X, y)
    verdict, best = model.convergence_, int(np.argmax(model.validation_scores_))
    assert best < model.n_iter_ - 1
    assert verdict.status == (ended if ended == "max_iter" else "stopped")
    score = f"{verdict.status}: no better validation score than {model.best_validation_score_:.6g} in the last of "
    assert verdict.message.startswith(f"{score}{model.n_iter_} iterations")
    assert (f"which ended as {ended};" in verdict.message) == (ended != verdict.status)
    assert verdict.objective == model.loss_ == pytest.approx(model.loss_curve_[best], rel=1e-12)


def test_restarts_keep_the_best(X, y):
    losses = [MLPRegressor(**SMALL | {"random_state": seed}).fit(X, y).loss_ for seed in range(5)]
    best = MLPRegressor(**SMALL, n_init=8).fit(X, y)
    assert best.loss_ <= np.median(losses)
    assert best.loss_ == MLPRegressor(**SMALL, n_init=8).fit(X, y).loss_


@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start_goes_on(solver, X, y):
    model = MLPRegressor(**SMALL, solver=solver, warm_start=True)
    with pytest.warns(ConvergenceWarning, match="MLPRegressor: max_iter"):
        model.set_params(max_iter=3).fit(X, y)
    before = model.loss_
    model.set_params(max_iter=2000).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert model.loss_ < before
    model.fit(X, y)
    assert model.n_iter_ <= 3
    assert_refused(r"the former coefs_ have the shapes .* refit with warm_start=False", model.fit, X[:, :2], y)


def zero_start(rng):
    """No gradient, and negative curvature between the layers: the hidden units vanish, the last bias is the mean."""
    X, y = wave(rng)
    model = MLPObjective(X, y, SquaredLoss(), hidden_layer_sizes=(4,))
    theta = np.zeros(model.n_parameters)
    theta[-1] = y.mean()
    assert np.abs(model.value_and_gradient(theta)[1]).max() < 1e-12
    return model, theta


@pytest.mark.parametrize("solver", ["lbfgs", "newton", "sgd"])
def test_a_saddle_is_called_one(solver, rng):
    model, theta = zero_start(rng)
    result = minimize(model, theta, solver)
    assert result.status == "saddle"
    assert "negative curvature" in result.message


def test_newton_with_the_exact_hessian_leaves_saddles(rng):
    model, theta = zero_start(rng)
    result = minimize(model, theta, Newton(hessian="exact"), max_iter=100)
    assert result.fun < 0.7 * model.value_and_gradient(theta)[0]
    X, y = wave(rng)
    equal = MLPObjective(X, y, SquaredLoss(), hidden_layer_sizes=(4,), penalty=1e-3)
    alike = equal.preconditioner(equal.start(0), "units").apply(np.full(equal.n_parameters, 0.3))
    result = minimize(equal, alike, Newton(hessian="exact"))
    assert result.status == "optimal"
    assert np.ptp(equal.unpack(result.x)[0][1]) > 0.1


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_ordinary_networks_are_no_saddles(solver, X, y):
    model = MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", alpha=1.0, solver=solver, max_iter=3000)
    statuses = {clone(model).set_params(random_state=seed).fit(X, y).convergence_.status for seed in range(20)}
    assert statuses == {"optimal"}


def test_newton_goes_over_to_exact_curvature():
    """Gauss-Newton alone crawls where residuals are large."""
    X, y = load_diabetes(return_X_y=True)
    model = MLPRegressor(hidden_layer_sizes=(5,), activation="tanh", solver="newton", random_state=0, max_iter=120)
    assert model.fit(X, y).convergence_.status == "optimal"
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        slow = clone(model).set_params(solver=Newton(hessian="gauss-newton")).fit(X, y)
    assert slow.n_iter_ == 120


def test_newton_begins_on_a_sample_of_many_rows(rng):
    X, y = wave(rng, 12_000)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model = MLPRegressor(**SMALL | {"max_iter": 3}, solver="newton").fit(X, y)
    assert model.history_["objective"][0] <= 0.05 * np.var(y)
    assert model.history_["evaluations"][0] <= 2


def test_a_loss_that_is_not_finite_keeps_the_best_weights(X, y):
    wild = SGD(learning_rate=1e6, batch_size=None, precondition=None)
    model = MLPRegressor("poisson", (5,), "relu", solver=wild, random_state=0)
    with pytest.warns(ConvergenceWarning, match="MLPRegressor: diverged.*the best point so far is returned"):
        model.fit(X, np.exp(y))
    assert np.isfinite(model.predict(X)).all()
    assert model.loss_ == min(v for v in model.history_["objective"] if np.isfinite(v))


def test_labels_that_are_constant_are_named(X, y):
    labels = np.column_stack([y > 0, np.ones(150), np.zeros(150)]).astype(int)
    with pytest.warns(ConvergenceWarning, match="max_iter: .* Label 1 is the same for every row: its bias grows"):
        model = MLPClassifier(**SMALL, tol=1e-12, max_iter=5).fit(X, labels)
    assert "Label 2 is the same for every row: its bias grows without end." in model.convergence_.message
    assert "Label 0" not in model.convergence_.message
    assert "Label" not in MLPRegressor(**SMALL).fit(X, np.zeros(150)).convergence_.message


@quiet
def test_dead_rectifiers_are_counted(X, y):
    said = "Hidden units that are zero for every row: 2 of 4 in layer 1."
    model = MLPRegressor(**KINKED | {"hidden_layer_sizes": (4, 3)}, warm_start=True, max_iter=3).fit(X, y)
    assert said not in model.convergence_.message
    for options in ({}, {"early_stopping": True}):
        model.intercepts_[0][:2] = -1e3
        assert model.set_params(**options).fit(X, y).convergence_.message.endswith(said)


@quiet
def test_the_diagonal_of_a_large_network_is_taken_in_its_own_units(X, y):
    model = MLPRegressor(hidden_layer_sizes=(500,), solver=Newton("diagonal"), max_iter=5, random_state=0).fit(X, y)
    assert model.history_["objective"][-1] < model.history_["objective"][0]
    with pytest.raises(ValueError, match='hessian="diagonal" needs precondition="diagonal" or None'):
        model.set_params(solver__precondition="kronecker").fit(X, y)


# -- fit by parts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["auto", "sgd", "momentum", "clip", Momentum(0.02, batch_size=16)], ids=str)
def test_partial_fit_learns_from_parts(solver, rng):
    X, y = wave(rng, 1000)
    X, y = X * [1, 1e3, 1e-3] + [0, 100, 1], 1e4 * y
    model = MLPRegressor(hidden_layer_sizes=(10,), activation="tanh", solver=solver, random_state=0)
    for _ in range(30):
        for rows in np.array_split(np.arange(1000), 10):
            model.partial_fit(X[rows], y[rows])
    assert model.score(X, y) > (0.6 if isinstance(solver, Momentum) else 0.8)
    assert model.n_iter_ == len(model.loss_curve_) == 300
    assert model.t_ == 30_000


def test_partial_fit_of_single_rows_does_not_run_away(rng):
    X, y = wave(rng, 300)
    model = MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", random_state=0)
    for x, target in zip(X, y, strict=True):
        model.partial_fit(x[None], [target])
    assert model.score(X, y) > 0


def test_partial_fit_of_classes_that_come_later(rng):
    X, y = classes(rng, 300, 3)
    order = np.argsort(y)
    model = MLPClassifier((8,), "tanh", random_state=0)
    model.partial_fit(X[order[:50]], y[order[:50]], classes=np.unique(y))
    for _ in range(30):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.7
    assert_refused("y has the class 'other'", model.partial_fit, X, np.full(300, "other"))
    assert_refused("are not those of the former calls", model.partial_fit, X, y, classes=["a", "b"])
    assert_refused("classes must be given in the first call", clone(model).partial_fit, X, y)


@pytest.mark.parametrize("begins_with_labels", [True, False])
def test_parts_do_not_change_between_classes_and_labels(begins_with_labels, rng):
    X, y = wave(rng, 60)
    labels, index = np.column_stack([y > 0, X[:, 0] > 0, X[:, 1] > 0]).astype(int), np.arange(60) % 3
    first, second = (labels, index) if begins_with_labels else (index, labels)
    model = MLPClassifier(**SMALL).partial_fit(X, first, classes=[0, 1, 2])
    before = dict(vars(model))
    now, former = ("classes", "several labels") if begins_with_labels else ("several labels", "classes")
    assert_refused(f"y has {now}, but the former calls had {former}", model.partial_fit, X, second)
    assert vars(model) == before
    assert model.partial_fit(X, first).n_iter_ == 2
    assert model.fit(X, second).predict(X).shape == second.shape


@quiet
@pytest.mark.parametrize("size", [50, 200])
@pytest.mark.parametrize("solver", ["newton", "lbfgs", Newton(hessian="gauss-newton"), LBFGS(memory=5)], ids=str)
def test_one_pass_of_a_second_order_stream_is_nearly_a_fit(solver, size, rng):
    X, y = wave(rng, 1200)
    X, y = X * [1, 1e3, 1e-3] + [0, 100, 1], 1e4 * y
    model = MLPRegressor(hidden_layer_sizes=(6,), activation="tanh", solver=solver, random_state=0, max_iter=100)
    reference = clone(model).fit(X, y)
    for rows in np.array_split(np.arange(1200), 1200 // size):
        model.partial_fit(X[rows], y[rows])
    assert model.score(X, y) > reference.score(X, y) - (0.15 if size == 50 else 0.05)
    assert model.n_iter_ == len(model.loss_curve_) == 1200 // size
    assert model.t_ == 1200


@quiet
def test_a_second_order_stream_remembers_what_its_last_rows_do_not_show(rng):
    """Rows in order of a column: the last tenth knows nothing of the first."""
    X, y = classes(rng, 600, 2)
    order = np.argsort(X[:, 0])
    models = [MLPClassifier((3,), "tanh", solver="lbfgs", alpha=0.1, random_state=0, max_iter=100) for _ in range(2)]
    for rows in np.array_split(order, 6):
        models[0].partial_fit(X[rows], y[rows], classes=np.unique(y))
    models[1].partial_fit(X[order[500:]], y[order[500:]], classes=np.unique(y))
    first = order[:300]
    assert models[0].score(X[first], y[first]) > models[1].score(X[first], y[first])


def test_a_linear_network_streams_like_least_squares(rng):
    X, y = wave(rng, 200)
    model = MLPRegressor(hidden_layer_sizes=(), alpha=1.0, solver="newton", random_state=0)
    for rows in np.array_split(np.arange(200), 10):
        model.partial_fit(X[rows], y[rows])
    reference = Ridge(alpha=1.0).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0][:, 0], reference.coef_, rtol=1e-6)


def test_derivatives_of_a_network_with_memory(rng):
    X, y = wave(rng, 60)
    model = MLPRegressor(
        hidden_layer_sizes=(3,), activation="tanh", solver="lbfgs", random_state=0, alpha=0.1
    ).partial_fit(X[:40], y[:40])
    (old, centre), (rows, _) = model.fitted_objective(X[:40], y[:40]), model.fitted_objective(X[40:], y[40:])
    memory = first_memory(old, True).at(centre, old).with_rows(old, [centre])
    objective = StreamObjective(rows, memory)
    theta, h = centre + 0.1 * rng.normal(size=objective.n_parameters), 1e-6
    ends = [[objective.value_and_gradient(theta + s * h * d) for s in (1, -1)] for d in np.eye(theta.size)]
    gradient, H = objective.value_and_gradient(theta)[1], objective.hessian_matrix(theta)
    np.testing.assert_allclose([(a[0] - b[0]) / (2 * h) for a, b in ends], gradient, atol=1e-6 * np.abs(gradient).max())
    np.testing.assert_allclose([(a[1] - b[1]) / (2 * h) for a, b in ends], H, atol=1e-6 * np.abs(H).max())
    # what is remembered of rows is Gauss-Newton's curvature of their losses, without the penalty
    nothing = first_memory(rows, True).at(theta, rows)
    both = (StreamObjective(rows, m) for m in (nothing.with_rows(rows, [theta]), nothing))
    added = np.subtract(*(m.hessian_matrix(theta, "expected") for m in both))
    coefs, intercepts, constants = rows.unpack(theta)
    penalty = rows.pack([np.full_like(W, 0.1 / 20) for W in coefs], [0 * b for b in intercepts], constants)
    expected = rows.hessian_matrix(theta, "expected") - np.diag(penalty)
    np.testing.assert_allclose(added, expected, atol=1e-10 * np.abs(expected).max())


def test_what_partial_fit_refuses(rng):
    X, y = wave(rng, 20)
    with pytest.raises(ValueError, match='at most 2000, and this network has 2501: use solver="sgd"'):
        MLPRegressor(hidden_layer_sizes=(500,), solver="lbfgs").partial_fit(X, y)
    with pytest.raises(ValueError, match='precondition="kronecker" is not available for partial_fit'):
        MLPRegressor(hidden_layer_sizes=(3,), solver=LBFGS(precondition="kronecker")).partial_fit(X, y)
    for kind, options in ((MLPRegressor, {}), (MLPClassifier, {"classes": [0, 1]})):
        message = "partial_fit does not support early_stopping=True"
        assert_refused(message, kind(early_stopping=True).partial_fit, X, (y > 0).astype(int), **options)
    message = r"classes has only one class, .*0.*: a classifier needs at least two classes"
    assert_refused(message, MLPClassifier().partial_fit, X, np.zeros(20, dtype=int), classes=[0])
    model = MLPClassifier(class_weight="balanced")
    assert_refused("class_weight must be None for partial_fit", model.partial_fit, X, y > 0, classes=[False, True])


def test_a_first_order_step_forgets_what_a_second_order_stream_remembers(rng):
    X, y = wave(rng, 2000)
    model = MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", solver="newton", random_state=0, alpha=1.0)
    remembers = len(pickle.dumps(model.partial_fit(X, y)))
    model.set_params(solver="sgd").partial_fit(X, y)
    assert len(pickle.dumps(model)) < remembers - 8 * 13 * 13 / 2


# -- parameters and attributes as scikit-learn's ----------------------------------------------------------------------

#: parameters of scikit-learn's class that are options of a solver object here, or cannot apply
NOT_DECLARED = {"batch_size", "learning_rate", "learning_rate_init", "power_t", "shuffle", "momentum", "beta_1"}
NOT_DECLARED |= {"beta_2", "epsilon", "nesterovs_momentum", "max_fun"}


@pytest.mark.parametrize("kind", [MLPRegressor, MLPClassifier], ids=lambda k: k.__name__)
def test_parameters_and_defaults_are_those_of_scikit_learn(kind):
    ours = kind().get_params()
    other = getattr(sklearn.neural_network, kind.__name__)().get_params()
    assert set(other) - set(ours) == NOT_DECLARED & set(other)
    for parameter in set(ours) & set(other) - {"solver", "max_iter", "verbose"}:
        assert ours[parameter] == other[parameter], parameter


@quiet
@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("kind", [MLPRegressor, MLPClassifier], ids=lambda k: k.__name__)
def test_attributes_are_those_of_scikit_learn(kind, early_stopping):
    X, y = load_iris(return_X_y=True)
    options = {"hidden_layer_sizes": (4, 3), "max_iter": 15, "early_stopping": early_stopping, "random_state": 0}
    ours, other = kind(**options).fit(X, y), getattr(sklearn.neural_network, kind.__name__)(**options).fit(X, y)
    names = {n for n in vars(other) if n.endswith("_") and not n.startswith("_")} - {"loss_curve_"}
    for name in names:
        a, b = getattr(ours, name), getattr(other, name)
        assert type(a) is type(b) or np.isscalar(a), name
        if isinstance(b, list) and isinstance(b[0], np.ndarray):
            assert [v.shape for v in a] == [v.shape for v in b]
    for name in ("n_layers_", "n_outputs_", "out_activation_"):
        assert getattr(ours, name) == getattr(other, name)


def test_clones_pickles_and_nested_parameters(X, y):
    model = MLPRegressor(**SMALL, solver=Momentum())
    model.set_params(solver__momentum=0.8, solver__batch_size=None).fit(X, y)
    assert model.solver_.momentum == 0.8
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    assert repr(clone(model)) == repr(model)
    message = "solver__momentum needs a solver object"
    assert_refused(message, MLPRegressor(solver="momentum").set_params, solver__momentum=0.8)
    grid = GridSearchCV(MLPRegressor(**SMALL, tol=1e-2), {"solver": ["newton", "lbfgs"]}, cv=2).fit(X, y)
    assert grid.best_score_ > 0.3


def test_no_fitted_attribute_keeps_the_data(rng):
    X, y = wave(rng, 5000)
    model = MLPRegressor(**SMALL, tol=1e-2, early_stopping=True).fit(X, y)
    del model.__dict__["history_"]
    assert len(pickle.dumps(model)) < 8 * 5000


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "value", "error"),
    [
        ("hidden_layer_sizes", 0, ValueError),
        ("hidden_layer_sizes", (3, -1), ValueError),
        ("hidden_layer_sizes", (2.5,), ValueError),
        ("hidden_layer_sizes", "100", ValueError),
        ("hidden_layer_sizes", None, ValueError),
        ("hidden_layer_sizes", (True,), ValueError),
        ("activation", "sine", ValueError),
        ("activation", None, ValueError),
        ("alpha", -1, ValueError),
        ("alpha", "1", TypeError),
        ("alpha", np.nan, ValueError),
        ("solver", "adam", ValueError),
        ("solver", 3, TypeError),
        ("tol", 0, ValueError),
        ("max_iter", 0, ValueError),
        ("max_iter", 1.5, ValueError),
        ("early_stopping", "yes", TypeError),
        ("warm_start", 1, TypeError),
        ("validation_fraction", 0, ValueError),
        ("validation_fraction", 1.0, ValueError),
        ("validation_fraction", True, ValueError),
        ("n_iter_no_change", 0, ValueError),
        ("n_init", 0, ValueError),
        ("n_init", 2.0, ValueError),
        ("random_state", "seed", ValueError),
        ("verbose", -1, ValueError),
    ],
)
def test_bad_parameters_are_named(parameter, value, error, rng):
    X, y = wave(rng, 20)
    for model in (MLPRegressor(**{parameter: value}), MLPClassifier(**{parameter: value})):
        before = dict(vars(model))
        assert_refused(parameter, model.fit, X, (y > 0).astype(int), error=error)
        assert vars(model) == before


@pytest.mark.parametrize(
    ("loss", "change", "message"),
    [
        ("squared", lambda y: y, "loss must be one of .*got 'squared'"),
        (None, lambda y: y, "loss must be one of .*got None"),
        ("poisson", lambda y: -np.abs(y), "y must be non-negative for loss='poisson', got"),
        ("gamma", lambda y: np.zeros_like(y), "y must be positive for loss='gamma', got"),
        ("huber", lambda y: np.column_stack([y, y]), "y has 2 columns, but loss='huber' has one"),
        ("squared_error", lambda y: np.where(y > 0, np.nan, y), "Input y contains NaN"),
        ("squared_error", lambda y: 1e200 * y, "y is too large"),
    ],
)
def test_bad_losses_and_targets_are_named(loss, change, message, rng):
    X, y = wave(rng, 20)
    assert_refused(message, MLPRegressor(loss).fit, X, change(y))


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({}, lambda y: np.zeros_like(y), "y has only one class"),
        ({}, lambda y: y + 0.5, "Unknown label type: continuous"),
        ({}, lambda y: np.column_stack([y, 2 * y]), "each must be a label with the values 0 and 1|Unknown label type"),
        ({"class_weight": "balanced"}, lambda y: np.column_stack([y, 1 - y]), "class_weight must be None for several"),
        ({"class_weight": {0: 0.0}}, lambda y: y, "class_weight must be positive"),
        ({"class_weight": "even"}, lambda y: y, "class_weight must be a dict, .* or None, got 'even'"),
        ({"early_stopping": True}, lambda y: np.arange(len(y)), "early_stopping=True needs at least two rows of every"),
        ({"early_stopping": True}, lambda y: np.arange(len(y)) // 2, "early_stopping=True: validation_fraction=0.1"),
    ],
)
def test_bad_classes_are_named(options, change, message, rng):
    X, y = wave(rng, 20)
    assert_refused(message, MLPClassifier(**options).fit, X, change((y > 0).astype(float)))


@quiet
@pytest.mark.parametrize("solver", ["newton", "lbfgs", "sgd"])
def test_degenerate_data_are_fitted(solver, rng):
    """A constant column, a constant target, one row, one column."""
    X, y = wave(rng, 30)
    for A, b in (
        (np.column_stack([X, np.full(30, 5.0)]), y),
        (X, np.full(30, 3.0)),
        (X[:1], y[:1]),
        (X[:, :1], y),
        (np.zeros((30, 2)), y),
    ):
        model = MLPRegressor(hidden_layer_sizes=(3,), solver=solver, random_state=0, max_iter=50).fit(A, b)
        assert np.isfinite(model.predict(A)).all()
        assert model.loss_ <= 0.5 * np.var(b) + 1e-4


# -- networks with kinks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs", "sgd", "momentum", "clip"])
def test_a_network_with_kinks_settles_and_does_not_warn(solver):
    X, y = load_iris(return_X_y=True)
    model = MLPClassifier(**KINKED | {"hidden_layer_sizes": (8, 8)}, alpha=0.01, solver=solver, tol=1e-3).fit(X, y)
    verdict, objective = model.convergence_, model.history_["objective"]
    assert verdict.status == "settled"
    assert "no optimum can be proved" in verdict.message
    assert np.isnan(verdict.decrement)
    assert np.ptp(objective[-11:]) <= verdict.tol**2 * verdict.scale
    assert verdict.objective == objective.min()
    assert model.score(X, y) > 0.95


@pytest.mark.parametrize(
    "change", [{"n_init": 3}, {"warm_start": True}, {"loss": "poisson"}, {"loss": "huber"}], ids=str
)
def test_restarts_warm_starts_and_other_losses_settle(change, X, y):
    model = MLPRegressor(**KINKED | change, tol=1e-3)
    for _ in range(2):
        assert model.fit(X, np.abs(y)).convergence_.status == "settled"


def test_only_activations_with_kinks_settle(X, y):
    assert MLPRegressor(**KINKED | {"hidden_layer_sizes": ()}).fit(X, y).convergence_.status == "optimal"
    assert [name for name, activation in ACTIVATIONS.items() if activation.has_kinks] == ["relu"]
    assert MLPRegressor(**SMALL, loss="huber").fit(X, y).convergence_.status == "optimal"
    result = minimize(MLPObjective(X, y, SquaredLoss(), hidden_layer_sizes=(3,), activation="relu"), np.zeros(16))
    assert not result.success


def test_a_kinked_network_that_fits_perfectly_is_optimal(rng):
    X = rng.normal(size=(20, 1))
    model = MLPRegressor(**KINKED | {"hidden_layer_sizes": (20,)}, alpha=0, tol=1e-3).fit(X, np.maximum(X[:, 0], 0))
    assert model.convergence_.status == "optimal"
    assert model.convergence_.objective <= 1e-6 * model.convergence_.scale


@pytest.mark.parametrize(
    ("solver", "max_iter"),
    [("lbfgs", 12), (SGD(1e-9, precondition=None, batch_size=None), 100), (Newton(damping=1e12), 60)],
    ids=str,
)
def test_a_kinked_network_whose_training_is_cut_short_warns(solver, max_iter, X, y):
    """By too few iterations, or by steps so short that each gains next to nothing."""
    with pytest.warns(ConvergenceWarning, match="MLPRegressor: max_iter: .* Use a larger max_iter, or|solver="):
        MLPRegressor(**KINKED, solver=solver, max_iter=max_iter).fit(X, y)


@pytest.mark.parametrize(
    "solver",
    [SGD(0.2, batch_size=15, precondition=None), SGD(batch_size=15), Momentum(batch_size=50), Clip(schedule="inverse")],
    ids=str,
)
def test_steps_that_are_short_for_another_reason_have_not_settled(solver, X, y):
    """The noise of minibatches shortens them, or a schedule."""
    with pytest.warns(ConvergenceWarning, match=r"(stalled|max_iter): .*solver=") as caught:
        MLPRegressor(**KINKED, solver=solver, max_iter=150).fit(X, y)
    assert (solver.batch_size == "auto") == ('batch_size="auto"' not in str(caught[0].message))


def test_minibatches_that_grow_settle(rng):
    X, y = wave(rng, 3000)
    model = MLPRegressor(**KINKED | {"hidden_layer_sizes": (3,)}, solver="sgd", tol=1e-3).fit(X, y)
    assert model.convergence_.status == "settled"


def test_early_stopping_and_streams_of_a_kinked_network_do_not_warn(X, y):
    assert MLPRegressor(**KINKED, early_stopping=True).fit(X, y).convergence_.status in ("stopped", "settled")
    model = MLPRegressor(**KINKED, solver="newton", tol=1e-3)
    for part in range(3):
        model.partial_fit(X[part::3], y[part::3])
    assert model.convergence_.status == "settled"


def test_inspection_that_needs_an_optimum_names_the_kinks(X, y):
    model = MLPRegressor(**KINKED, tol=1e-3).fit(X, y)
    assert_refused(r'"settled".*activation=.relu.*Use a smooth activation, such as "tanh"', laplace, model, X, y)


# -- rounding ---------------------------------------------------------------------------------------------------------


def deep(target, loss=None, activation="tanh"):
    X = np.linspace(-1, 1, 60)[:, None]
    return MLPObjective(X, target(X[:, 0]), loss or SquaredLoss(), hidden_layer_sizes=(10,), activation=activation)


@pytest.mark.parametrize("activation", ["tanh", "logistic", "softplus", "gelu"])
def test_a_nearly_perfect_fit_goes_on(activation):
    """Rounding of the predictions moves the value by their error times the slope there, which is next to nothing."""
    objective = deep(np.exp, activation=activation)
    result = minimize(objective, objective.start(0), "newton", tol=1e-10, max_iter=500)
    assert result.status in ("optimal", "max_iter")
    assert result.fun <= 1e-11


@pytest.mark.parametrize(
    ("target", "loss", "most"),
    [
        (lambda x: np.c_[np.exp(x), np.sin(2 * x)], SquaredLoss(2), 1e-9),
        (lambda x: np.exp(x) + 1e6, SquaredLoss(), 1e-10),
        (lambda x: 1e8 * np.exp(x), SquaredLoss(), 1e5),
        (lambda x: np.exp(np.exp(x)), TweedieLoss(1), 1e-10),
        (lambda x: np.exp(np.exp(x)), TweedieLoss(2), 1e-10),
    ],
    ids=["two outputs", "offset", "unit", "poisson", "gamma"],
)
def test_a_nearly_perfect_fit_of_other_targets_and_losses_goes_on(target, loss, most):
    objective = deep(target, loss)
    result = minimize(objective, objective.start(0), "newton", tol=1e-10, max_iter=400)
    assert result.status in ("optimal", "max_iter", "stalled")
    assert result.fun - objective.lower_bound <= most
