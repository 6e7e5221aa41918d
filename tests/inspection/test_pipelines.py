"""A pipeline whose last step is ours is taken apart; another estimator says what to use instead."""

import copy
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model
import sklearn.neural_network
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC

from sk_hessian import inspection, linear_model, neural_network
from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.neural_network import MLPRegressor
from tests.estimators import assert_refused
from tests.inspection.test_hard_input import FUNCTIONS, numbers

plt.switch_backend("agg")

NUMBER = r"(?<![\w.])[-+]?\d+\.?\d*(?:e[-+]?\d+)?"

FRAME_NAMES = ["age", "income", "size"]


def frame(n=40):
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.normal(size=(n, 3)) * [1.0, 30.0, 0.1] + [0, 200, 5], columns=FRAME_NAMES)
    return X, rng.poisson(np.exp(0.4 * (X["age"] + 1)))


def models(function):
    """A model that the function takes."""
    of_likelihood = ("profile_intervals", "compare_models", "score_test", "variance_inflation")
    return PoissonRegressor(alpha=0 if function in of_likelihood else 0.1)


def drawn(found):
    """What a display has drawn, or the numbers of another result."""
    if not hasattr(found, "ax_"):
        found = [values for field, values in numbers(found) if field != "labels"] or found
        return (
            found if isinstance(found, list) else [np.asarray(float(word)) for word in re.findall(NUMBER, str(found))]
        )
    axes = np.ravel(found.ax_)
    lines = [line.get_xydata() for ax in axes for line in ax.get_lines()]
    return [*lines, *(np.asarray(points.get_offsets()) for ax in axes for points in ax.collections)]


def assert_same(ours, apart):
    """Two lists of arrays that `drawn` gave are the same but for rounding."""
    assert len(ours) == len(apart)
    for a, b in zip(ours, apart, strict=True):
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    plt.close("all")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_takes_a_pipeline(function):
    """The same figures as for the last step and the transformed rows; the names are those of the frame."""
    X, y = frame()
    pipe = make_pipeline(StandardScaler(), models(function)).fit(X, y)
    assert_same(drawn(FUNCTIONS[function](pipe, X, y)), drawn(FUNCTIONS[function](pipe[-1], pipe[0].transform(X), y)))


def people():
    """Numbers and categories, and the steps that make columns of them."""
    X, y = frame(80)
    X = X.assign(city=np.resize(["Rome", "Oslo", "Bern"], 80), sex=np.resize(["f", "m"], 80)).drop(columns="size")
    encoded = OneHotEncoder(drop="first", sparse_output=False)
    return X, y, make_column_transformer((StandardScaler(), ["age", "income"]), (encoded, ["city", "sex"]))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_takes_numbers_and_categories(function):
    """Of a frame with text, which the steps encode: the same as of the last step and the array that it gets."""
    X, y, steps = people()
    pipe = make_pipeline(steps, models(function)).fit(X, y)
    assert_same(drawn(FUNCTIONS[function](pipe, X, y)), drawn(FUNCTIONS[function](pipe[-1], pipe[0].transform(X), y)))


def test_every_function_is_among_them():
    public = {name for name in inspection.__all__ if not isinstance(getattr(inspection, name), type)}
    displays = {name for name in inspection.__all__ if name.endswith("Display")}
    # a display of fits that have chosen their penalty, and a test of ordered classes, are tested with these
    elsewhere = {"curve_table", "parallel_slopes", "PenaltyPathDisplay"}
    assert {name.split("-")[0] for name in FUNCTIONS} >= (public | displays) - elsewhere


def test_categories_have_the_names_of_the_steps():
    X, y, steps = people()
    names = [f"standardscaler__{name}" for name in ("age", "income")]
    names += [f"onehotencoder__{name}" for name in ("city_Oslo", "city_Rome", "sex_m")]
    pipe = make_pipeline(steps, PoissonRegressor(alpha=0.1)).fit(X, y)
    assert inspection.coef_table(pipe, X, y).names == [*names, "intercept"]
    effects = inspection.marginal_effects(pipe, X, y, features=[names[0], tuple(names[2:4])])
    assert effects.names == [names[0], *names[2:4]]
    assert effects.is_discrete.tolist() == [False, True, True]
    assert inspection.laplace(pipe, X, y).parameter_names == [*names, "intercept"]
    unfitted = make_pipeline(steps, PoissonRegressor(alpha=0.1))
    tuned = inspection.tune_alpha(unfitted, X, y)
    apart = inspection.tune_alpha(PoissonRegressor(alpha=0.1), pipe[0].transform(X), y)
    assert tuned.value == pytest.approx(apart.value)
    np.testing.assert_allclose(tuned.estimator.predict(X), apart.estimator.predict(pipe[0].transform(X)), rtol=1e-9)


