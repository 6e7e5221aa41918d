"""Fits on a cluster of processes: the same answer, whatever happens to the workers."""

import os
import pickle
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV

from sk_hessian.linear_model import LogisticRegression, PoissonRegressor, Ridge
from tests.estimators import assert_refused

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")


@pytest.fixture(scope="module")
def cluster():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    # a busy machine takes its time to start processes
    with dask.config.set({"distributed.comm.timeouts.connect": "120s"}), distributed.LocalCluster(**options) as running:
        yield running


@pytest.fixture
def client(cluster):
    """By address, as a cluster elsewhere would be reached."""
    with distributed.Client(cluster.scheduler_address) as connected:
        connected.wait_for_workers(2)
        yield connected


def table(n=4000):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    return X, rng.poisson(np.exp(X @ [0.3, -0.2, 0.1, 0.4]))


def chunked(*arrays, size=500):
    return [da.from_array(a, chunks=(size, *a.shape[1:])) for a in arrays]


def test_the_same_as_in_memory_and_lazy_results(client):
    X, y = table()
    dX, dy = client.persist(chunked(X, y))
    model, exact = PoissonRegressor(tol=1e-8).fit(dX, dy), PoissonRegressor(tol=1e-8).fit(X, y)
    np.testing.assert_allclose(model.coef_, exact.coef_, rtol=1e-8)
    assert model.convergence_.passes == exact.convergence_.passes
    np.testing.assert_allclose(model.predict(dX).compute(), model.predict(X), rtol=1e-13)
    assert float(model.score(dX, dy)) == pytest.approx(model.score(X, y), rel=0, abs=1e-12)
    assert len(pickle.dumps(model)) < 20_000


@pytest.mark.parametrize("held", ["not", "together", "apart", "before"])
def test_columns_of_a_parquet_file(client, tmp_path, held):
    """Dask merges small partitions of a file by the columns that are read, and when it persists some too."""
    X, y = table(1200)
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y, more=0.0)
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    d = dd.read_parquet(tmp_path / "rows.parquet", split_row_groups=2)
    if held == "before":
        d = client.persist(d)
    dX, dy = d[["a", "b", "c"]], d["y"]
    if held == "together":
        dX, dy = client.persist([dX, dy])
    if held == "apart":
        dX, dy = client.persist(dX), client.persist(dy)
    model, exact = Ridge(tol=1e-8).fit(dX, dy), Ridge(tol=1e-8).fit(frame[["a", "b", "c"]], y)
    np.testing.assert_allclose(model.coef_, exact.coef_, rtol=1e-8)
    assert float(model.score(dX, dy)) == pytest.approx(exact.score(frame[["a", "b", "c"]], y), rel=0, abs=1e-12)
    np.testing.assert_allclose(model.predict(dX).compute(), exact.predict(frame[["a", "b", "c"]]), rtol=1e-10)


def test_an_error_on_a_worker_names_the_partition(client):
    X, y = table()
    X[1234, 0] = np.nan
    assert_refused("partition 2: Input X contains NaN", Ridge().fit, *chunked(X, y))
    dX, dy = chunked(*table())

    def broken(block, block_info=None):
        if block_info and block_info[0]["chunk-location"][0] == 3:
            raise OSError("disk gone")
        return block

    with pytest.raises(RuntimeError, match=r"partition 3 could not be computed: OSError\('disk gone'\)"):
        Ridge().fit(dX.map_blocks(broken, dtype=float), dy)


@pytest.mark.parametrize("persisted", [False, True])
def test_a_worker_that_dies_in_mid_fit_changes_nothing(client, tmp_path, persisted):
    X, y = table()
    mark = str(tmp_path / "killed")

    def deadly(block, block_info=None):
        """Kill the worker, once, in the third reading of a partition."""
        if block_info and block_info[0]["chunk-location"][0] == 5:
            with Path(mark).open("a") as file:
                file.write(".")
            if Path(mark).stat().st_size == 3:
                os._exit(1)
        return block

    dX, dy = chunked(X, y)
    if persisted:
        dX, dy = client.persist([dX, dy])
    model = LogisticRegression(tol=1e-8).fit(dX.map_blocks(deadly, dtype=float), dy > 1)
    exact = LogisticRegression(tol=1e-8).fit(X, y > 1)
    assert Path(mark).stat().st_size > 3
    np.testing.assert_allclose(model.coef_, exact.coef_, rtol=1e-8)
    assert model.convergence_.status == "optimal"


def test_a_grid_search_on_the_workers(client):
    X, y = table(1000)
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, cv=2)
    local = search.fit(X, y > 1).cv_results_["mean_test_score"]
    with joblib.parallel_backend("dask", client=client):
        search.fit(X, y > 1)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], local)
