import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from sk_hessian.inspection import hessian_accuracy
from sk_hessian.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
)
from sk_hessian.neural_network import MLPRegressor
from tests.estimators import ESTIMATORS, assert_refused, raw_table, target
from tests.inspection.test_hessian import every_model, fitted_model

KINDS = ["subsampled", "diagonal", "kronecker", "gauss-newton", "lbfgs"]


def assert_perfect(approximation):
    assert approximation.spectral_error == pytest.approx(0, abs=1e-7)
    assert approximation.lowest == pytest.approx(1, abs=1e-6)
    assert approximation.highest == pytest.approx(1, abs=1e-6)
    assert approximation.decrement_share == pytest.approx(1, abs=1e-9)


@every_model
def test_the_exact_hessian_is_perfect_and_no_other_does_better(name, rng):
    model, X, y, weight = fitted_model(name, rng)
    found = hessian_accuracy(model, X, y, ("exact", "gauss-newton", "subsampled"), sample_weight=weight, share=0.5)
    assert_perfect(found["exact"])
    assert found.n_parameters == model.fitted_objective(X, y, weight)[1].size
    objective = model.fitted_objective(X, y, weight)[0]
    if objective.is_exact("expected"):
        assert_perfect(found["gauss-newton"])
    else:
        assert found["gauss-newton"].spectral_error > 1e-4
    for approximation in found.approximations.values():
        assert 0 <= approximation.decrement_share <= 1 + 1e-12
        assert approximation.condition_number >= 1 - 1e-9


def test_all_rows_as_a_sample_are_the_expected_hessian(rng):
    X = raw_table(rng)
    y = target("GammaRegressor", X, rng)
    found = hessian_accuracy(GammaRegressor(alpha=0).fit(X, y), X, y, ("subsampled", "gauss-newton"), share=1.0)
    sampled, expected = found["subsampled"], found["gauss-newton"]
    np.testing.assert_allclose(
        [sampled.spectral_error, sampled.lowest, sampled.highest, sampled.decrement_share],
        [expected.spectral_error, expected.lowest, expected.highest, expected.decrement_share],
        rtol=1e-6,
    )


def test_the_diagonal_of_two_correlated_columns(rng):
    """The eigenvalues of a correlation matrix are 1 - r and 1 + r."""
    z = rng.normal(size=(100, 2))
    X = np.column_stack([z[:, 0], z[:, 0] + 0.5 * z[:, 1]]) * [1.0, 1e6] + 1e3
    model = LinearRegression().fit(X, z[:, 0] + rng.normal(size=100))
    found = hessian_accuracy(model, X, z[:, 0], ["diagonal"])["diagonal"]
    r = np.corrcoef(X.T)[0, 1]
    assert found.lowest == pytest.approx(1 - r)
    assert found.highest == pytest.approx(1 + r)
    assert found.condition_number == pytest.approx((1 + r) / (1 - r))
    assert found.spectral_error == pytest.approx(r / (1 + r))


def test_the_decrement_share_against_its_formula(rng):
    """For eigenvalues l_i of B^-1 H the mean of (sum l z^2)^2 / (sum l^2 z^2 sum z^2) over normal z."""
    z = rng.normal(size=(100, 2))
    X = np.column_stack([z[:, 0], z[:, 0] + 0.5 * z[:, 1]])
    model = LinearRegression(fit_intercept=False).fit(X, z[:, 1])
    found = hessian_accuracy(model, X, z[:, 1], ["diagonal"])["diagonal"]
    squares = rng.normal(size=(200_000, 2)) ** 2
    eigenvalues = np.array([found.lowest, found.highest])
    share = (squares @ eigenvalues) ** 2 / (squares @ eigenvalues**2 * squares.sum(axis=1))
    assert found.decrement_share == pytest.approx(share.mean(), abs=4 * share.std() / np.sqrt(200))


def test_kronecker_is_exact_for_several_targets(rng):
    X, Y = raw_table(rng), rng.normal(size=(120, 3))
    model = Ridge(alpha=1.0).fit(X, Y)
    assert_perfect(hessian_accuracy(model, X, Y, ["kronecker"])["kronecker"])


def test_kronecker_of_softmax_is_between_the_diagonal_and_the_whole(rng, iris):
    X, y = iris
    found = hessian_accuracy(LogisticRegression().fit(X, y), X, y)
    assert list(found.approximations) == KINDS
    assert found["diagonal"].decrement_share < found["kronecker"].decrement_share < 1
    assert found.n_left_out == 1


def test_kronecker_without_a_penalty_leaves_all_common_shifts_out(rng):
    X = raw_table(rng)
    y = target("softmax", X, rng)
    found = hessian_accuracy(LogisticRegression(C=np.inf).fit(X, y), X, y, ["kronecker", "gauss-newton"])
    assert found.n_left_out == 5
    assert 0 < found["kronecker"].lowest < 1 < found["kronecker"].highest
    assert 0.5 < found["kronecker"].decrement_share < 1
    assert found["kronecker"].spectral_error < 1


