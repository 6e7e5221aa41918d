import builtins
from dataclasses import replace
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LinearRegression as TheirLinearRegression

from sk_hessian.inspection import (
    CoefficientDisplay,
    ConvergenceDisplay,
    HessianSpectrumDisplay,
    InfluenceDisplay,
    LossSurfaceDisplay,
    coef_table,
    influence,
)
from sk_hessian.inspection._displays._influence import _boxes, _overlap
from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from tests.estimators import convergence_warnings

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
    assert display.ax_.get_xlabel() == "passes over the data"


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
    history = model.history_ | {"decrement": np.append(model.history_["decrement"][:-1], 0.0)}
    display = draw(ConvergenceDisplay({"a": history}, {"a": model.convergence_}).plot(y="decrement"))
    drawn = display.lines_[0].get_ydata()
    assert drawn[-1] == history["decrement"][:-1].min()
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


def test_networks_have_curves_too(rng):
    X = rng.normal(size=(60, 2))
    model = MLPRegressor(hidden_layer_sizes=(2,), activation="tanh", alpha=1.0, random_state=0).fit(X, X[:, 0])
    display = draw(ConvergenceDisplay.from_estimator(model))
    assert len(display.lines_[0].get_xdata()) == model.n_iter_ + 1


def test_bad_arguments_of_convergence(binary, diabetes, runs):
    newton = runs["newton"]
    show = ConvergenceDisplay.from_estimator
    with pytest.raises(ValueError, match=r"x must be one of \('iteration', 'passes', 'seconds'\), got 'epoch'"):
        show(newton, x="epoch")
    with pytest.raises(ValueError, match="y must be one of .*, got 'loss'"):
        show(newton, y="loss")
    with pytest.raises(TypeError, match="estimators must be of sk_hessian, got LinearRegression"):
        show(TheirLinearRegression().fit(*diabetes))
    with pytest.raises(ValueError, match="this LogisticRegression is not fitted: call fit first"):
        show([newton, LogisticRegression()])
    with pytest.raises(ValueError, match="estimators is empty"):
        show([])
    with pytest.raises(ValueError, match="labels must be 1 different names"):
        show(newton, labels=["a", "b"])
    with pytest.raises(ValueError, match="labels must be 2 different names"):
        show([newton, newton], labels=["a", "a"])
    with pytest.raises(ValueError, match="the keys of the dict are the labels"):
        show({"a": newton}, labels=["b"])
    with pytest.raises(ValueError, match="these estimators minimise different objectives"):
        show([newton, Ridge().fit(*diabetes)])
    with pytest.raises(ValueError, match="must have the same labels"):
        ConvergenceDisplay({"a": newton.history_}, {})


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
    with pytest.raises(ValueError, match="most must be an integer of at least 1, got 0"):
        CoefficientDisplay(table).plot(most=0)
    with pytest.raises(ValueError, match="outputs needs features"):
        CoefficientDisplay(table, outputs=["a", "b"])
    with pytest.raises(ValueError, match="level"):
        CoefficientDisplay.from_estimator(linear, *diabetes, level=2)


# -- influence --------------------------------------------------------------------------------------------------------


def test_bubbles_are_the_influence(diabetes, linear):
    display = draw(InfluenceDisplay.from_estimator(linear, *diabetes, name="diabetes"))
    rows = influence(linear, *diabetes)
    np.testing.assert_allclose(display.points_.get_offsets(), np.column_stack([rows.leverage, rows.residual]))
    areas, cook = display.points_.get_sizes(), rows.cooks_distance
    large = areas > 4.01
    np.testing.assert_allclose(areas[large] / areas.max(), cook[large] / cook.max())
    assert (areas >= 4).all()
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
    assert max(_overlap(box, np.delete(boxes, i, axis=0)) for i, box in enumerate(boxes)) == 0
    frame = display.ax_.get_window_extent().extents
    assert (boxes[:, :2] >= frame[:2]).all()
    assert (boxes[:, 2:] <= frame[2:]).all()


def test_overlap_is_the_common_area():
    boxes = _boxes(np.array([[0.0, 0.0], [2.0, 0.0], [9.0, 9.0]]), np.array([1.0, 1.0]))
    np.testing.assert_array_equal(boxes[1], [1, -1, 3, 1])
    assert _overlap(np.array([0.0, 0.0, 2.0, 3.0]), boxes) == 2.0


def test_rows_are_called_by_their_index(flowers, softmax):
    X, y = flowers
    named = X.set_axis([f"flower {i}" for i in range(150)])
    display = draw(InfluenceDisplay.from_estimator(softmax, named, y, n_labels=1))
    largest = np.argmax(influence(softmax, X, y).cooks_distance)
    assert display.text_[0].get_text() == f"flower {largest}"
    display = InfluenceDisplay.from_estimator(softmax, X, y, labels=[f"{i}!" for i in range(150)], n_labels=1)
    assert display.text_[0].get_text() == f"{largest}!"
    assert InfluenceDisplay.from_estimator(softmax, X, y, n_labels=0).text_ == []


def test_a_row_that_alone_determines_a_parameter_is_left_out(rng):
    X = np.column_stack([rng.normal(size=30), np.arange(30) == 7])
    y = rng.normal(size=30)
    display = draw(InfluenceDisplay.from_estimator(LinearRegression().fit(X, y), X, y))
    assert np.flatnonzero(~np.isfinite(display.points_.get_offsets().filled(np.nan)[:, 1])).tolist() == [7]
    assert display.ax_.get_xlabel() == "leverage (1 rows without a residual are not drawn)"
    assert "7" not in [text.get_text() for text in display.text_]


def test_bad_arguments_of_influence(diabetes, linear):
    with pytest.raises(ValueError, match="labels must be one for each of 442 rows, got 2"):
        InfluenceDisplay.from_estimator(linear, *diabetes, labels=["a", "b"])
    with pytest.raises(ValueError, match="curvature must be"):
        InfluenceDisplay.from_estimator(linear, *diabetes, curvature="none")