PIPELINES = {
    "scaled": (lambda: make_pipeline(StandardScaler(), Ridge()), FRAME_NAMES),
    "frames": (lambda: make_pipeline(StandardScaler().set_output(transform="pandas"), Ridge()), FRAME_NAMES),
    "one step": (lambda: make_pipeline(Ridge()), FRAME_NAMES),
    "passthrough": (lambda: Pipeline([("nothing", "passthrough"), ("ridge", Ridge())]), FRAME_NAMES),
    "squares": (
        lambda: make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), Ridge()),
        [*FRAME_NAMES, "age^2", "age income", "age size", "income^2", "income size", "size^2"],
    ),
    "nested": (lambda: make_pipeline(make_pipeline(StandardScaler()), Ridge()), FRAME_NAMES),
    "no names": (lambda: make_pipeline(FunctionTransformer(np.cbrt), StandardScaler(), Ridge()), ["x0", "x1", "x2"]),
    "columns": (
        lambda: make_pipeline(make_column_transformer((StandardScaler(), ["size", "age"])), Ridge()),
        ["standardscaler__size", "standardscaler__age"],
    ),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_columns_have_the_names_of_the_steps(name):
    make, names = PIPELINES[name]
    X, y = frame()
    pipe = make().fit(X if name != "no names" else X.to_numpy(), y)
    X = X if name != "no names" else X.to_numpy()
    assert list(inspection.coef_table(pipe, X, y).names) == [*names, "intercept"]
    assert inspection.hessian(pipe, X, y).parameter_names == [*names, "intercept"]
    assert inspection.influence(pipe, X, y).names == [*names, "intercept"]


def test_sparse_steps_and_the_labels_of_rows():
    X, y = frame()
    X = X.assign(city=np.resize(["Rome", "Oslo", "Bern"], len(X))).set_index(np.arange(len(X)) * 10 + 5)
    encode = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough", sparse_threshold=1.0)
    pipe = make_pipeline(encode, Ridge(1e-3)).fit(X, y)
    rows = inspection.influence(pipe, X, y)
    pd.testing.assert_index_equal(rows.to_frame().index, X.index)
    assert "onehotencoder__city_Rome" in rows.names
    assert inspection.laplace(pipe, X, y).parameter_names[0].startswith("onehotencoder__city_")