def test_kronecker_with_constant_columns(iris):
    X, y = iris
    with_constant = np.column_stack([X, np.full(150, 3.0)])
    plain = hessian_accuracy(LogisticRegression().fit(X, y), X, y, ["kronecker"])["kronecker"]
    model = LogisticRegression().fit(with_constant, y)
    found = hessian_accuracy(model, with_constant, y, ["kronecker"])["kronecker"]
    assert found.lowest == pytest.approx(plain.lowest, rel=1e-3)
    assert found.highest == pytest.approx(plain.highest, rel=1e-3)


def test_lbfgs_learns_a_quadratic_of_few_parameters(rng):
    X = raw_table(rng, p=3)
    y = target("Ridge", X, rng)
    model = Ridge().fit(X, y)
    few, many = (hessian_accuracy(model, X, y, ["lbfgs"], memory=m)["lbfgs"] for m in (1, 10))
    assert many.decrement_share > 0.98
    assert few.decrement_share < many.decrement_share
    assert many.spectral_error < few.spectral_error


def test_a_sample_of_fewer_rows_than_parameters_is_singular(rng):
    X = rng.normal(size=(100, 20))
    model = PoissonRegressor(alpha=0).fit(X, rng.poisson(1, size=100))
    found = hessian_accuracy(model, X, rng.poisson(1, size=100), ["subsampled"], share=0.1)["subsampled"]
    assert found.lowest == 0
    assert found.condition_number == np.inf
    assert 0 < found.decrement_share < 0.9


def test_dependent_columns_are_left_out(rng):
    x = rng.normal(size=(80, 2))
    X, y = np.column_stack([x, x.sum(axis=1)]), rng.normal(size=80)
    found = hessian_accuracy(LinearRegression().fit(X, y), X, y)
    assert found.n_left_out == 1
    assert_perfect(found["gauss-newton"])


def test_a_seed_decides(rng):
    X, y = rng.normal(size=(80, 5)), rng.normal(size=80)
    model = HuberRegressor().fit(X, y)
    first, again, other = (str(hessian_accuracy(model, X, y, random_state=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_network_has_all_kinds(rng):
    X = rng.normal(size=(100, 2))
    y = np.sin(X[:, 0]) + 0.1 * rng.normal(size=100)
    model = MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", alpha=0.1, random_state=0).fit(X, y)
    found = hessian_accuracy(model, X, y, share=0.5)
    assert list(found.approximations) == KINDS
    assert found["gauss-newton"].spectral_error < found["diagonal"].spectral_error
    assert found["gauss-newton"].decrement_share > found["diagonal"].decrement_share


def test_table_text_and_plot(iris):
    matplotlib.use("Agg")
    X, y = iris
    found = hessian_accuracy(LogisticRegression().fit(X, y), X, y)
    table = found.to_frame()
    assert list(table.index) == KINDS
    assert list(table.columns) == ["spectral_error", "lowest", "highest", "condition_number", "decrement_share"]
    assert table.loc["kronecker", "decrement_share"] == found["kronecker"].decrement_share
    lines = str(found).splitlines()
    assert lines[0] == "Approximations of a Hessian of 15 parameters, 1 without positive curvature left out"
    assert [line.split()[0] for line in lines[3:]] == KINDS
    ax = found.plot()
    try:
        ax.figure.canvas.draw()
        assert ax.get_xlabel() == "share of the Newton decrement that a step captures"
        assert ax.get_ylabel() == "approximation of the Hessian"
        assert [label.get_text() for label in ax.get_yticklabels()] == KINDS
        assert ax.yaxis.get_label().get_window_extent().x0 >= 0  # within the figure
        widths = [bar.get_width() for bar in ax.patches]
        np.testing.assert_allclose(widths, table["decrement_share"])
        assert found.plot(ax) is ax
    finally:
        plt.close(ax.figure)


def test_bad_arguments_are_named(rng):
    X = raw_table(rng)
    model = ESTIMATORS["LogisticRegression"].fit(X, target("LogisticRegression", X, rng))
    y = model.classes_[np.arange(120) % 2]
    with pytest.raises(ValueError, match="kind='kronecker' is not available for this LogisticRegression: choose from"):
        hessian_accuracy(model, X, y, ["kronecker"])
    assert "kronecker" not in hessian_accuracy(model, X, y).approximations
    assert_refused("kind='x' is not available", hessian_accuracy, model, X, y, ["x"])
    with pytest.raises(TypeError, match=r"kinds must be a sequence of names, such as \['diagonal'\]"):
        hessian_accuracy(model, X, y, "diagonal")
    assert_refused("share must be above 0 and at most 1, got 0", hessian_accuracy, model, X, y, share=0)
    assert_refused("memory must be an integer of at least 1, got 0", hessian_accuracy, model, X, y, memory=0)
    wide = rng.normal(size=(20, 1200))
    with pytest.raises(ValueError, match="compared up to 1000 parameters, this Ridge has 1201"):
        hessian_accuracy(Ridge().fit(wide, wide[:, 0]), wide, wide[:, 0])
