import sys
from dataclasses import replace
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression as TheirLinearRegression

from sk_hessian.inspection import (
    CoefficientDisplay,
    ConvergenceDisplay,
    HessianSpectrumDisplay,
    InfluenceDisplay,
    LossSurfaceDisplay,
    coef_table,
    influence,
    spectrum,
)
from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge, TweedieRegressor
from sk_hessian.neural_network import MLPClassifier
from sk_hessian.solvers import SGD
from tests.estimators import assert_refused, convergence_warnings

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True, as_frame=True, scaled=False)


@pytest.fixture(scope="module")
def linear(diabetes):
    return LinearRegression().fit(*diabetes)


@pytest.fixture(scope="module")
def flowers():
    data = load_iris(as_frame=True)
    return data.data, data.target_names[data.target]


@pytest.fixture(scope="module")
def softmax(flowers):
    return LogisticRegression(tol=1e-6).fit(*flowers)


@pytest.fixture(scope="module")
def binary(flowers):
    X, y = flowers
    return X, y == "virginica"


@pytest.fixture(scope="module")
def runs(binary):
    return {solver: LogisticRegression(C=10, solver=solver).fit(*binary) for solver in ("newton", "lbfgs", "clip")}


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def draw(display):
    """Render, which raises where something cannot be drawn, and look whether all labels are inside the figure."""
    display.figure_.canvas.draw()
    whole = display.figure_.get_tightbbox()
    width, height = display.figure_.get_size_inches()
    assert whole.x0 >= -0.01
    assert whole.y0 >= -0.01
    assert whole.x1 <= width + 0.01
    assert whole.y1 <= height + 0.01
    return display


# -- convergence ------------------------------------------------------------------------------------------------------


def test_curves_of_convergence_are_the_history(runs):
    display = draw(ConvergenceDisplay.from_estimator(runs, x="seconds", y="gradient_norm"))
    assert len(display.lines_) == 3
    for line, (label, model) in zip(display.lines_, runs.items(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), model.history_["seconds"])
        np.testing.assert_array_equal(line.get_ydata(), model.history_["gradient_norm"])
        assert line.get_label() == label
    assert display.ax_.get_yscale() == "log"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("seconds", "largest absolute entry of the gradient")
    assert legend(display) == ["newton", "lbfgs", "clip"]
    assert len({line.get_color() for line in display.lines_}) == 3


def test_the_gap_is_to_the_best_run_less_its_certificate(runs):
    display = draw(ConvergenceDisplay.from_estimator(list(runs.values()), x="passes"))
    best = min((model.convergence_ for model in runs.values()), key=lambda verdict: verdict.objective)
    assert display.optimum == best.objective - best.decrement
    # a run to a tighter tolerance knows the optimum: the certificates of all are as good as they say
    for line, model in zip(display.lines_, runs.values(), strict=True):
        history = model.history_
        np.testing.assert_array_equal(line.get_xdata(), history["evaluations"] + history["hessian_products"])
        floor = np.finfo(float).eps * display.optimum
        np.testing.assert_allclose(line.get_ydata(), np.maximum(history["objective"] - display.optimum, floor))
    assert legend(display)[:4] == ["newton", "lbfgs", "clip", "tolerance"]
    labels = display.ax_.get_xlabel(), display.ax_.get_ylabel()
    assert labels == ("passes over the data", "objective above the optimum")


def test_the_optimum_is_that_of_a_much_tighter_run(binary, runs):
    tight = LogisticRegression(C=10, tol=1e-9).fit(*binary).convergence_
    display = ConvergenceDisplay.from_estimator(runs)
    assert abs(display.optimum - tight.objective) < 1e-2 * runs["newton"].convergence_.tol ** 2 * tight.scale


def test_a_run_at_the_optimum_is_drawn_at_the_rounding_error(diabetes):
    display = draw(ConvergenceDisplay.from_estimator(Ridge().fit(*diabetes)))
    floor = np.finfo(float).eps * display.optimum
    assert display.lines_[0].get_ydata()[-1] == pytest.approx(floor, rel=1e-6)
    assert legend(display) == ["newton", "tolerance", "rounding error"]
    level = display.ax_.get_lines()[-1]
    assert level.get_ydata()[0] == pytest.approx(floor, rel=1e-6)


def test_zeros_are_drawn_at_the_least_other_value(runs):
    model = runs["newton"]
    decrement = np.concatenate([[np.nan], model.history_["decrement"][1:-1], [0.0]])
    history = model.history_ | {"decrement": decrement}
    display = draw(ConvergenceDisplay({"a": history}, {"a": model.convergence_}).plot(y="decrement"))
    drawn = display.lines_[0].get_ydata()
    np.testing.assert_array_equal(drawn[:-1], decrement[:-1])
    assert drawn[-1] == decrement[1:-1].min()
    assert legend(display) == ["a", "tolerance", "zero"]


