"""Logistic regression on a dask cluster of one machine: rounds, what travels, and the memory of the client.

    OMP_NUM_THREADS=1 python examples/benchmarks/cluster.py [--rows 10000 1000000] [--workers 1 2] [--recompute]

Every fit is of a client in a process of its own, which reaches the cluster by its address and never has the data: each
partition is made where it is needed, and kept in the workers' memory unless --recompute says to make it anew in each
round. "out" and "back" are the largest pickled function that a round sends to the partitions and the largest result but
the sketch; "graph" is the largest graph with its functions. "client MiB" is the peak of the resident set during the fit
less the resident set before it. Linux only.
"""

import argparse
import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import cloudpickle
import dask
import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster, wait

from sk_hessian.linear_model import LogisticRegression
from sk_hessian.objectives import parts_of

_COLUMNS = 50
_PARTITION_ROWS = 25_000


def main():
    given = arguments()
    if given.address:
        print(json.dumps(fit(given)))
        return
    print(f"logistic regression, {_COLUMNS} columns, partitions of {_PARTITION_ROWS:,} rows")
    print("workers        rows  rounds  passes  seconds   out kB  back kB  sketch kB  graph kB  client MiB  status")
    for workers in given.workers:
        with LocalCluster(
            workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
        ) as cluster:
            for rows in given.rows:
                show(workers, rows, child(cluster.scheduler_address, rows, given.recompute))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--recompute", action="store_true", help="make the rows anew in each round")
    parser.add_argument("--address", help=argparse.SUPPRESS)
    return parser.parse_args()


def show(workers, rows, found):
    kilobytes = "{out:9.1f}{back:9.1f}{sketch:11.1f}{graph:10.1f}".format(**found)
    print(
        f"{workers:7}{rows:12,}{found['rounds']:8}{found['passes']:8.1f}{found['seconds']:9.2f}{kilobytes}"
        f"{found['client']:12.1f}  {found['status']}",
        flush=True,
    )


def child(address, rows, recompute):
    """The result of a client in a process of its own."""
    command = [sys.executable, __file__, "--address", address, "--rows", str(rows)]
    command += ["--recompute"] if recompute else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{rows} rows failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


# -- in the client's process ------------------------------------------------------------------------------------------


def table(rows):
    """Lazy rows, and classes that depend on them."""
    weights = np.random.default_rng(0).normal(size=_COLUMNS) / np.sqrt(_COLUMNS)
    sizes = [min(_PARTITION_ROWS, rows - start) for start in range(0, rows, _PARTITION_ROWS)]
    parts = [dask.delayed(partition, pure=True)(size, seed, weights) for seed, size in enumerate(sizes)]
    X = da.concatenate([da.from_delayed(part[0], (n, _COLUMNS), float) for part, n in zip(parts, sizes, strict=True)])
    y = da.concatenate([da.from_delayed(part[1], (n,), int) for part, n in zip(parts, sizes, strict=True)])
    return X, y


def partition(size, seed, weights):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(size, _COLUMNS))
    return X, (X @ weights + rng.logistic(size=size) > 0).astype(int)


def fit(options):
    """What one fit took."""
    (rows,) = options.rows
    with Client(options.address) as client:
        LogisticRegression().fit(*table(30_000))
        X, y = table(rows)
        if not options.recompute:
            X, y = client.persist([X, y])
            wait([X, y])
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
        before, began = status_kilobytes("VmRSS"), time.perf_counter()
        model = LogisticRegression().fit(X, y)
        seconds, peak = time.perf_counter() - began, status_kilobytes("VmHWM")
        found = traffic(X, y)
    verdict = model.convergence_
    return found | {
        "seconds": seconds,
        "client": (peak - before) / 1024,
        "passes": verdict.passes,
        "status": verdict.status,
    }


def traffic(X, y):
    """Rounds of the same fit, and the kilobytes that they send."""
    partitions = type(parts_of(X, y))
    sizes, plain = [], partitions.fold

    def fold(self, function, combine):
        graph = len(cloudpickle.dumps(dict(self.lazily(function, combine).dask)))
        result = plain(self, function, combine)
        sizes.append((len(cloudpickle.dumps((function, combine))), len(cloudpickle.dumps(result)), graph))
        return result

    partitions.fold = fold
    try:
        LogisticRegression().fit(X, y)
    finally:
        partitions.fold = plain
    out, back, graph = (np.array(column) / 1000 for column in zip(*sizes, strict=True))
    return {
        "rounds": len(sizes),
        "out": out.max(),
        "back": np.sort(back)[-2],
        "sketch": back.max(),
        "graph": graph.max(),
    }


def status_kilobytes(field):
    """A field of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1])


if __name__ == "__main__":
    main()
