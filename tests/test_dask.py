"""Dask collections: the fit, the predictions and the scores of rows in memory, and nothing of their length here."""

import pickle
import subprocess
import sys
from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from sk_hessian import inspection
from sk_hessian.linear_model import (
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.objectives import Blocks
from tests.estimators import ESTIMATORS, assert_refused, convergence_warnings, distance, raw_table, target

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
cloudpickle = pytest.importorskip("cloudpickle")

from sk_hessian.objectives.rows.dask import Partitions  # noqa: E402

PREDICTIONS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


@pytest.fixture(autouse=True, params=["threads"])
def scheduler(request):
    with dask.config.set(scheduler=request.param, num_workers=2):
        yield request.param


@pytest.fixture
def computed(monkeypatch):
    """One entry for each graph that was computed so far."""
    graphs = []
    with dask.callbacks.Callback(start=graphs.append):
        yield graphs


@pytest.fixture
def traffic(monkeypatch):
    """Of each round, how many bytes its functions have, and its result."""
    seen, plain = [], Partitions.fold

    def fold(self, function, combine):
        result = plain(self, function, combine)
        seen.append((len(cloudpickle.dumps((function, combine))), len(cloudpickle.dumps(result))))
        return result

    monkeypatch.setattr(Partitions, "fold", fold)
    return seen


def table(name, rng, n=2000):
    X = raw_table(rng, n, 5)
    return X, target(name, X, rng), rng.uniform(0.5, 2, size=n)


def unknown(array):
    """The same with chunks of unknown sizes."""
    keep = da.ones(array.shape[0], dtype=bool, chunks=array.chunks[0])
    return array[keep]


def chunked(*arrays, size=270):
    return [da.from_array(a, chunks=(size, *a.shape[1:])) for a in arrays]


def frames(X, y, weight, npartitions=6):
    columns = [f"x{j}" for j in range(X.shape[1])]
    frame = dd.from_pandas(pd.DataFrame(X, columns=columns).assign(y=y, weight=weight), npartitions=npartitions)
    return frame[columns], frame["y"], frame["weight"]


def collections(kind, X, y, weight):
    if kind == "frame":
        return frames(X, y, weight)
    arrays = chunked(X, y, weight)
    return arrays if kind == "known" else [unknown(a) for a in arrays]


def memory_table(kind, X):
    return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])]) if kind == "frame" else X


# -- the same as in memory ---------------------------------------------------------------------------------------------


#: all estimators of arrays, and one of each kind of target of the other collections
KINDS = [(name, "known") for name in ESTIMATORS]
KINDS += product(("Ridge", "LogisticRegression", "softmax", "PoissonRegressor"), ("unknown", "frame"))


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_the_same_as_in_memory(name, kind, rng):
    X, y, weight = table(name, rng)
    model = ESTIMATORS[name].set_params(tol=1e-8)
    memory = pickle.loads(pickle.dumps(model.fit(memory_table(kind, X), y, weight)))
    dX, dy, dweight = collections(kind, X, y, weight)
    model.fit(dX, dy, dweight)
    assert distance(model.coef_, memory.coef_) <= 1e-8
    assert distance(model.intercept_, memory.intercept_) <= 1e-8
    assert model.convergence_.status == memory.convergence_.status
    # a second point along a step is half a pass where raw predictions are kept, which those of partitions are not
    assert model.n_iter_ == memory.n_iter_
    assert 0 <= model.convergence_.passes - memory.convergence_.passes <= 0.5 * np.max(model.n_iter_)
    assert model.score(dX, dy, dweight).shape == ()
    assert float(model.score(dX, dy, dweight)) == pytest.approx(
        model.score(memory_table(kind, X), y, weight), rel=0, abs=1e-12
    )
    for method in [m for m in PREDICTIONS if hasattr(model, m)]:
        expected, lazy = getattr(model, method)(memory_table(kind, X)), getattr(model, method)(dX)
        assert lazy.dtype == expected.dtype
        assert lazy.ndim == expected.ndim
        assert lazy.numblocks[0] == dX.npartitions
        assert lazy.shape[1:] == expected.shape[1:]
        found = lazy.compute()
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.shape, expected.shape)
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
        else:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["PoissonRegressor", "GammaRegressor", "LogisticRegression", "softmax"])