def test_the_tolerance_is_what_the_verdict_asked_for(runs):
    display = ConvergenceDisplay.from_estimator(runs["newton"], y="decrement")
    verdict = runs["newton"].convergence_
    level = display.ax_.get_lines()[-1]
    assert level.get_label() == "tolerance"
    assert level.get_ydata()[0] == verdict.tol**2 * verdict.scale
    assert display.lines_[0].get_ydata()[-1] <= level.get_ydata()[0]


def test_the_end_and_the_legend_have_the_verdict(binary, runs):
    short, _ = convergence_warnings(lambda: LogisticRegression(C=10, solver="clip", max_iter=2).fit(*binary))
    display = draw(ConvergenceDisplay.from_estimator({"whole": runs["newton"], "part": short}))
    assert legend(display)[:2] == ["whole", "part (max_iter)"]
    assert [line.get_marker() for line in display.lines_] == ["o", "X"]
    assert display.lines_[1].get_markevery() == [2]


def test_a_run_that_left_all_bounds_is_drawn_as_far_as_it_is_finite(runs):
    model = runs["newton"]
    objective = np.append(model.history_["objective"][:-1], np.inf)
    verdict = replace(model.convergence_, status="diverged", decrement=np.nan)
    display = draw(ConvergenceDisplay({"a": model.history_ | {"objective": objective}}, {"a": verdict}).plot())
    assert legend(display)[0] == "a (diverged)"
    assert display.lines_[0].get_markevery() == [len(objective) - 2]
    assert display.optimum == verdict.objective
    assert display.ax_.get_ylabel() == "objective above the least of these runs"


def test_without_an_optimum_the_gap_is_to_the_best_run(binary):
    runs, _ = convergence_warnings(
        lambda: [LogisticRegression(C=10, solver=name, max_iter=2).fit(*binary) for name in ("newton", "clip")]
    )
    display = draw(ConvergenceDisplay.from_estimator(runs))
    assert display.ax_.get_ylabel() == "objective above the least of these runs"
    assert legend(display) == ["newton (max_iter)", "clip (max_iter)"]
    least = min(model.convergence_.objective for model in runs)
    for line, model in zip(display.lines_, runs, strict=True):
        gap = model.history_["objective"] - least
        np.testing.assert_array_equal(line.get_ydata(), np.where(gap > 0, gap, np.nan))
    assert sum(np.isnan(line.get_ydata()).sum() for line in display.lines_) == 1


def test_labels_tell_runs_apart(binary, diabetes, runs):
    newton, lbfgs = runs["newton"], runs["lbfgs"]
    ridge = Ridge(solver="newton").fit(*diabetes)

    def labels(models, **options):
        return list(ConvergenceDisplay.from_estimator(models, y="decrement", **options).histories)

    assert labels([newton, lbfgs]) == ["newton", "lbfgs"]
    assert labels([newton, ridge]) == ["LogisticRegression, newton", "Ridge, newton"]
    assert labels([newton, newton]) == ["newton 1", "newton 2"]
    assert labels([newton, lbfgs], labels=["a", "b"]) == ["a", "b"]
    assert labels(newton, labels="one") == ["one"]


def test_much_longer_runs_have_a_logarithmic_axis(runs):
    model = runs["newton"]
    long = {name: np.repeat(column, 40) for name, column in model.history_.items()}
    n = len(long["iteration"])
    long |= {"iteration": np.arange(n), "seconds": 1e-3 * np.arange(1, n + 1)}
    short = model.history_ | {"seconds": 1e-3 * np.arange(1, 1 + len(model.history_["seconds"]))}
    display = ConvergenceDisplay({"a": short, "b": long}, {"a": model.convergence_, "b": model.convergence_})
    assert draw(display.plot(x="iteration")).ax_.get_xscale() == "symlog"
    assert display.ax_.get_xlim()[0] == 0
    assert draw(display.plot(x="seconds")).ax_.get_xscale() == "log"
    whole = draw(ConvergenceDisplay.from_estimator(model)).ax_
    assert whole.get_xscale() == "linear"
    assert all(tick == int(tick) for tick in whole.get_xticks())


