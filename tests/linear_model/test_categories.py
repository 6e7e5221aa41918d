"""Columns of categories in a frame: the fit by codes is the fit of their columns of zeros and ones."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sk_hessian import inspection
from sk_hessian.categories import Categories
from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.objectives import Blocks
from sk_hessian.objectives.rows.codes import CodedBlock
from sk_hessian.penalties import Differences
from tests.estimators import ESTIMATORS, SECOND_ORDER, UNPENALISED, distance, prediction
from tests.estimators import target as target_of

N = 600


def table(n=N, seed=0):
    """A frame of numbers and of categories of unequal sizes, one of them of numbers and with a category not used."""
    rng = np.random.default_rng(seed)
    days = pd.Categorical(rng.choice([5, 1, 3], n), categories=[5, 3, 1, 7])
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, n),
            "site": pd.Categorical(rng.choice(list("abcd"), n, p=[0.5, 0.3, 0.15, 0.05])),
            "income": rng.normal(size=n).round(2),
            "day": days,
        }
    )


def one_hot(X, drop=None):
    """The same as columns: numbers first, then the levels in order."""
    levels = {"site": [*"abcd"], "day": [5, 3, 1]}
    columns = [X[["age", "income"]].to_numpy()]
    for name, values in levels.items():
        columns += [(X[name] == value).to_numpy(float)[:, None] for value in values[drop is not None :]]
    return np.hstack(columns)


def target(name, X, seed=1):
    return target_of(name, one_hot(X)[:, [3, 6]], np.random.default_rng(seed))


def same(model, expected, X, columns, tolerance=1e-8):
    """The same coefficients, predictions and verdict."""
    assert model.convergence_.status == expected.convergence_.status
    assert distance(model.coef_, expected.coef_) < tolerance
    assert distance(prediction(model, X), prediction(expected, columns)) < tolerance


@pytest.mark.parametrize("solver", SECOND_ORDER)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_codes_fit_as_columns_do(name, solver):
    """With a penalty all levels have a coefficient."""
    X = table()
    y, columns = target(name, X), sp.csr_array(one_hot(X))
    model = ESTIMATORS[name].set_params(solver=solver)
    drop = None
    if name == "LinearRegression":
        drop, columns = "first", sp.csr_array(one_hot(X, "first"))
    expected = ESTIMATORS[name].set_params(solver=solver).fit(columns, y)
    model.fit(X, y)
    same(model, expected, X, columns)
    assert np.array_equal(model.n_iter_, expected.n_iter_)
    assert (drop is None) == ("site[a]" in model.coef_names_)
    assert model.n_features_in_ == 4
    assert model.feature_names_in_.tolist() == ["age", "site", "income", "day"]


@pytest.mark.parametrize("solver", SECOND_ORDER)
@pytest.mark.parametrize("name", UNPENALISED)
def test_without_a_penalty_the_first_level_is_the_reference(name, solver):
    X = table()
    y, columns = target(name, X), sp.csr_array(one_hot(X, "first"))
    model = UNPENALISED[name].set_params(solver=solver).fit(X, y)
    same(model, UNPENALISED[name].set_params(solver=solver).fit(columns, y), X, columns, 1e-7)
    assert model.coef_names_.tolist() == [
        "age", "income", "site[b]", "site[c]", "site[d]", "day[3]", "day[1]"
    ]  # fmt: skip
    assert not model.convergence_.flat_directions


# -- what a column may be -----------------------------------------------------------------------------------------


def test_columns_are_found_by_type_mask_position_or_name():
    X = table()
    y = target("Ridge", X)
    expected = Ridge().fit(X, y)
    by_name = X.assign(site=X["site"].astype(str), day=X["day"].astype(int))
    for chosen in (["site", "day"], [1, 3], np.array([False, True, False, True])):
        model = Ridge(categorical_features=chosen).fit(by_name, y)
        # levels that have no order of their type are sorted
        assert model.encoding_.categories["day"].tolist() == [1, 3, 5]
        np.testing.assert_allclose(model.predict(by_name), expected.predict(X), rtol=1e-12)
        np.testing.assert_allclose(model.predict(X), expected.predict(X), rtol=1e-12)
    codes = np.column_stack([X["age"], X["site"].cat.codes])
    array = Ridge(categorical_features=[1]).fit(codes, y)
    assert array.coef_names_.tolist() == ["x0", "x1[0]", "x1[1]", "x1[2]", "x1[3]"]
    np.testing.assert_allclose(array.predict(codes), Ridge().fit(X[["age", "site"]], y).predict(X[["age", "site"]]))


def test_none_reads_categories_as_numbers_as_scikit_learn_does():
    X = table().drop(columns="site")
    y = target("Ridge", table())
    model = Ridge(categorical_features=None).fit(X, y)
    np.testing.assert_array_equal(model.coef_, Ridge().fit(X.astype({"day": float}), y).coef_)
    assert model.coef_names_.tolist() == ["age", "income", "day"]


def test_tables_without_categories_are_untouched():
    X = table()[["age", "income"]].assign(member=lambda X: X["age"] > 40)
    y = target("Ridge", table())
    model = Ridge().fit(X, y)
    assert not hasattr(model, "encoding_")
    assert model.coef_names_.tolist() == ["age", "income", "member"]
    array = Ridge().fit(X.to_numpy(dtype=float), y)
    np.testing.assert_array_equal(model.coef_, array.coef_)
    assert array.coef_names_.tolist() == ["x0", "x1", "x2"]


@pytest.mark.parametrize("how", ["sparse", "none"])
def test_numbers_may_be_sparse_or_none(how, rng):
    X = table()
    y, drop = target("LinearRegression", X), [] if how == "sparse" else ["age", "income"]
    if how == "sparse":
        X = X.assign(
            **{name: pd.arrays.SparseArray(X[name] * (rng.random(N) < 0.3), fill_value=0) for name in ("age", "income")}
        )
    columns = one_hot(X.assign(**{name: X[name].to_numpy() for name in ("age", "income")}), "first")
    columns = columns[:, 2:] if drop else columns
    model = LinearRegression().fit(X.drop(columns=drop), y)
    same(model, LinearRegression().fit(columns, y), X.drop(columns=drop), columns)


def test_float32_is_kept():
    X = table().astype({"age": np.float32, "income": np.float32})
    model = Ridge().fit(X, target("Ridge", X))
    assert model.coef_.dtype == model.predict(X).dtype == np.float32


# -- references, unknown levels, missing values -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["site[a]", "site[b]", "site[c]", "site[d]"]),
        ({"drop": "first"}, ["site[b]", "site[c]", "site[d]"]),
        ({"drop": {"site": "c"}}, ["site[a]", "site[b]", "site[d]"]),
    ],
)
def test_the_reference_can_be_given(options, names):
    X = table()[["site"]]
    model = Ridge(categorical_features=Categories(**options)).fit(X, target("Ridge", table()))
    assert model.coef_names_.tolist() == names


def test_the_reference_changes_no_prediction_without_a_penalty():
    X = table()
    y = target("PoissonRegressor", X)
    first, other = (
        PoissonRegressor(alpha=0, tol=1e-9, categorical_features=Categories(drop={"site": level})).fit(X, y)
        for level in ("a", "c")
    )
    np.testing.assert_allclose(first.predict(X), other.predict(X), rtol=1e-7)
    effects = dict(zip(other.coef_names_, other.coef_, strict=True))
    assert effects["site[b]"] - effects["site[a]"] == pytest.approx(first.coef_[2], rel=1e-6)


def test_without_an_intercept_the_first_column_keeps_its_levels():
    X = table()
    model = LinearRegression(fit_intercept=False).fit(X, target("LinearRegression", X))
    assert model.coef_names_.tolist()[2:] == ["site[a]", "site[b]", "site[c]", "site[d]", "day[3]", "day[1]"]
    assert model.rank_ == len(model.coef_)
    with_one = LinearRegression().fit(X, target("LinearRegression", X))
    np.testing.assert_allclose(model.predict(X), with_one.predict(X), rtol=1e-9)


def test_columns_without_a_penalty_have_a_reference_and_patterns_name_levels():
    X = table()
    y = target("Ridge", X)
    model = Ridge(penalty_weights={"site": 0, "day": 3}).fit(X, y)
    assert model.coef_names_.tolist()[2:] == ["site[b]", "site[c]", "site[d]", "day[5]", "day[3]", "day[1]"]
    assert model._column_weights().values.tolist() == [1, 1, 0, 0, 0, 3, 3, 3]
    other = Ridge(penalty_weights={"site[b]": 2, "day[*": 3}).fit(X, y)
    assert other._column_weights().values.tolist() == [1, 1, 1, 2, 1, 1, 3, 3, 3]


@pytest.mark.parametrize("drop", ["auto", "first"])
def test_an_unknown_level_is_an_error_or_adds_nothing(drop):
    X = table()
    y, new = target("Ridge", X), X.assign(site=["e", *X["site"][1:]])
    with pytest.raises(ValueError, match=r"column 'site' has levels that the fit has not seen: 'e', in 1 rows"):
        Ridge().fit(X, y).predict(new)
    model = Ridge(categorical_features=Categories(drop=drop, handle_unknown="ignore")).fit(X, y)
    found, known = model.predict(new), model.predict(X)
    np.testing.assert_array_equal(found[1:], known[1:])
    own = dict(zip(model.coef_names_, model.coef_, strict=True)).get(f"site[{X['site'][0]}]", 0.0)
    assert found[0] == pytest.approx(known[0] - own)


def test_missing_values_are_refused_or_a_level():
    X = table()
    X.loc[:9, "site"] = None
    y = target("Ridge", X)
    with pytest.raises(ValueError, match="column 'site' has 10 missing values: drop or fill these rows"):
        Ridge().fit(X, y)
    model = Ridge(categorical_features=Categories(missing="level")).fit(X, y)
    filled = X.assign(site=X["site"].cat.add_categories("missing").fillna("missing"))
    expected = Ridge().fit(filled, y)
    assert model.coef_names_.tolist() == expected.coef_names_.tolist()
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
    np.testing.assert_allclose(model.predict(X), expected.predict(filled), rtol=1e-9)


# -- interactions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
def test_interactions_are_products_of_columns(alpha):
    X = table()
    y = target("PoissonRegressor", X)
    options = Categories(interactions=[("site", "day"), ("age", "site")])
    model = PoissonRegressor(alpha=alpha, categorical_features=options).fit(X, y)
    drop = None if alpha else "first"
    columns = one_hot(X, drop)
    sites, days = np.split(columns[:, 2:], [4 if alpha else 3], axis=1)
    pairs = (sites[:, :, None] * days[:, None, :]).reshape(N, -1)
    columns = sp.csr_array(np.hstack([columns, pairs, sites * X[["age"]].to_numpy()]))
    same(model, PoissonRegressor(alpha=alpha).fit(columns, y), X, columns, 1e-7)
    names = model.coef_names_.tolist()
    assert "site[d]:day[1]" in names
    assert names[-1] == "site[d]:age"


def test_a_pair_that_the_fit_has_not_seen_is_unknown():
    X = table()
    X = X[(X["site"] != "c") | (X["day"] != 3)]
    y = target("PoissonRegressor", table())[X.index]
    new = X.iloc[:1].assign(site="c", day=3)
    options = Categories(interactions=[("site", "day")])
    model = PoissonRegressor(categorical_features=options).fit(X, y)
    assert "site[c]:day[3]" not in model.coef_names_
    with pytest.raises(ValueError, match="no row with site=c and day=3"):
        model.predict(new)
    model.set_params(categorical_features__handle_unknown="ignore").fit(X, y)
    effects = dict(zip(model.coef_names_, model.coef_, strict=True))
    raw = effects["age"] * new["age"] + effects["income"] * new["income"] + effects["site[c]"] + effects["day[3]"]
    np.testing.assert_allclose(model.predict(new), np.exp(raw + model.intercept_))


# -- parts, streams, pipelines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LinearRegression", "softmax", "PoissonRegressor"])
def test_blocks_are_fitted_as_all_rows(name):
    X = table()
    y = target(name, X)
    blocks = Blocks([(X[:250], y[:250]), (X[250:], y[250:])])
    model, whole = ESTIMATORS[name].fit(blocks), ESTIMATORS[name].fit(X, y)
    assert model.coef_names_.tolist() == whole.coef_names_.tolist()
    same(model, whole, X, X, 1e-6)
    assert model.score(blocks) == pytest.approx(whole.score(X, y))


def test_a_block_with_other_levels_is_named():
    X = table()
    y, other = target("Ridge", X), X[250:].assign(site=X["site"][250:].cat.add_categories("z"))
    with pytest.raises(ValueError, match=r"blocks 0 and 1 do not have the same levels of 'site'.* z"):
        Ridge().fit(Blocks([(X[:250], y[:250]), (other, y[250:])]))
    levels = Categories(["site", "day"], levels={"site": [*"abcd"], "day": [5, 3, 1]})
    text = X.astype({"site": str})
    blocks = Blocks([(text[:250], y[:250]), (text[250:], y[250:])])
    np.testing.assert_allclose(Ridge(categorical_features=levels).fit(blocks).coef_, Ridge().fit(X, y).coef_, rtol=1e-9)
    with pytest.raises(ValueError, match=r"block 1: .*levels of 'site' lack 'd'"):
        Ridge(categorical_features=levels.set_params(levels={"site": [*"abc"]})).fit(
            Blocks([(text[text["site"] != "d"][:200], y[:200]), (text[250:], y[250:])])
        )


def test_a_dask_frame_is_fitted_and_predicted():
    dask = pytest.importorskip("dask")
    import dask.dataframe as dd

    X = table()
    y = target("PoissonRegressor", X)
    frame = dd.from_pandas(X.assign(y=y), npartitions=3)
    with dask.config.set(scheduler="sync"):
        model = PoissonRegressor(alpha=0).fit(frame[list(X)], frame["y"])
        found = model.predict(frame[list(X)]).compute()
    np.testing.assert_allclose(found, PoissonRegressor(alpha=0).fit(X, y).predict(X), rtol=1e-7)


def test_a_stream_knows_the_levels_of_the_type_or_those_given():
    X = table().sort_values("site", kind="stable")
    y = target("PoissonRegressor", X)
    whole = PoissonRegressor(alpha=1e-3).fit(X, y)
    options = Categories(levels={"day": [5, 3, 1]})
    model = PoissonRegressor(alpha=1e-3, categorical_features=options)
    for start in range(0, N, 200):
        part = slice(start, start + 200)
        model.partial_fit(X[part], y[part])
    assert model.coef_names_.tolist() == whole.coef_names_.tolist()
    assert distance(model.coef_, whole.coef_) < 2e-2
    with pytest.raises(ValueError, match="levels that the fit has not seen: 'z'"):
        model.partial_fit(X[:5].assign(site="z"), y[:5])
    assert model.fitted_memory()[1].parameter_names()[2] == "site[a]"


def test_pickles_grids_and_pipelines():
    X = table()
    y = target("LogisticRegression", X)
    scale = make_column_transformer((StandardScaler(), ["age", "income"]), remainder="passthrough")
    scale.set_output(transform="pandas").set_params(verbose_feature_names_out=False)
    search = GridSearchCV(
        make_pipeline(scale, LogisticRegression(categorical_features=Categories())),
        {"logisticregression__C": [0.1, 1], "logisticregression__categorical_features__drop": ["auto", "first"]},
        cv=3,
    ).fit(X, y)
    best = search.best_estimator_[-1]
    assert best.coef_names_.tolist()[:3] == ["age", "income", best.coef_names_[2]]
    assert best.coef_.shape == (1, len(best.coef_names_))
    again = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(again.predict_proba(X), search.predict_proba(X))


def test_it_is_the_pipeline_with_an_encoder():
    X = table()
    y = target("PoissonRegressor", X)
    encode = make_column_transformer(
        ("passthrough", ["age", "income"]), (OneHotEncoder(categories=[[*"abcd"], [1, 3, 5]]), ["site", "day"])
    )
    pipeline = make_pipeline(encode, PoissonRegressor(alpha=1e-3)).fit(X, y)
    X["day"] = X["day"].cat.reorder_categories([1, 3, 5, 7])
    model = PoissonRegressor(alpha=1e-3).fit(X, y)
    np.testing.assert_allclose(model.coef_, pipeline[-1].coef_, rtol=1e-8)
    np.testing.assert_allclose(model.score(X, y), pipeline.score(X, y), rtol=1e-9)


@pytest.mark.parametrize("kind", ["Categorical", "Enum"])
def test_a_frame_of_polars_is_fitted_and_predicted(kind):
    pl = pytest.importorskip("polars")
    X = table()
    y = target("PoissonRegressor", X)
    dtype = pl.Categorical if kind == "Categorical" else pl.Enum([*"abcd"])
    columns = {name: X[name].to_list() for name in X}
    frame = pl.DataFrame(columns).with_columns(pl.col("site").cast(dtype))
    options = Categories(["site", "day"], levels={"day": [5, 3, 1]})
    model, expected = PoissonRegressor(categorical_features=options).fit(frame, y), PoissonRegressor().fit(X, y)
    assert model.coef_names_.tolist() == expected.coef_names_.tolist()
    np.testing.assert_allclose(model.predict(frame), expected.predict(X), rtol=1e-9)
    with pytest.raises(ValueError, match=r"cast\(pl.Categorical\)"):
        PoissonRegressor().fit(pl.DataFrame(columns), y)


def test_it_is_glum_on_its_native_categories():
    glum = pytest.importorskip("glum")
    X = table(3000)
    y = target("PoissonRegressor", X)
    X["day"] = X["day"].cat.remove_unused_categories()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = glum.GeneralizedLinearRegressor(family="poisson", alpha=1e-3, gradient_tol=1e-12).fit(X, y)
    model = PoissonRegressor(alpha=1e-3, tol=1e-8).fit(X, y)
    effects = dict(zip(other.feature_names_, other.coef_, strict=True))
    expected = [effects[name] for name in model.coef_names_]
    np.testing.assert_allclose(model.coef_, expected, atol=1e-6)


# -- sizes --------------------------------------------------------------------------------------------------------


def test_a_large_table_draws_rare_levels_and_has_no_array_of_rows_times_levels(monkeypatch):
    """A level of two rows is among the sampled ones; the fit allocates a small share of rows times levels."""
    rng, n, sizes = np.random.default_rng(0), 60_000, (200, 300)
    codes = [rng.integers(1, size, size=n) for size in sizes]
    codes[0][[7, 40_000]] = 0
    a, b = (pd.Categorical.from_codes(code, range(size)) for code, size in zip(codes, sizes, strict=True))
    X = pd.DataFrame({"a": a, "b": b})
    y = rng.poisson(np.exp(0.2 * rng.normal(size=200)[codes[0]])).astype(float)
    monkeypatch.setattr(CodedBlock, "dense", None)
    tracemalloc.start()
    model = PoissonRegressor(alpha=1e-5).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert model.convergence_.status == "optimal"
    assert peak < 0.15 * 8 * n * sum(sizes)
    # no row has the first level of the second
    places = np.stack([codes[0], sizes[0] + codes[1] - 1], axis=1).ravel()
    columns = sp.csr_array((np.ones(2 * n), places, np.arange(0, 2 * n + 1, 2)), shape=(n, sum(sizes) - 1))
    expected = PoissonRegressor(alpha=1e-5).fit(columns, y)
    assert model.convergence_.passes == pytest.approx(expected.convergence_.passes, rel=1e-3)
    assert distance(model.predict(X), expected.predict(columns)) < 1e-6


def test_a_hundred_thousand_levels(rng):
    n = 150_000
    X = pd.DataFrame({"id": pd.Categorical(rng.integers(100_000, size=n)), "x": rng.normal(size=n)})
    y = rng.normal(size=n) + X["x"]
    model = Ridge().fit(X, y)
    assert model.convergence_.status == "optimal"
    # each level's coefficient is the sum of its residuals over its rows and the penalty
    residual = y - model.intercept_ - model.coef_[0] * X["x"]
    groups = residual.groupby(X["id"], observed=True)
    np.testing.assert_allclose(model.coef_[1:], groups.sum() / (groups.count() + 1), atol=1e-3)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_one_level_and_a_level_of_one_row(alpha):
    X = table()
    y = target("LinearRegression", X)
    single = X.assign(site=pd.Categorical(["a"] * N), day=pd.Categorical(["first", *["x"] * (N - 1)]))
    model = Ridge(alpha=alpha, tol=1e-10).fit(single, y)
    assert model.convergence_.status == "optimal"
    assert not model.convergence_.flat_directions
    assert ("site[a]" in model.coef_names_) == bool(alpha)
    if not alpha:
        # the first row has a parameter of its own
        assert model.predict(single)[0] == pytest.approx(y[0])
    else:
        assert model.coef_[2] == 0


def test_rows_of_weight_zero_teach_no_level():
    X = table()
    weight = np.where(X["site"] == "d", 0.0, 1.0)
    model = PoissonRegressor(alpha=0).fit(X, target("PoissonRegressor", X), sample_weight=weight)
    assert "site[d]" not in model.coef_names_
    with pytest.raises(ValueError, match="has not seen: 'd'"):
        model.predict(X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.assign(site=np.arange(N) * 1.0), "these are of type float, those of the fit str"),
        (lambda X: X.assign(age=pd.Categorical(["old"] * N)), "column 'age' is of numbers in the fit, and not here"),
        (lambda X: X.assign(age="old"), "column 'age' is of numbers in the fit, and not here"),
        (lambda X: X.drop(columns="site"), "feature names"),
        (lambda X: X.assign(site=None), "column 'site' has 600 missing values"),
        (lambda X: X.assign(age=np.nan), "NaN"),
    ],
)
def test_a_column_that_changes_is_named(change, message):
    X = table()
    model = PoissonRegressor(alpha=0).fit(X, target("PoissonRegressor", X))
    with pytest.raises(ValueError, match=message):
        model.predict(change(X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": "b"}, r"use drop=\{column: level\}"),
        ({"drop": {"site": "x"}}, "drop names the level 'x' of 'site'"),
        ({"drop": {"age": 1}}, "drop names the column 'age', which is no category"),
        ({"handle_unknown": "use"}, "handle_unknown must be 'error' or 'ignore', got 'use'"),
        ({"missing": "drop"}, "missing must be 'error' or 'level'"),
        ({"interactions": [("age", "income")]}, "are both numbers: add their product as a column"),
        ({"interactions": [("site", "site")]}, "must be different pairs"),
        ({"interactions": ["site"]}, "must be pairs of columns"),
        ({"levels": {"site": ["a"]}}, "levels of 'site' lack 'b', 'c', 'd', which rows have"),
        ({"features": ["sit"]}, "no column 'sit'. Did you mean 'site'?"),
        ({"features": [True]}, "a mask of 1 entries, but X has 4 columns"),
        ({"features": [9]}, "positions from 0 to 3"),
        ({"features": "all"}, 'must be "from_dtype", a mask'),
    ],
)
def test_bad_options_are_named(options, message):
    X = table()
    with pytest.raises(ValueError, match=message):
        Ridge(categorical_features=Categories(**options)).fit(X, target("Ridge", X))


def test_columns_of_one_name_are_named():
    X = table()
    X.columns = ["age", "site", "age", "day"]
    with pytest.raises(ValueError, match="several columns of the name 'age': rename them"):
        Ridge().fit(X, target("Ridge", table()))


def test_text_is_refused_with_the_line_that_converts_it():
    X = table().astype({"site": str})
    with pytest.raises(ValueError, match=r"X = X.astype\(\{'site': 'category'\}\)"):
        Ridge().fit(X, target("Ridge", table()))


# -- inspection ---------------------------------------------------------------------------------------------------


def test_tables_and_tests_know_columns_and_levels():
    X = table()
    y = target("PoissonRegressor", X)
    options = Categories(interactions=[("site", "day")])
    model = PoissonRegressor(alpha=0, categorical_features=options).fit(X, y)
    found = inspection.coef_table(model, X, y)
    assert found.names == [*model.coef_names_, "intercept"]
    assert found.wald("site").df == 3
    assert found.wald("site:day").df == 6
    assert found.wald("site").p_value == found.wald(["site[b]", "site[c]", "site[d]"]).p_value
    small = PoissonRegressor(alpha=0).fit(X, y)
    assert inspection.compare_models(small, model, X, y).df == 6
    columns = sp.csr_array(one_hot(X, "first"))
    expected = PoissonRegressor(alpha=0).fit(columns, y)
    for look in (inspection.influence, inspection.leave_one_out):
        ours, theirs = look(small, X, y), look(expected, columns, y)
        name = "cooks_distance" if look is inspection.influence else "predictions"
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6)
    predicted = inspection.prediction_table(small, X[:5], X, y)
    np.testing.assert_allclose(
        predicted.std_error, inspection.prediction_table(expected, columns[:5], columns, y).std_error, rtol=1e-6
    )


def test_constraints_and_penalties_of_groups_know_levels():
    X = table()
    y = target("PoissonRegressor", X)
    for drop, alpha in (("auto", 0), ({"site": "c"}, 0), (None, 1e-3)):
        options = Categories(drop=drop)
        model = PoissonRegressor(
            alpha=alpha,
            tol=1e-8,
            monotone={"site": "decreasing"},
            bounds={"day": (-0.1, 0.1)},
            categorical_features=options,
        ).fit(X, y)
        effects = dict(zip(model.coef_names_, model.coef_, strict=True))
        # of any reference the levels are in order, its own coefficient is zero
        assert (np.diff([effects.get(f"site[{level}]", 0.0) for level in "abcd"]) <= 1e-12).all()
        assert max(abs(effects.get(f"day[{day}]", 0.0)) for day in (5, 3, 1)) <= 0.1
        assert model.active_constraints_
    # the levels together are the intercept
    weights = {"site": Differences(weight=1e4)}
    smooth = PoissonRegressor(alpha=1.0, fit_intercept=False, penalty_weights=weights).fit(X, y)
    sites = [i for i, name in enumerate(smooth.coef_names_) if name.startswith("site")]
    assert np.ptp(smooth.coef_[sites]) < 1e-3


def test_effects_of_levels_are_differences_to_the_reference():
    X = table()
    y = target("PoissonRegressor", X)
    model = PoissonRegressor(alpha=0).fit(X, y)
    found = inspection.marginal_effects(model, X, y, features=["age", "site"])
    assert found.names == ["age", "site[b]", "site[c]", "site[d]"]
    means = [model.predict(X.assign(site=level)).mean() for level in "abcd"]
    np.testing.assert_allclose(found.effect[1:], np.subtract(means[1:], means[0]), rtol=1e-9)
    assert inspection.marginal_effects(model, X, y).names == list(model.coef_names_)
    with pytest.raises(ValueError, match=r"These columns have none, because their levels have a penalty: site, day"):
        inspection.marginal_effects(PoissonRegressor().fit(X, y), X, y)
    crossed = Categories(interactions=[("site", "day")])
    with pytest.raises(ValueError, match="interactions move with the columns that they are of"):
        inspection.marginal_effects(PoissonRegressor(alpha=0, categorical_features=crossed).fit(X, y), X, y)