def test_d2_of_all_partitions(name, rng):
    X, y, weight = table(name, rng)
    weight[:400] = 0
    dX, dy, dweight = chunked(X, y, weight)
    model = ESTIMATORS[name].fit(X, y)
    assert float(model.d2_score(dX, dy, dweight)) == pytest.approx(model.d2_score(X, y, weight), rel=0, abs=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        NegativeBinomialRegressor(theta=2.0),
        NegativeBinomialRegressor(),
        PoissonRegressor(),
        TweedieRegressor(power=1.9),
        TweedieRegressor(link="log"),
    ],
    ids=repr,
)
def test_d2_of_more_counts_than_are_kept(model, rng):
    """More than a thousand different targets: a few that stand for them tell the null deviance all the same."""
    X = rng.normal(size=(6000, 2))
    y = 1000 * rng.poisson(np.exp(0.5 * X[:, 0] + 1)) + rng.integers(0, 1000, size=len(X))
    model.fit(X, y)
    assert len(np.unique(y)) > 3000
    assert float(model.score(*chunked(X, y, size=1000))) == pytest.approx(model.score(X, y), rel=0, abs=1e-11)
    parted = type(model)(**model.get_params()).set_params(tol=1e-8).fit(*chunked(X, y, size=1000))
    np.testing.assert_allclose(parted.coef_, model.set_params(tol=1e-8).fit(X, y).coef_, rtol=1e-7)


def test_scores_of_blocks_are_numbers(rng):
    X, y, weight = table("PoissonRegressor", rng)
    blocks = Blocks([(X[:500], y[:500], weight[:500]), (X[500:], y[500:], weight[500:])])
    for model, other in ((PoissonRegressor(), y), (Ridge(), y)):
        model.fit(blocks)
        assert model.score(blocks) == pytest.approx(model.score(X, other, weight), rel=0, abs=1e-12)
    labels = Blocks([(X[:500], y[:500] > 1), (X[500:], y[500:] > 1)])
    model = LogisticRegression().fit(labels)
    assert model.score(labels) == pytest.approx(model.score(X, y > 1), rel=0, abs=1e-12)
    assert model.d2_score(labels) == pytest.approx(model.d2_score(X, y > 1), rel=0, abs=1e-12)


def test_several_targets(rng):
    X = rng.normal(size=(600, 3))
    Y = X @ rng.normal(size=(3, 2)) + rng.normal(size=(600, 2)) * [1, 3]
    dX, dY = chunked(X, Y, size=100)
    model = LinearRegression().fit(dX, dY)
    assert distance(model.coef_, LinearRegression().fit(X, Y).coef_) <= 1e-8
    assert model.predict(dX).shape == (600, 2)
    assert float(model.score(dX, dY)) == pytest.approx(model.score(X, Y), rel=0, abs=1e-12)
    frame = dd.from_pandas(pd.DataFrame(Y, columns=["a", "b"]), npartitions=6)
    np.testing.assert_allclose(LinearRegression().fit(unknown(dX), frame).coef_, model.coef_, rtol=1e-10)


@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs", "momentum"])
def test_sparse_chunks(solver, rng):
    X = sp.csr_array(np.where(rng.uniform(size=(1500, 30)) < 0.1, rng.uniform(size=(1500, 30)), 0))
    y = rng.poisson(np.exp(X @ rng.normal(size=30)))
    parts = [dask.delayed(X[i : i + 500]) for i in range(0, 1500, 500)]
    dX = da.concatenate([da.from_delayed(part, (500, 30), dtype=float, meta=sp.csr_array((0, 0))) for part in parts])
    model = PoissonRegressor(alpha=1e-3, solver=solver, tol=1e-8)
    model.fit(dX, da.from_array(y, chunks=500))
    exact = PoissonRegressor(alpha=1e-3, tol=1e-8, solver="auto" if solver == "momentum" else solver).fit(X, y)
    assert distance(model.coef_, exact.coef_) <= (1e-8 if solver != "momentum" else 1e-5)
    np.testing.assert_allclose(model.predict(dX).compute(), model.predict(X), rtol=1e-13)
    assert float(model.score(dX, da.from_array(y, chunks=500))) == pytest.approx(model.score(X, y), rel=0, abs=1e-12)