def test_bad_arguments_of_convergence(binary, diabetes, runs):
    newton = runs["newton"]
    show = ConvergenceDisplay.from_estimator
    assert_refused(r"x must be one of \('iteration', 'passes', 'seconds'\), got 'epoch'", show, newton, x="epoch")
    assert_refused(r"y must be one of .*, got 'loss'", show, newton, y="loss")
    with pytest.raises(TypeError, match="estimators must be of sk_hessian, got LinearRegression"):
        show(TheirLinearRegression().fit(*diabetes))
    assert_refused("this LogisticRegression is not fitted: call fit first", show, [newton, LogisticRegression()])
    assert_refused("estimators is empty", show, [])
    assert_refused("labels must be 1 different names", show, newton, labels=["a", "b"])
    assert_refused("labels must be 2 different names", show, [newton, newton], labels=["a", "a"])
    assert_refused("the keys of the dict are the labels", show, {"a": newton}, labels=["b"])
    assert_refused("these estimators minimise different objectives", show, [newton, Ridge().fit(*diabetes)])
    assert_refused("must have the same labels", ConvergenceDisplay, {"a": newton.history_}, {})


# -- coefficients -----------------------------------------------------------------------------------------------------


def interval_ends(collection):
    return np.array([path.vertices[:, 0] for path in collection.get_paths()])


def test_coefficients_are_those_of_the_table(diabetes, linear):
    display = draw(CoefficientDisplay.from_estimator(linear, *diabetes, level=0.9))
    table = coef_table(linear, *diabetes, level=0.9)
    (line,), (bars,) = display.lines_, display.intervals_
    np.testing.assert_array_equal(line.get_xdata(), linear.coef_)
    np.testing.assert_allclose(interval_ends(bars), np.column_stack([table.lower, table.upper])[:10])
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == list(diabetes[0].columns)
    np.testing.assert_array_equal(line.get_ydata(), np.arange(10))
    assert display.ax_.yaxis_inverted()
    label = display.ax_.get_xlabel().replace("\n", " ")
    assert label == f"coefficient 90% intervals for {table.target}"
    assert display.ax_.get_legend() is None
    assert display.ax_.get_title() == ""


def test_standardised_coefficients_do_not_depend_on_units(diabetes, linear):
    X, y = diabetes
    display = draw(CoefficientDisplay.from_estimator(linear, X, y, standardise=True))
    deviation = X.to_numpy().std(axis=0)
    np.testing.assert_allclose(display.lines_[0].get_xdata(), linear.coef_ * deviation, rtol=1e-12)
    assert "times the standard deviation of its column" in display.ax_.get_xlabel()
    scaled = X * np.logspace(-3, 3, 10)
    other = CoefficientDisplay.from_estimator(LinearRegression().fit(scaled, y), scaled, y, standardise=True)
    np.testing.assert_allclose(other.lines_[0].get_xdata(), display.lines_[0].get_xdata(), rtol=1e-8)
    np.testing.assert_allclose(
        interval_ends(other.intervals_[0]), interval_ends(display.intervals_[0]), rtol=1e-7, atol=1e-7
    )


def test_sorted_coefficients_fall(diabetes, linear):
    display = draw(CoefficientDisplay.from_estimator(linear, *diabetes, sort=True, name="diabetes"))
    assert (np.diff(display.lines_[0].get_xdata()) <= 0).all()
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names == [diabetes[0].columns[i] for i in np.argsort(-linear.coef_)]
    assert display.ax_.get_title() == "diabetes"


def test_classes_have_colours(flowers, softmax):
    display = draw(CoefficientDisplay.from_estimator(softmax, *flowers, name="iris"))
    assert legend(display) == ["setosa", "versicolor", "virginica"]
    assert display.ax_.get_legend().get_title().get_text() == "iris"
    for line, coef in zip(display.lines_, softmax.coef_, strict=True):
        np.testing.assert_allclose(line.get_xdata(), coef)
    assert len({line.get_color() for line in display.lines_}) == 3
    # no two of the markers of a feature are at the same height
    assert len(np.unique(np.concatenate([line.get_ydata() for line in display.lines_]).round(6))) == 12
    order = display.plot(sort=True).shown_
    np.testing.assert_array_equal(order, np.argsort(-np.abs(softmax.coef_).max(axis=0)))


def test_of_many_coefficients_the_clearest_are_shown(rng):
    X = rng.normal(size=(200, 45))
    y = X[:, 3] - X[:, 44] + rng.normal(size=200)
    model = LinearRegression().fit(X, y)
    display = draw(CoefficientDisplay.from_estimator(model, X, y))
    sizes = np.abs(coef_table(model, X, y).statistic[:45])
    np.testing.assert_array_equal(display.shown_, np.sort(np.argsort(-sizes)[:40]))
    assert display.ax_.get_title() == "5 features of smaller statistic are left out"
    np.testing.assert_array_equal(draw(display.plot(most=2)).shown_, [3, 44])
    assert display.ax_.get_title() == "43 features of smaller statistic are left out"
    assert draw(display.plot(most=45)).ax_.get_title() == ""
    assert display.figure_.get_figheight() > 9