def test_weights_offsets_and_new_rows():
    X, y = frame()
    offset, weight = np.linspace(0, 1, len(X)), np.resize([0.0, 1, 2], len(X))
    pipe = make_pipeline(StandardScaler(), PoissonRegressor(alpha=0.1))
    pipe.fit(X, y, poissonregressor__offset=offset, poissonregressor__sample_weight=weight)
    Z, last = pipe[0].transform(X), pipe[-1]
    data = {"sample_weight": weight, "offset": offset}
    a, b = (inspection.leave_one_out(*rows, y, **data) for rows in ((pipe, X), (last, Z)))
    np.testing.assert_allclose(a.predictions, b.predictions, rtol=1e-12)
    new = X.iloc[:7] + 1.0
    a, b = inspection.laplace(pipe, X, y, **data), inspection.laplace(last, Z, y, **data)
    expected = b.predict(pipe[0].transform(new), offset=offset[:7])
    np.testing.assert_allclose(a.predict(new, offset=offset[:7]), expected, rtol=1e-12)
    # a posterior stays what it is when the pipeline is fitted to other rows
    pipe.fit(X + 100.0 * np.arange(3), y, poissonregressor__offset=offset)
    np.testing.assert_allclose(a.predict(new, offset=offset[:7]), expected, rtol=1e-12)
    pipe.fit(X, y, poissonregressor__offset=offset, poissonregressor__sample_weight=weight)
    test = {"X_test": new, "y_test": y[:7], "offset_test": offset[:7]}
    a = inspection.influence(pipe, X, y, **data, **test)
    b = inspection.influence(last, Z, y, **data, **(test | {"X_test": pipe[0].transform(new)}))
    np.testing.assert_allclose(a.test_loss_change, b.test_loss_change, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("is_fitted", [True, False])
def test_the_penalty_of_a_pipeline_is_tuned(is_fitted):
    X, y = frame()
    pipe = make_pipeline(StandardScaler(), Ridge(alpha=3.0))
    if is_fitted:
        pipe.fit(X, y)
    before = copy.deepcopy(vars(pipe[0]))
    tuned = inspection.tune_alpha(pipe, X, y)
    assert vars(pipe[0]).keys() == before.keys()
    assert pipe[-1].alpha == 3.0
    assert hasattr(pipe[-1], "coef_") == is_fitted
    apart = inspection.tune_alpha(Ridge(alpha=3.0), StandardScaler().fit_transform(X), y)
    assert tuned.value == pytest.approx(apart.value)
    assert isinstance(tuned.estimator, Pipeline)
    assert tuned.estimator[-1].alpha == tuned.value
    expected = apart.estimator.predict(StandardScaler().fit_transform(X))
    np.testing.assert_allclose(tuned.estimator.predict(X), expected, rtol=1e-9)
    np.testing.assert_allclose(tuned.posterior.predict(X)[0], expected, rtol=1e-9)


PATHS = {
    "Ridge": (Ridge(), [1e-3, 1.0, 10.0]),
    "several": (Ridge(), [1e-3, 1.0]),
    "Poisson": (PoissonRegressor(), [1e-3, 1.0]),
    "logistic": (LogisticRegression(), [0.1, 1.0]),
    "pipeline": (make_pipeline(StandardScaler(), LogisticRegression()), [0.1, 1.0]),
    "pipeline of Ridge": (make_pipeline(StandardScaler(), Ridge()), [0.1, 1.0]),
    "network": (
        MLPRegressor(hidden_layer_sizes=(2,), activation="tanh", solver="newton", tol=1e-6, random_state=0),
        [10.0, 3.0],
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_needs_no_fit(name):
    model, strengths = PATHS[name]
    model = copy.deepcopy(model)
    X, y = frame()
    y = (y > 1).astype(int) if "logistic" in name or name == "pipeline" else y
    y = np.column_stack([y, -2 * y + X["age"]]) if name == "several" else y
    parameters = repr(model)
    unfitted = inspection.leave_one_out_path(model, X, y, strengths)
    assert repr(model) == parameters
    last = model[-1] if isinstance(model, Pipeline) else model
    assert not [attribute for attribute in vars(last) if attribute.endswith("_")]
    if name == "network":
        last.set_params(alpha=strengths[0])
    fitted = inspection.leave_one_out_path(model.fit(X, y), X, y, strengths)
    np.testing.assert_allclose(unfitted.loss, fitted.loss, rtol=1e-5)
    np.testing.assert_allclose(unfitted.score, fitted.score, rtol=1e-4)


#: name of a class -> the package that it is imported from
MODELS = {name: package.__name__ for package in (linear_model, neural_network) for name in package.__all__}
SAME_NAME = [
    getattr(package, name)()
    for package in (sklearn.linear_model, sklearn.neural_network)
    for name in MODELS
    if hasattr(package, name)
]


@pytest.mark.parametrize("theirs", SAME_NAME, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("is_last", [False, True])
def test_the_class_of_the_same_name_is_imported_like_this(theirs, is_last):
    name = type(theirs).__name__
    X, y = frame()
    got = rf"{name} of sklearn\.(linear_model|neural_network)\. Use the class of the same name: "
    with pytest.raises(TypeError, match=rf"{got}from {MODELS[name]} import {name}$") as caught:
        inspection.coef_table(make_pipeline(StandardScaler(), theirs) if is_last else theirs, X, y)
    assert str(caught.value).startswith(
        f"the last step of a pipeline must be an estimator of sk_hessian, but {name.lower()!r} is {name}"
        if is_last
        else f"estimator must be one of sk_hessian, got {name} of"
    )
    assert f"from {MODELS[name]} import {name}" in str(caught.value)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_not_ours_is_told_apart(function):
    X, y = frame()
    for estimator, message in {
        make_pipeline(StandardScaler(), SVC()): r"'svc' is SVC of sklearn\.svm\. The estimators of sk_hessian are",
        make_pipeline(LinearRegression(), StandardScaler()): r"'standardscaler' is StandardScaler of sklearn",
        DummyRegressor(): rf"got DummyRegressor of sklearn\.dummy\. The .* are {', '.join(sorted(MODELS))}",
        Ridge: "got the class Ridge: make an estimator of it, and fit that",
    }.items():
        assert_refused(message, FUNCTIONS[function], estimator, X, y, error=TypeError)


def test_a_search_has_a_best_estimator():
    X, y = frame()
    search = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2).fit(X, y)
    assert_refused("Pass its best_estimator_, if that is one", inspection.coef_table, search, X, y, error=TypeError)
    assert inspection.coef_table(search.best_estimator_, X, y).names[0] == "age"


def test_a_pipeline_that_is_not_fitted_says_so():
    X, y = frame()
    assert_refused("not fitted", inspection.coef_table, make_pipeline(StandardScaler(), Ridge()), X, y)