@pytest.mark.parametrize("scheduler", ["sync"], indirect=True)
def test_the_synchronous_scheduler(scheduler, rng):
    X, y, weight = table("LogisticRegression", rng)
    dX, dy, dweight = chunked(X, y, weight, size=1000)
    model = LogisticRegression(tol=1e-8).fit(dX, dy, dweight)
    assert distance(model.coef_, LogisticRegression(tol=1e-8).fit(X, y, weight).coef_) <= 1e-8
    np.testing.assert_array_equal(model.predict(dX).compute(), model.predict(X))
    assert float(model.score(dX, dy)) == pytest.approx(model.score(X, y))


@pytest.mark.parametrize("model", [MLPRegressor("squared_error", (3,), max_iter=2), MLPClassifier((3,), max_iter=2)])
def test_networks_predict_and_score(model, rng):
    X = rng.normal(size=(300, 3))
    y = (X[:, 0] > 0).astype(int)
    convergence_warnings(lambda: model.fit(X, y))
    dX, dy = chunked(X, y, size=100)
    np.testing.assert_allclose(model.predict(dX).compute(), model.predict(X), rtol=1e-12)
    assert float(model.score(dX, dy)) == pytest.approx(model.score(X, y), rel=0, abs=1e-12)
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(model.predict_proba(dX).compute(), model.predict_proba(X), rtol=1e-12)
    for rows in ((dX, dy), (Blocks([(X, y)]),)):
        message = f"{type(model).__name__} is fitted on rows in memory.*partial_fit"
        assert_refused(message, model.fit, *rows, error=TypeError)


def test_predictions_of_empty_partitions_and_of_none(rng):
    X = rng.normal(size=(90, 2))
    model = LinearRegression().fit(X, X[:, 0])
    for keep in (np.arange(90) >= 30, np.zeros(90, dtype=bool)):
        lazy = da.from_array(X, chunks=(30, 2))[da.from_array(keep, chunks=30)]
        expected = model.predict(X)[keep]
        np.testing.assert_array_equal(model.predict(lazy).compute(), expected)


# -- lazy, and nothing on the client -----------------------------------------------------------------------------------


def test_predictions_and_scores_compute_nothing(rng, computed):
    X, y, _ = table("PoissonRegressor", rng)
    model = PoissonRegressor().fit(X, y)
    dX, dy = chunked(X, y)
    lazy = model.predict(dX), model.score(dX, dy), model.d2_score(dX, dy), Ridge().fit(X, y).score(dX, dy)
    assert all(isinstance(result, da.Array) for result in lazy)
    assert computed == []
    lazy[1].compute()
    assert len(computed) == 1


def test_a_lazy_prediction_does_not_change_with_a_later_fit(rng):
    X, y, _ = table("Ridge", rng)
    model = Ridge().fit(X, y)
    before, (dX, dy) = model.predict(X), chunked(X, y)
    prediction, score, value = model.predict(dX), model.score(dX, dy), model.score(X, y)
    model.fit(X, -y)
    np.testing.assert_array_equal(prediction.compute(), before)
    assert float(score) == pytest.approx(value)


def test_every_round_is_counted(rng, computed):
    """Rounds of the whole fit: the scan, the sketch, values, products and the certificate."""

    def block(i):
        return np.random.default_rng(i).normal(size=(10_000, 50))

    X = da.concatenate([da.from_delayed(dask.delayed(block)(i), (10_000, 50), float) for i in range(10)])
    coef = rng.normal(size=50) / 7
    y = (X @ coef + da.random.default_rng(0).logistic(size=len(X), chunks=10_000) > 0).astype(int)
    X, y = dask.persist(X, y)
    computed.clear()
    model = LogisticRegression().fit(X, y)
    assert model.convergence_.status == "optimal"
    assert len(computed) <= 12