def test_a_whole_table_shows_the_intercept_too(diabetes, linear):
    table = coef_table(linear, *diabetes)
    display = draw(CoefficientDisplay(table).plot())
    assert display.ax_.get_yticklabels()[-1].get_text() == "intercept"
    assert display.lines_[0].get_xdata()[-1] == linear.intercept_


def test_bad_arguments_of_coefficients(diabetes, linear, rng):
    table = coef_table(linear, *diabetes)
    for most in (0, 2.5, True):
        assert_refused(f"most must be an integer of at least 1, got {most}", CoefficientDisplay(table).plot, most=most)
    assert_refused("outputs needs features", CoefficientDisplay, table, outputs=["a", "b"])
    assert_refused("level", CoefficientDisplay.from_estimator, linear, *diabetes, level=2)


# -- influence --------------------------------------------------------------------------------------------------------


def test_bubbles_are_the_influence(diabetes, linear):
    display = draw(InfluenceDisplay.from_estimator(linear, *diabetes, name="diabetes"))
    rows = influence(linear, *diabetes)
    np.testing.assert_allclose(display.points_.get_offsets(), np.column_stack([rows.leverage, rows.residual]))
    areas, cook = display.points_.get_sizes(), rows.cooks_distance
    large = areas > 4.01
    np.testing.assert_allclose(areas[large] / areas.max(), cook[large] / cook.max())
    assert areas.min() == 4.0
    assert areas.max() == 400.0
    largest = np.argsort(-cook)[:5]
    assert [text.get_text() for text in display.text_] == [str(i) for i in largest]
    assert [text.xy for text in display.text_] == [(rows.leverage[i], rows.residual[i]) for i in largest]
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("leverage", "standardised residual")
    assert legend(display) == ["area: Cook's distance", "twice the mean leverage"]
    vertical = display.ax_.get_lines()[1]
    assert vertical.get_xdata()[0] == pytest.approx(2 * 11 / 442)


def test_labels_of_rows_do_not_overlap(rng):
    X = rng.normal(size=(300, 8))
    y = rng.poisson(np.exp(0.5 * X[:, 0])).astype(float)
    display = draw(InfluenceDisplay.from_estimator(PoissonRegressor(alpha=0).fit(X, y), X, y, n_labels=15))
    boxes = np.array([text.get_window_extent().extents for text in display.text_])
    assert len(boxes) == 15
    # the bounding box of an annotation includes its line: only the text counts
    boxes = np.array([mpl.text.Text.get_window_extent(text).extents for text in display.text_])
    corners = [mpl.transforms.Bbox.from_extents(box) for box in boxes]
    overlaps = [mpl.transforms.Bbox.intersection(a, b) for a, b in combinations(corners, 2)]
    assert not any(common is not None and common.width * common.height > 0 for common in overlaps)
    frame = display.ax_.get_window_extent().extents
    assert (boxes[:, :2] >= frame[:2]).all()
    assert (boxes[:, 2:] <= frame[2:]).all()


def test_no_line_goes_through_a_label():
    X, y = load_breast_cancer(return_X_y=True)
    display = draw(InfluenceDisplay.from_estimator(LogisticRegression().fit(X, y), X, y))
    middle = 2 * display.influence.leverage.mean()
    line = display.ax_.transData.transform((middle, 0.0))[0]
    boxes = np.array([mpl.text.Text.get_window_extent(text).extents for text in display.text_])
    assert not ((boxes[:, 0] < line) & (line < boxes[:, 2])).any()


def test_a_row_that_alone_determines_a_parameter_is_left_out(rng):
    X = np.column_stack([rng.normal(size=30), np.arange(30) == 7])
    y = rng.normal(size=30)
    display = draw(InfluenceDisplay.from_estimator(LinearRegression().fit(X, y), X, y))
    assert np.flatnonzero(~np.isfinite(display.points_.get_offsets().filled(np.nan)[:, 1])).tolist() == [7]
    assert display.ax_.get_xlabel() == "leverage (1 rows without a residual are not drawn)"
    assert "7" not in [text.get_text() for text in display.text_]


def test_bad_arguments_of_influence(diabetes, linear):
    show = InfluenceDisplay.from_estimator
    assert show(linear, *diabetes, n_labels=0).text_ == []
    for n_labels in (-1, 1.5, True):
        assert_refused("n_labels must be an integer of at least 0", show, linear, *diabetes, n_labels=n_labels)
    assert_refused("labels must be one for each of 442 rows, got 2", show, linear, *diabetes, labels=["a", "b"])
    assert_refused("curvature must be", show, linear, *diabetes, curvature="none")


