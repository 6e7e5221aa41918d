"""
On a cluster
============

A table that no machine has at once: fit, predictions and scores on a dask cluster ::

    python examples/on_a_cluster.py [tcp://scheduler:8786]

Without an address the cluster is two processes of this machine.
"""

import logging
import sys

import dask
import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster

from sk_hessian.linear_model import LogisticRegression, PoissonRegressor, Ridge

PARTITIONS, ROWS, COLUMNS = 8, 20_000, 15
UNITS = 10.0 ** np.arange(-3, 3).repeat(3)[:COLUMNS]


def rows(seed):
    """A partition, made where it is needed: raw columns from thousandths to hundreds."""
    return np.random.default_rng(seed).normal(2, 1, size=(ROWS, COLUMNS)) * UNITS


def predictor(X):
    return 0.3 * ((X / UNITS - 2) @ np.linspace(-1, 1, COLUMNS))


def table():
    """Lazy rows and the targets of three models."""
    X = da.concatenate([da.from_delayed(dask.delayed(rows)(i), (ROWS, COLUMNS), float) for i in range(PARTITIONS)])
    eta = X.map_blocks(predictor, drop_axis=1, dtype=float, meta=np.empty(0))
    rng = da.random.default_rng(0)
    noise = rng.logistic(size=len(X), chunks=ROWS)
    targets = {
        "clicked": (LogisticRegression(), eta + noise > 0),
        "visits": (PoissonRegressor(alpha=1e-4), rng.poisson(np.exp(eta))),
        "price": (Ridge(), 5 + eta + noise),
    }
    return X, targets


def main():
    if len(sys.argv) > 1:
        with Client(sys.argv[1]) as client:
            show(client)
        return
    options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": logging.CRITICAL}
    with LocalCluster(2, **options) as cluster, Client(cluster) as client:
        show(client)


def show(client):
    """Fit every target and print how the fits ended."""
    X, targets = table()
    X = client.persist(X)  # kept by the workers: else every round makes the rows anew
    print(f"{X.shape[0]:,} rows in {X.npartitions} partitions, {X.shape[1]} columns")
    print(f"{'target':9}{'model':20}{'status':10}{'passes':>8}{'score':>8}   predictions")
    for name, (model, y) in targets.items():
        y = client.persist(y)
        model.fit(X, y)
        score, prediction = dask.compute(model.score(X, y), model.predict(X)[:3])
        verdict, numbers = model.convergence_, np.array2string(prediction * 1.0, precision=2)
        print(f"{name:9}{type(model).__name__:20}{verdict.status:10}{verdict.passes:8.1f}{score:8.3f}   {numbers}")


if __name__ == "__main__":
    main()