@pytest.mark.parametrize(
    "name", ["Ridge", "softmax", "PoissonRegressor", "NegativeBinomialRegressor", "HuberRegressor"]
)
def test_what_a_round_sends_and_what_comes_back(name, rng, traffic):
    """Functions of p numbers go out, p or p^2 numbers come back; of rows only those of the sketch, and once."""
    X = rng.normal(size=(20_000, 20))
    model = ESTIMATORS[name].fit(*chunked(X, target(name, X, rng), size=2000))
    assert max(sent for sent, _ in traffic) <= 60_000
    assert sum(back > 60_000 for _, back in traffic) <= 1
    assert len(pickle.dumps(model)) <= 20_000


def test_nothing_of_a_sketch_travels(rng, traffic):
    n, p = 100_000, 50
    X = rng.normal(size=(n, p))
    X[:, 0] = rng.uniform(size=n) < 0.002
    y = (X @ rng.normal(size=p) / 7 + rng.logistic(size=n) > 0).astype(int)
    model = LogisticRegression().fit(*chunked(X, y, size=20_000))
    assert model.convergence_.status == "optimal"
    assert max(sent for sent, _ in traffic) <= 100_000
    assert len(pickle.dumps(model)) <= 20_000


@pytest.mark.parametrize("given", ["array", "frame"])
def test_the_client_never_has_all_rows(given, rng, monkeypatch):
    X, y, weight = table("HuberRegressor", rng)
    dX, dy, _ = collections("frame" if given == "frame" else "known", X, y, weight)
    for kind in (da.Array, *{type(dX), type(dy)}):
        monkeypatch.setattr(kind, "__array__", lambda *a, **k: pytest.fail("all rows were asked for"))
    model = HuberRegressor().fit(dX, dy)
    assert not hasattr(model, "outliers_")


# -- frames from files ------------------------------------------------------------------------------------------------