# -- spectrum ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", ["raw", "standardised"])
def test_eigenvalues_fall_along_the_ranks(diabetes, linear, units):
    display = draw(HessianSpectrumDisplay.from_estimator(linear, *diabetes, units=units, name="diabetes"))
    values = spectrum(linear, *diabetes, units=units).values
    (line,) = display.lines_
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 12))
    np.testing.assert_allclose(line.get_ydata(), values[::-1])
    assert display.ax_.get_yscale() == "log"
    assert display.ax_.get_ylabel() == f"size of the eigenvalue, {units} units"
    assert display.ax_.get_title() == "diabetes"
    title = display.ax_.get_legend().get_title().get_text()
    assert title == f"condition number {values[-1] / values[0]:.3g}"


def test_negative_and_zero_eigenvalues_are_marked():
    H = np.diag([-4.0, 0.0, 1e-3, 2.0])
    display = draw(HessianSpectrumDisplay(spectrum(H)).plot())
    positive, negative = display.lines_
    rounding = display.spectrum.rounding
    np.testing.assert_array_equal(positive.get_ydata(), [2.0, 1e-3, rounding, np.nan])
    np.testing.assert_array_equal(negative.get_ydata(), [np.nan, np.nan, np.nan, 4.0])
    assert legend(display) == ["positive", "negative", "zero to working precision"]
    assert positive.get_marker() != negative.get_marker()


def test_a_large_spectrum_is_a_density(rng):
    H = np.diag(np.concatenate([rng.uniform(1, 2, size=1200), [30.0]]))
    found = spectrum(H)
    display = draw(HessianSpectrumDisplay(found).plot())
    line, known = display.lines_
    np.testing.assert_array_equal(line.get_xdata(), found.density[0])
    drawn = np.isfinite(line.get_ydata())
    np.testing.assert_array_equal(line.get_ydata()[drawn], found.density[1][drawn])
    assert drawn[found.density[1] > 1e-3 * found.density[1].max()].all()
    np.testing.assert_array_equal(known.get_xdata(), found.values)
    assert legend(display) == ["density, smoothed", "known eigenvalues"]
    ranks = draw(display.plot(show="eigenvalues")).lines_[0].get_xdata()
    np.testing.assert_array_equal(ranks, [1, 2, 3, 4, 5, 6, 1196, 1197, 1198, 1199, 1200, 1201])


def test_a_small_spectrum_can_be_a_density_too(diabetes, linear):
    display = draw(HessianSpectrumDisplay.from_estimator(linear, *diabetes, show="density", units="standardised"))
    assert legend(display) == ["density, smoothed", "all eigenvalues"]


def test_bad_arguments_of_the_spectrum(diabetes, linear):
    with pytest.raises(ValueError, match=r"show must be one of \('auto', 'eigenvalues', 'density'\), got 'all'"):
        HessianSpectrumDisplay.from_estimator(linear, *diabetes, show="all")
    assert_refused("units must be .*, got 'log'", HessianSpectrumDisplay.from_estimator, linear, *diabetes, units="log")


# -- loss surface -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def surface(binary):
    model = LogisticRegression(C=10, tol=1e-6).fit(*binary)
    return model, LossSurfaceDisplay.from_estimator(model, *binary, n_grid=21)


