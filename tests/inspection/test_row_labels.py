"""Rows are called by the index of a data frame, as its columns are by their names; else by their positions."""

from contextlib import nullcontext
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sk_hessian.inspection import InfluenceDisplay, influence, leave_one_out, leave_one_out_path
from sk_hessian.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.neural_network import MLPRegressor
from tests.estimators import assert_refused

plt.switch_backend("agg")

#: position of a row that is far from the others, and that no model fits
FAR = 17
N = 40

INDICES = {
    "gaps": pd.Index(np.r_[np.arange(0, 60, 3), np.arange(61, 121, 3)]),
    "strings": pd.Index([f"patient {i:03}" for i in range(N)], name="patient"),
    "dates": pd.date_range("2020-01-01", periods=N, freq="D"),
    "levels": pd.MultiIndex.from_product([["a", "b"], range(N // 2)], names=["group", "visit"]),
    "duplicates": pd.Index(np.repeat(np.arange(N // 2), 2)),
    "backwards": pd.RangeIndex(N, 0, -1),
}

#: what the far row is called in a printed table
CALLED = ["51", "patient 017", "2020-01-18 00:00:00", "a, 17", "8 (position 17)", "23"]
CALLED = dict(zip(INDICES, CALLED, strict=True))

MODELS = {
    "LinearRegression": LinearRegression(),
    "Ridge": Ridge(alpha=0.1),
    "LogisticRegression": LogisticRegression(),
    "PoissonRegressor": PoissonRegressor(alpha=0.1),
    "MLPRegressor": MLPRegressor(hidden_layer_sizes=(2,), activation="tanh", alpha=1.0, random_state=0),
}


def arrays(name, rng):
    X = rng.normal(size=(N, 3))
    eta = X @ [1.0, -0.5, 0.0]
    X[FAR] = [2.5, 2.5, 2.5]
    if name == "LogisticRegression":
        y = (eta + rng.logistic(size=N) > 0).astype(int)
        y[FAR] = 0
        return X, y
    if name == "PoissonRegressor":
        y = rng.poisson(np.exp(0.3 * eta))
        y[FAR] = 30
        return X, y
    return X, eta + 0.3 * rng.normal(size=N) - 8.0 * (np.arange(N) == FAR)


@pytest.fixture(scope="module", params=MODELS)
def fits(request):
    rng = np.random.default_rng(4)
    X, y = arrays(request.param, rng)
    return MODELS[request.param].fit(pd.DataFrame(X, columns=list("abc")), y), X, y


@pytest.mark.parametrize(
    ("name", "where"), [("gaps", "X"), ("gaps", "y"), ("gaps", "both"), ("duplicates", "X"), ("levels", "y")]
)
def test_rows_have_the_labels_of_the_frame(name, where, fits):
    model, X, y = fits
    index = INDICES[name]
    frame = pd.DataFrame(X, index=index if where != "y" else None, columns=list("abc"))
    data = frame if where != "y" else X
    target = y if where == "X" else pd.Series(y, index=index)
    with pytest.warns(UserWarning, match="valid feature names") if where == "y" else nullcontext():
        rows = influence(model, data, target)
    assert np.argmax(rows.cooks_distance) == FAR
    assert rows.most_influential()[0] == index[FAR]
    assert str(rows).splitlines()[1].strip().startswith(f"{CALLED[name]}  ")
    table = rows.to_frame()
    pd.testing.assert_index_equal(table.index, index)
    np.testing.assert_array_equal(table["leverage"], rows.leverage)
    assert table["cooks_distance"].iloc[FAR] == rows.cooks_distance.max()


@pytest.mark.parametrize("name", INDICES)
def test_the_table_and_the_display_call_rows_alike(name, rng):
    X, y = arrays("LinearRegression", rng)
    X = pd.DataFrame(X, index=INDICES[name], columns=list("abc"))
    rows = influence(LinearRegression().fit(X, y), X, y)
    assert str(rows).splitlines()[1].strip().startswith(f"{CALLED[name]}  ")
    display = InfluenceDisplay(rows).plot(n_labels=1)
    assert display.text_[0].get_text() == CALLED[name]
    plt.close("all")


@pytest.mark.parametrize("name", ["gaps", "duplicates", "levels", "dates"])
def test_a_label_finds_the_row_in_the_frame(name, fits):
    model, X, y = fits
    frame = pd.DataFrame(X, index=INDICES[name], columns=list("abc"))
    found = frame.loc[influence(model, frame, y).most_influential(1)]
    assert (found.to_numpy() == X[FAR]).all(axis=1).any()
    assert len(found) == (2 if name == "duplicates" else 1)


def test_the_gaps_that_dropna_leaves(rng):
    """The far row is the tenth of those that are left, and the thirteenth of those that were there."""
    X = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"])
    y = X["a"] + 0.1 * rng.normal(size=30)
    X.loc[[2, 5, 8], "b"] = np.nan
    X.loc[12], y.loc[12] = [4.0, 4.0], -9.0
    X = X.dropna()
    y = y.loc[X.index]
    model = LinearRegression().fit(X, y)
    rows = influence(model, X, y)
    assert rows.most_influential()[0] == 12
    assert rows.to_frame()["cooks_distance"].idxmax() == 12
    assert str(rows).splitlines()[1].split()[0] == "12"
    assert leave_one_out(model, X, y).to_frame().loc[12, "prediction"] > 0
    display = InfluenceDisplay.from_estimator(model, X, y, n_labels=1)
    assert display.text_[0].get_text() == "12"
    plt.close("all")


class Unindexed:
    """A table with names of columns and without an index, such as those of polars."""

    def __init__(self, values):
        self.values, self.columns, self.shape = values, list("abc"), values.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)

    def __len__(self):
        return len(self.values)


@pytest.mark.parametrize("wrap", [np.asarray, np.ndarray.tolist, Unindexed], ids=["array", "list", "no index"])
def test_without_an_index_rows_are_called_by_their_positions(wrap, rng):
    X, y = arrays("Ridge", rng)
    model = Ridge(alpha=0.1).fit(X, y)
    rows = influence(model, wrap(X), y.tolist())
    assert rows.most_influential()[0] == FAR
    np.testing.assert_array_equal(rows.labels, np.arange(N))
    pd.testing.assert_index_equal(rows.to_frame().index, pd.RangeIndex(N))
    assert str(rows).splitlines()[1].startswith("17  ")
    pd.testing.assert_index_equal(leave_one_out(model, wrap(X), y).to_frame().index, pd.RangeIndex(N))


@pytest.mark.parametrize("name", ["gaps", "levels"])
def test_rows_of_weight_zero_keep_their_labels(name, fits):
    model, X, y = fits
    index, weight = INDICES[name], np.ones(N)
    weight[[0, 3, 20]] = 0
    frame = pd.DataFrame(X, index=index, columns=list("abc"))
    again = clone(model).fit(frame, y, sample_weight=weight)
    rows = influence(again, frame, y, sample_weight=weight)
    assert rows.most_influential()[0] == index[FAR]
    pd.testing.assert_index_equal(rows.to_frame().index, index)
    assert (rows.cooks_distance[[0, 3, 20]] == 0).all()
    out = leave_one_out(again, frame, y, sample_weight=weight)
    pd.testing.assert_index_equal(out.to_frame().index, index)


def test_leave_one_out_as_a_frame(fits):
    model, X, y = fits
    frame = pd.DataFrame(X, index=INDICES["strings"], columns=list("abc"))
    rows = leave_one_out(model, frame, y)
    table = rows.to_frame()
    pd.testing.assert_index_equal(table.index, INDICES["strings"])
    np.testing.assert_array_equal(table.iloc[:, :-1].to_numpy().reshape(rows.predictions.shape), rows.predictions)
    np.testing.assert_array_equal(table["refitted"], rows.refitted)


@pytest.mark.parametrize("call", ["leave_one_out", "leave_one_out_path"])
@pytest.mark.parametrize(
    ("name", "called"), [("strings", "patient 040"), ("duplicates", r"20 \(position 40\)"), (None, "40")]
)
@pytest.mark.parametrize("n_empty", [0, 2])
def test_a_message_names_the_row_by_its_label(call, name, called, n_empty, rng):
    """Without the row the classes are separated; rows of weight zero before it do not change what it is called."""
    X = np.append(rng.normal(size=20) - 5, rng.normal(size=20) + 5)[:, None]
    y = (X[:, 0] > 0).astype(int)
    X, y = np.append(X, [[300.0]], axis=0), np.append(y, 0)
    indices = {"strings": [f"patient {i:03}" for i in range(41)], "duplicates": [*np.arange(40) // 2, 20]}
    indices["duplicates"][39] = 20
    weight = np.ones(41)
    weight[:n_empty] = 0
    frame = X if name is None else pd.DataFrame(X, index=indices[name], columns=["x"])
    model = LogisticRegression(C=np.inf, tol=1e-6).fit(frame, y, sample_weight=weight)
    function = leave_one_out if call == "leave_one_out" else partial(leave_one_out_path, alphas=[np.inf])
    assert_refused(f"row {called} cannot be left out", function, model, frame, y, sample_weight=weight)


@pytest.mark.parametrize("labels", [pd.Series(list("pqr") * 10, index=np.arange(30) * 7), list("pqr") * 10])
def test_labels_of_the_users_choice(labels, rng):
    X = rng.normal(size=(30, 2))
    y = X[:, 0] + rng.normal(size=30)
    display = InfluenceDisplay(influence(LinearRegression().fit(X, y), X, y), labels=labels).plot(n_labels=3)
    positions = np.argsort(-display.influence.cooks_distance, kind="stable")[:3]
    assert [text.get_text() for text in display.text_] == [list(labels)[i] for i in positions]
    plt.close("all")