COLUMNS = list("abcdef")


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    """A Parquet file of twelve row groups, not all of whose columns are needed, and its table."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(1200, 8)), columns=list("abcdefgh"))
    noise = rng.logistic(size=len(frame))
    frame = frame.assign(y=(frame["a"] - frame["b"] + noise > 0).astype(int), w=rng.uniform(0.5, 2, size=len(frame)))
    path = tmp_path_factory.mktemp("parquet") / "rows.parquet"
    frame.to_parquet(path, row_group_size=100)
    return path, frame


def projected(d):
    return d[COLUMNS], d["y"], d["w"]


def filtered(d):
    return projected(d[d["a"] > -0.5])


#: from the frame of a file to X, y and the weights; what they are in memory is the same of the table in memory
FROM_FILES = {
    "projected": projected,
    "filtered": filtered,
    "computed": lambda d: (d[COLUMNS] * 2, d["y"] > 0, d["w"] + 1),
    "a frame as y": lambda d: (d[COLUMNS], d[["y"]], d["w"]),
    "arrays": lambda d: tuple(values.values for values in projected(d)),
    "filtered arrays": lambda d: tuple(values.values for values in filtered(d)),
    "a frame and arrays": lambda d: (d[COLUMNS], d["y"].values, d["w"]),
    "an array and series": lambda d: (d[COLUMNS].values, d["y"], d["w"].values),
}
#: the same in dask alone
HELD = {
    "persisted before": lambda d: projected(d.persist()),
    "persisted apart": lambda d: tuple(values.persist() for values in projected(d)),
    "persisted together": lambda d: dask.persist(*projected(d)),
    "X persisted": lambda d: (d[COLUMNS].persist(), d["y"], d["w"]),
    "repartitioned": lambda d: (d[COLUMNS], d["y"].repartition(npartitions=3), d["w"]),
}


@pytest.mark.parametrize("kind", [*FROM_FILES, *HELD])
def test_columns_of_a_parquet_file(parquet, kind):
    """Dask merges small partitions of a file, the more the fewer columns are read: X and y go together."""
    path, table = parquet
    X, y, weight = {**FROM_FILES, **HELD}[kind](dd.read_parquet(path, split_row_groups=2))
    rows, target, weights = FROM_FILES.get(kind, projected)(table)
    target = np.ravel(target)
    model, memory = LinearRegression().fit(X, y, weight), LinearRegression().fit(rows, target, weights)
    np.testing.assert_allclose(np.ravel(model.coef_), memory.coef_, rtol=1e-8)
    assert model.convergence_.passes == memory.convergence_.passes
    assert float(model.score(X, y, weight)) == pytest.approx(memory.score(rows, target, weights), abs=1e-12)
    np.testing.assert_allclose(np.ravel(model.predict(X).compute()), memory.predict(rows), rtol=1e-7)


def test_a_classifier_of_columns_of_a_parquet_file(parquet):
    path, table = parquet
    d = dd.read_parquet(path, split_row_groups=2)
    assert len(d[COLUMNS].to_delayed()) > len(d.y.to_delayed())  # what dask makes of them apart
    model = LogisticRegression().fit(d[COLUMNS], d.y)
    memory = LogisticRegression().fit(table[COLUMNS], table.y)
    np.testing.assert_allclose(model.coef_, memory.coef_, rtol=1e-8)
    assert list(model.feature_names_in_) == COLUMNS
    assert float(model.score(d[COLUMNS], d.y)) == memory.score(table[COLUMNS], table.y)
    probabilities = model.predict_proba(d[COLUMNS])
    assert probabilities.numblocks == (d.npartitions, 1)
    np.testing.assert_allclose(probabilities.compute(), memory.predict_proba(table[COLUMNS]), rtol=1e-7)


def test_a_round_reads_each_partition_once_and_the_columns_it_needs(computed):
    """X, y and the weights come of one table: a round reads it once, and of its columns only theirs."""
    read = []

    def reading(start, columns=None):
        read.append((start, tuple(columns)))
        rows = np.random.default_rng(start).normal(size=(100, 8))
        return pd.DataFrame(rows, columns=list("abcdefyw"))[list(columns)]

    d = dd.from_map(reading, range(6), meta=pd.DataFrame(columns=list("abcdefyw"), dtype=float))
    del read[:], computed[:]
    X, y = d[["b", "a"]], d["y"]
    model = LinearRegression().fit(X, y)
    assert {frozenset(columns) for _, columns in read} == {frozenset("aby")}
    assert len(read) == 6 * len(computed)
    del read[:]
    float(model.score(X, y))
    assert len(read) == 6
    del read[:]
    model.predict(X).compute()
    assert sorted((start, frozenset(columns)) for start, columns in read) == [(k, frozenset("ab")) for k in range(6)]


def test_arrays_of_one_table_are_computed_once_a_round(computed):
    made = []

    def making(block_info=None):
        made.append(1)
        return np.random.default_rng(block_info[None]["chunk-location"][0]).normal(size=(100, 4))

    table = da.map_blocks(making, chunks=((100,) * 6, (4,)), dtype=float, meta=np.empty((0, 0)))
    del made[:], computed[:]
    LinearRegression().fit(table[:, :3], table[:, 3], np.abs(table[:, 0]))
    assert len(made) == 6 * len(computed)


def test_rows_that_are_cut_elsewhere_with_empty_partitions(rng):
    """Chunks of unknown sizes, some of them empty: one round counts their rows."""
    X, y, weight = rng.normal(size=(60, 2)), rng.normal(size=60), rng.uniform(1, 2, size=60)
    expected = Ridge(tol=1e-8).fit(X, y, weight).coef_

    def cut(values, *ends):
        pieces = np.split(values, ends)
        parts = [da.from_delayed(dask.delayed(p), (np.nan, *p.shape[1:]), dtype=float) for p in pieces]
        return da.concatenate(parts, allow_unknown_chunksizes=True)

    for ends, other in product(([20, 40], [0, 30, 30, 60], [1, 2, 3, 59]), ([10], [0, 0, 20, 55, 60, 60])):
        dX, dy = cut(X, *ends), cut(y, *other)
        model = Ridge(tol=1e-8).fit(dX, dy, cut(weight, 7, 8))
        assert distance(model.coef_, expected) <= 1e-10
        assert float(model.score(dX, dy)) == pytest.approx(model.score(X, y), abs=1e-12)
        assert model.predict(dX).compute().shape == (60,)


# -- bad input ---------------------------------------------------------------------------------------------------------

ROWS, TARGET = np.arange(24.0).reshape(12, 2) ** 2, np.arange(12.0)


def parts_of(*arrays, size=4):
    return chunked(*arrays, size=size)


def broken(block, block_id=None):
    if block_id[0] == 2:
        raise OSError("disk gone")
    return block


def wider(block, block_id=None):
    return np.hstack([block, block]) if block_id[0] == 1 else block


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.where(ROWS == 100, np.nan, ROWS), TARGET, "partition 1: Input X contains NaN"),
        (ROWS, np.where(TARGET == 9, np.inf, TARGET), "partition 2: Input y contains infinity"),
    ],
)
def test_bad_numbers_name_their_partition(X, y, message):
    assert_refused(message, Ridge().fit, *parts_of(X, y))
    model = Ridge().fit(ROWS, TARGET)
    assert_refused(message, float, model.score(*parts_of(X, y)))
    if np.isnan(X).any():
        assert_refused(message, model.predict(parts_of(X)[0]).compute)


def test_a_partition_that_cannot_be_computed_is_named():
    X, y = parts_of(ROWS, TARGET)
    X = X.map_blocks(broken, dtype=float, meta=np.empty((0, 0)))
    assert_refused(r"partition 2 could not be computed: OSError\('disk gone'\)", Ridge().fit, X, y, error=RuntimeError)


def test_partitions_of_other_widths():
    X, y = parts_of(ROWS, TARGET)
    X = X.map_blocks(wider, dtype=float, meta=np.empty((0, 0)))
    assert_refused("X: partition 1 has 4 columns, but partition 0 has 2", Ridge().fit, X, y)
    message = "partition 1: X has 4 features, but Ridge is expecting 2"
    assert_refused(message, Ridge().fit(ROWS, TARGET).predict(X).compute)
    with pytest.raises(ValueError, match="X has 3 features, but Ridge is expecting 2 features"):
        Ridge().fit(ROWS, TARGET).predict(da.zeros((4, 3), chunks=2))


def test_a_partition_may_have_one_class_only(iris):
    X, y = iris
    model = LogisticRegression().fit(*parts_of(X, y, size=50))
    assert distance(model.coef_, LogisticRegression().fit(X, y).coef_) <= 1e-8
    assert_refused("y has only one class, 0", LogisticRegression().fit, *parts_of(X[:50], y[:50], size=25))


def test_y_may_have_other_known_partitions_and_be_in_memory(rng):
    X, y, weight = table("Ridge", rng, 1000)
    expected = Ridge(tol=1e-8).fit(X, y, weight).coef_
    dX = da.from_array(X, chunks=(300, 2))
    pairs = [(da.from_array(y, chunks=170), weight), (y, da.from_array(weight, chunks=170)), (list(y), weight)]
    for dy, dweight in pairs:
        assert distance(Ridge(tol=1e-8).fit(dX, dy, dweight).coef_, expected) <= 1e-8


@pytest.mark.parametrize(
    ("y", "weight", "message"),
    [
        (TARGET[:5], None, "y has 5 rows, but X has 12"),
        (da.from_array(TARGET[:5], chunks=5), None, "y has 5 rows, but X has 12"),
        (TARGET, TARGET[:5], "sample_weight has 5 rows, but X has 12"),
        (TARGET, 3.0, "sample_weight must have an entry for each row of X, got 3.0"),
        (TARGET, np.where(TARGET == 5, -1, 1), "partition 1: sample_weight must not be negative"),
        (unknown(da.from_array(TARGET[:10], chunks=6)), None, "y has 10 rows, but X has 12"),
        (None, None, "requires y to be passed"),
    ],
)
def test_rows_that_do_not_match(y, weight, message):
    assert_refused(message, Ridge().fit, parts_of(ROWS)[0], y, weight)


def test_unknown_sizes_need_partitions_that_match():
    X, y = (unknown(a) for a in parts_of(ROWS, TARGET))
    assert_refused("y must be a dask collection with the partitions of X", Ridge().fit, X, TARGET)
    with pytest.raises(ValueError, match=r"partition [12]: Found input variables with inconsistent numbers of samples"):
        Ridge().fit(X, unknown(da.from_array(TARGET, chunks=(4, 3, 5))))
    assert Ridge().fit(X, y).convergence_.status == "optimal"


def test_what_is_no_table_is_refused():
    with pytest.raises(ValueError, match="X must be a 2-D dask array or a data frame, got Array with ndim=1"):
        Ridge().fit(da.from_array(TARGET, chunks=4), TARGET)
    with pytest.raises(ValueError, match="X must be a 2-D dask array or a data frame, got Series with ndim=1"):
        Ridge().fit(ROWS, TARGET).predict(frames(ROWS, TARGET, TARGET)[1])
    with pytest.raises(ValueError, match="X must have a known number of columns"):
        Ridge().fit(ROWS, TARGET).predict(da.from_delayed(dask.delayed(ROWS), (12, np.nan), float))


def test_columns_that_are_no_numbers_are_refused():
    frame = pd.DataFrame(ROWS, columns=["a", "b"]).assign(city=["Bern", "Genf"] * 6)
    for column in (frame["city"], pd.to_datetime(frame["a"])):
        X = dd.from_pandas(frame.assign(city=column), npartitions=2)
        assert_refused(r"X: column 'city' is of dtype .*: encode categories before", Ridge().fit, X, X["a"])


def test_boolean_and_integer_columns():
    frame = pd.DataFrame({"a": np.arange(12) % 5, "b": np.arange(12) > 4, "c": np.linspace(0, 1, 12, dtype="f4") ** 2})
    X = dd.from_pandas(frame, npartitions=3)
    model, y = Ridge(tol=1e-8), pd.Series(TARGET)
    model.fit(X, dd.from_pandas(y, npartitions=3))
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    assert distance(model.coef_, Ridge(tol=1e-8).fit(frame, y).coef_) <= 1e-8
    np.testing.assert_allclose(model.predict(X).compute(), model.predict(frame))
    assert_refused("feature names should match", model.predict, X.rename(columns={"a": "z"}))


def test_offsets_are_refused_by_name(rng):
    X, y, _ = table("PoissonRegressor", rng)
    dX, dy = chunked(X, y)
    for call in (
        lambda: PoissonRegressor().fit(dX, dy, offset=y),
        lambda: PoissonRegressor().fit(X, y).predict(dX, y),
        lambda: PoissonRegressor().fit(X, y).predict(dX, offset=y),
        lambda: PoissonRegressor().fit(X, y).score(dX, dy, offset=y),
        lambda: LogisticRegression().fit(X, y > 1).score(dX, dy > 1, offset=y),
    ):
        assert_refused("offset must be None for", call)
    model = PoissonRegressor().fit(X, y, offset=np.full(len(y), 0.5))
    with pytest.warns(UserWarning, match="was fitted with an offset") as caught:
        model.predict(X)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="was fitted with an offset") as caught:
        lazy = model.predict(dX)
    assert len(caught) == 1
    np.testing.assert_allclose(lazy.compute(), np.exp(X @ model.coef_ + model.intercept_))


def test_a_target_out_of_range_is_found_in_its_partition():
    with pytest.raises(ValueError, match="partition 1: y must be non-negative for PoissonRegressor, got -1"):
        PoissonRegressor().fit(*parts_of(ROWS, np.where(TARGET == 5, -1, TARGET)))
    with pytest.raises(ValueError, match="partition 1: y must be non-negative for PoissonRegressor, got -1"):
        float(PoissonRegressor().fit(ROWS, TARGET).score(*parts_of(ROWS, np.where(TARGET == 5, -1, TARGET))))


def test_scores_without_rows_or_of_a_constant(rng):
    model = Ridge().fit(ROWS, TARGET)
    X, y = parts_of(ROWS, TARGET)
    assert_refused("X has no rows: every partition is empty", float, model.score(X, y, 0 * y))
    assert float(model.score(X, 0 * y + 0.1)) == 0.0


# -- without dask ------------------------------------------------------------------------------------------------------

NO_DASK = """
import sys
import sk_hessian.linear_model, sk_hessian.neural_network, sk_hessian.inspection
sk_hessian.linear_model.Ridge().fit([[1.0], [2.0]], [1.0, 2.0]).predict([[1.0]])
assert "dask" not in sys.modules and "distributed" not in sys.modules
sys.modules["dask"] = None