def small_network(random_state=0, **options):
    X = np.random.default_rng(3).normal(size=(80, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    options = {"hidden_layer_sizes": (2,), "activation": "tanh", "alpha": 0.5} | options
    return MLPClassifier(random_state=random_state, **options), X, y


def test_the_surface_is_the_objective_in_the_plane_of_two_parameters(binary):
    model = LogisticRegression(C=10, tol=1e-8).fit(*binary)
    pair = np.eye(5)[[3, 4]]
    display = draw(LossSurfaceDisplay.from_estimator(model, *binary, directions=pair, span=(0.5, 2.0), n_grid=5))
    objective, theta = model.fitted_objective(*binary)
    np.testing.assert_allclose(display.a, [-0.5, -0.25, 0, 0.25, 0.5], atol=1e-15)
    np.testing.assert_allclose(display.b, [-2, -1, 0, 1, 2], atol=1e-15)
    H = objective.hessian_matrix(theta)[3:, 3:]
    for j, b in enumerate(display.b):
        for i, a in enumerate(display.a):
            value = objective.value_and_gradient(theta + a * pair[0] + b * pair[1])[0]
            assert display.objective[j, i] == pytest.approx(value, rel=1e-12)
            square = 0.5 * np.array([a, b]) @ H @ [a, b]
            assert display.taylor[j, i] - display.at_fit == pytest.approx(square, rel=1e-6, abs=1e-9)
    assert display.labels == ["first direction\npetal width (cm)", "second direction\nintercept"]


def test_the_plane_is_that_of_extremal_eigenvectors(binary, surface):
    model, display = surface
    found = spectrum(model, *binary, units="standardised", eigenvectors=True)
    largest = f"eigenvector of eigenvalue {found.values[-1]:.2g}\n"
    smallest = f"eigenvector of eigenvalue {found.values[0]:.2g}\n"
    assert display.ax_.get_xlabel().startswith(largest)
    assert display.ax_.get_ylabel().startswith(smallest)
    # along an axis the model is half the eigenvalue times the squared length
    rise = display.taylor - display.at_fit
    expected = 0.5 * (found.values[-1] * display.a[None, :] ** 2 + found.values[0] * display.b[:, None] ** 2)
    np.testing.assert_allclose(rise, expected, rtol=1e-4, atol=1e-6)
    other = LossSurfaceDisplay.from_estimator(model, *binary, directions=(-1, 0), n_grid=21)
    np.testing.assert_allclose(other.objective, display.objective)
    third = LossSurfaceDisplay.from_estimator(model, *binary, directions=(1, 2), n_grid=3)
    assert third.labels[1].startswith(f"eigenvector of eigenvalue {found.values[2]:.2g}\n")


def test_objective_and_model_agree_near_the_fit_and_differ_at_the_ends(surface):
    display = surface[1]
    rise, model = display.objective - display.at_fit, display.taylor - display.at_fit
    centre = np.abs(display.b).argmin(), np.abs(display.a).argmin()
    near = (slice(centre[0] - 1, centre[0] + 2), slice(centre[1] - 1, centre[1] + 2))
    assert np.abs(rise[near] - model[near]).max() < 0.15 * model[near].max()
    assert np.abs(rise - model).max() > 0.5 * model[0, centre[1]]


def test_the_path_is_that_of_the_fit(surface):
    model, display = surface
    display.plot()
    assert len(display.path) == model.n_iter_ + 1
    np.testing.assert_allclose(display.path[-1], 0, atol=1e-6)
    path, start, fit = display.lines_
    np.testing.assert_array_equal(path.get_xydata(), display.path)
    np.testing.assert_array_equal(start.get_xydata(), display.path[:1])
    np.testing.assert_array_equal(fit.get_xydata(), [[0, 0]])
    assert legend(display) == ["objective", "Taylor model", "path of newton", "start", "fit"]
    assert display.a[0] <= display.path[:, 0].min()
    assert display.path[:, 1].max() <= display.b[-1]
    draw(display)


def test_a_path_goes_back_to_the_best_iterate(binary):
    solver = SGD(learning_rate=3.0, batch_size=None, precondition=None)
    model, warned = convergence_warnings(lambda: LogisticRegression(solver=solver, max_iter=4, C=10).fit(*binary))
    assert warned
    objective = model.history_["objective"]
    best = objective.argmin()
    assert best < len(objective) - 1
    display = LossSurfaceDisplay.from_estimator(model, *binary, n_grid=3)
    assert len(display.path) == len(objective) + 1
    np.testing.assert_allclose(display.path[-1], 0, atol=1e-9)
    np.testing.assert_allclose(display.path[best], 0, atol=1e-9)
    assert np.abs(display.path[-2]).max() > 1e-3


def test_the_path_of_least_squares_is_projected_along_conjugate_directions(diabetes):
    X, y = diabetes
    model = Ridge(solver="lbfgs").fit(X, y)
    display = LossSurfaceDisplay.from_estimator(model, X, y, n_grid=5)
    # the objective is its Taylor model: what the path falls in the plane is part of what it falls altogether
    fall = model.history_["objective"][0] - model.history_["objective"][-1]
    values = spectrum(model, X, y, units="standardised").values
    inside = 0.5 * np.array([values[-1], values[0]]) @ display.path[0] ** 2
    assert 0 < inside < fall
    np.testing.assert_allclose(display.objective, display.taylor, rtol=1e-9)


def test_units_of_columns_do_not_change_the_surface(binary, surface):
    X, y = binary
    scaled = X * [1e-3, 1, 1e4, 50] + [0, 100, 0, -3]
    models = [LogisticRegression(C=np.inf, tol=1e-8).fit(table, y) for table in (X, scaled)]
    first, second = (
        LossSurfaceDisplay.from_estimator(model, table, y, n_grid=5, path=False)
        for model, table in zip(models, (X, scaled), strict=True)
    )
    np.testing.assert_allclose(first.a, second.a, rtol=1e-4)
    np.testing.assert_allclose(first.objective, second.objective, rtol=1e-4)
    assert first.path is None
    assert [line.get_label() for line in first.lines_] == ["fit"]


def test_networks_have_surfaces_and_paths():
    model, X, y = small_network()
    model.fit(X, y)
    display = draw(LossSurfaceDisplay.from_estimator(model, X, y, n_grid=11))
    assert len(display.path) == model.n_iter_ + 1
    np.testing.assert_allclose(display.path[-1], 0, atol=1e-9)
    assert np.isfinite(display.objective).all()


def test_the_common_shift_of_softmax_outputs_is_no_direction(flowers, softmax):
    display = LossSurfaceDisplay.from_estimator(softmax, *flowers, n_grid=5)
    for label in display.labels:
        assert not {"[setosa]", "[versicolor]", "[virginica]"} <= set(label.split())
    with pytest.raises(ValueError, match="the objective does not depend on one of them"):
        LossSurfaceDisplay.from_estimator(softmax, *flowers, directions=[np.eye(15)[0], np.repeat([0, 1], [12, 3])])


def test_outside_of_the_domain_nothing_is_drawn(rng, displays):
    X = rng.uniform(1, 2, size=(60, 1))
    y = rng.poisson(3 * X[:, 0]) + 1.0
    model = TweedieRegressor(power=1, link="identity", alpha=0).fit(X, y)
    display = draw(LossSurfaceDisplay.from_estimator(model, X, y, span=50, directions=np.eye(2), n_grid=7, path=False))
    assert np.isinf(display.objective).any()
    assert np.isfinite(display.objective).any()
    assert legend(display) == ["objective", "Taylor model", "outside the domain", "fit"]
    assert "outside the domain" not in legend(displays["LossSurfaceDisplay"])


def test_around_a_saddle_there_are_contours_below_the_fit():
    model, X, y = small_network(max_iter=1)
    _, messages = convergence_warnings(lambda: model.fit(X, y))
    assert messages
    values = spectrum(model, X, y, units="standardised").values
    assert values[0] < -1e-3
    display = draw(LossSurfaceDisplay.from_estimator(model, X, y, directions=(-1, 0), n_grid=21, path=False))
    levels = display.contours_.levels
    assert levels[0] < 0 < levels[-1]
    assert (np.diff(levels) > 0).all()
    assert (display.taylor - display.at_fit).min() < levels[0]


def test_an_offset_belongs_to_the_surface(rng):
    X, offset = rng.normal(size=(80, 2)), rng.normal(size=80)
    y = rng.poisson(np.exp(0.3 * X[:, 0] + offset)).astype(float)
    model = PoissonRegressor(alpha=0).fit(X, y, offset=offset)
    display = LossSurfaceDisplay.from_estimator(model, X, y, offset=offset, n_grid=3)
    assert display.at_fit == pytest.approx(model.convergence_.objective)


def test_a_path_that_does_not_end_at_the_fit_is_refused(binary, surface):
    X, y = binary
    message = "path: the run of the solver on these rows does not end at the fit"
    assert_refused(message, LossSurfaceDisplay.from_estimator, surface[0], X, ~y)
    # the run of a random state that has moved on is another one
    model, X, y = small_network(random_state=np.random.RandomState(0), n_init=4)
    model.fit(X, y)
    assert_refused(message, LossSurfaceDisplay.from_estimator, model, X, y, n_grid=3)
    display = LossSurfaceDisplay.from_estimator(model, X, y, n_grid=3, path=False)
    assert legend(display) == ["objective", "Taylor model", "fit"]


def test_bad_arguments_of_the_surface(binary, surface):
    def show(**options):
        return LossSurfaceDisplay.from_estimator(surface[0], *binary, path=False, **options)

    for n_grid in (2, 4.5, True, "many"):
        assert_refused("n_grid must be an integer of at least 3", show, n_grid=n_grid)
    for span in (0, -1, np.inf, (1, 2, 3), "wide"):
        assert_refused("span must be a positive number or two", show, span=span, n_grid=3)
    for pair in [(0, 5), (0, 0), (-6, 1)]:
        assert_refused("directions must be two different eigenvectors out of 5", show, directions=pair, n_grid=3)
    for vectors in [np.eye(4)[:2], np.ones((2, 5)), [1.5, 2], "path", [[np.nan] * 5] * 2, np.zeros((2, 5))]:
        assert_refused("directions must be two integers, or two different vectors", show, directions=vectors, n_grid=3)
    model = LogisticRegression(fit_intercept=False).fit(binary[0].iloc[:, :1], binary[1])
    with pytest.raises(ValueError, match="a surface needs at least two parameters"):
        LossSurfaceDisplay.from_estimator(model, binary[0].iloc[:, :1], binary[1])


# -- all --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def displays(diabetes, linear, runs, surface):
    return {
        "ConvergenceDisplay": ConvergenceDisplay.from_estimator(runs),
        "CoefficientDisplay": CoefficientDisplay.from_estimator(linear, *diabetes),
        "InfluenceDisplay": InfluenceDisplay.from_estimator(linear, *diabetes),
        "HessianSpectrumDisplay": HessianSpectrumDisplay.from_estimator(linear, *diabetes),
        "LossSurfaceDisplay": surface[1],
    }


every_display = pytest.mark.parametrize(
    "name",
    ["CoefficientDisplay", "ConvergenceDisplay", "HessianSpectrumDisplay", "InfluenceDisplay", "LossSurfaceDisplay"],
)


@every_display
def test_a_display_is_plotted_again_and_on_given_axes(name, displays):
    display = displays[name]
    first = display.plot().ax_
    assert display.plot() is display
    assert display.ax_ is not first
    assert display.figure_ is display.ax_.figure
    n_axes = len(draw(display).figure_.axes)
    assert n_axes == (2 if name == "LossSurfaceDisplay" else 1)
    figure, (left, right) = plt.subplots(ncols=2, figsize=(12, 6), layout="constrained")
    display.plot(right, name="a title of its own")
    assert display.ax_ is right
    assert display.figure_ is figure
    assert not left.has_data()
    legend = right.get_legend()
    titles = {right.get_title(), legend and legend.get_title().get_text()}
    assert "a title of its own" in titles
    draw(display)


def test_from_estimator_takes_axes(diabetes, linear, runs):
    figure, axes = plt.subplots(3, 2, figsize=(13, 15), layout="constrained")
    first, *rest = axes.ravel()
    shown = [ConvergenceDisplay.from_estimator(runs, ax=first)]
    classes = [CoefficientDisplay, InfluenceDisplay, HessianSpectrumDisplay, LossSurfaceDisplay]
    shown += [cls.from_estimator(linear, *diabetes, ax=ax) for cls, ax in zip(classes, rest, strict=False)]
    assert [display.ax_ for display in shown] == axes.ravel()[:5].tolist()
    assert {display.figure_ for display in shown} == {figure}
    draw(shown[0])


@every_display
def test_a_display_works_in_a_subfigure(name, displays):
    figure = plt.figure(figsize=(12, 7), layout="constrained")
    axes = figure.subfigures(1, 2)[0].subplots()
    displays[name].plot(axes)
    figure.canvas.draw()
    assert axes.has_data()


def test_styles_are_passed_on(displays):
    assert displays["ConvergenceDisplay"].plot(ls="--").lines_[0].get_linestyle() == "--"
    assert displays["CoefficientDisplay"].plot(marker="s").lines_[0].get_marker() == "s"
    assert displays["HessianSpectrumDisplay"].plot(c="red").lines_[0].get_color() == "red"
    assert displays["InfluenceDisplay"].plot(alpha=0.25).points_.get_alpha() == 0.25
    coloured = displays["InfluenceDisplay"].plot(c=np.arange(442)).points_
    np.testing.assert_array_equal(coloured.get_array(), np.arange(442))
    assert displays["LossSurfaceDisplay"].plot(cmap="magma", colorbar=False).contours_.get_cmap().name == "magma"
    assert len(displays["LossSurfaceDisplay"].figure_.axes) == 1
    black = displays["LossSurfaceDisplay"].plot(colors="black", levels=[0.01, 0.1])
    np.testing.assert_array_equal(draw(black).contours_.levels, [0.01, 0.1])


@every_display
def test_without_matplotlib_the_error_says_what_to_install(name, displays, monkeypatch, diabetes, linear):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    display = displays[name]
    assert_refused(rf"{name} needs matplotlib: pip install sk-hessian\[plot\]", display.plot, error=ImportError)
    data = () if name == "ConvergenceDisplay" else diabetes
    with pytest.raises(ImportError, match=rf"{name} needs matplotlib: pip install sk-hessian\[plot\]"):
        type(display).from_estimator(linear, *data)


def test_a_settled_run_ends_with_a_square():
    X, y = load_iris(return_X_y=True)
    model = MLPClassifier((3,), "relu", alpha=0.1, tol=1e-3, random_state=0).fit(X, y)
    assert model.convergence_.status == "settled"
    display = ConvergenceDisplay.from_estimator(model)
    assert display.lines_[0].get_marker() == "s"
    assert display.lines_[0].get_label().endswith("(settled)")
    plt.close(display.figure_)