class Collection:
    ndim, shape, npartitions = 2, (2, 1), 1
    def __dask_graph__(self): return {}
    def to_delayed(self): return []

for call in (lambda m: m.fit(Collection(), [1.0]), lambda m: m.fit([[1.0]], [1.0]).predict(Collection())):
    try:
        call(sk_hessian.linear_model.Ridge())
    except ImportError as error:
        assert "pip install sk-hessian[dask]" in str(error), error
    else:
        raise AssertionError("no error")
"""


def test_without_dask_nothing_of_it_is_needed():
    done = subprocess.run([sys.executable, "-c", NO_DASK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_tables_predictions_and_influence_of_partitions(kind, rng, traffic):
    """Those of rows in memory, and nothing of their length is sent to a partition or comes back."""
    n, X = 30_000, rng.normal(size=(30_000, 3)) + [0.0, 5.0, 100.0]
    y, weight, group = rng.poisson(np.exp(0.3 * X[:, 0])).astype(float), rng.integers(1, 4, n) * 1.0, np.arange(n) // 50
    F = pd.DataFrame(X, columns=list("abc"))
    if kind == "array":
        plain, parts = (X, y), (da.from_array(X, chunks=(9000, 3)), da.from_array(y, chunks=7000))
        weights, groups = da.from_array(weight, chunks=9000), da.from_array(group, chunks=9000)
    else:
        plain, frame = (
            (F, pd.Series(y, name="claims")),
            dd.from_pandas(F.assign(claims=y, w=weight, g=group), npartitions=5),
        )
        parts, weights, groups = (frame[list("abc")], frame["claims"]), frame["w"], frame["g"]
    model = PoissonRegressor(alpha=0, tol=1e-11).fit(*plain, weight)
    traffic.clear()
    options = [{}, {"cov": "sandwich"}, {"cov": "HC1"}]
    for option in options:
        found = inspection.coef_table(model, *parts, sample_weight=weights, **option)
        expected = inspection.coef_table(model, *plain, sample_weight=weight, **option)
        np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.log_likelihood, expected.log_likelihood, rtol=1e-9)
        assert (found.names, found.y_name) == (expected.names, expected.y_name)
    found = inspection.prediction_table(model, plain[0][:5], *parts, weights)
    expected = inspection.prediction_table(model, plain[0][:5], *plain, weight)
    np.testing.assert_allclose(found.std_error, expected.std_error, rtol=1e-8)
    found = inspection.influential_rows(model, *parts, sample_weight=weights, n_rows=4)
    expected = inspection.influential_rows(model, *plain, sample_weight=weight, n_rows=4)
    np.testing.assert_array_equal(found.labels, expected.labels)
    found = inspection.compare_models(None, model, *parts, sample_weight=weights)
    expected = inspection.compare_models(None, model, *plain, sample_weight=weight)
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=1e-6)
    # what is largest are the numbers of the rows whose sample tells the columns' units
    assert max(sent for sent, _ in traffic) < 4 * n
    clusters = {"cov": "sandwich", "cov_groups": groups}
    found = inspection.coef_table(model, *parts, sample_weight=weights, **clusters)
    expected = inspection.coef_table(model, *plain, sample_weight=weight, cov="sandwich", cov_groups=group)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-9, atol=1e-12)
