"""
Larger than memory
==================

Fit rows that never are in memory together: a Parquet file, a memory map, and a stream ::

    python examples/larger_than_memory.py [--rows 200000]

Writes two files of about 50 MB each to a temporary folder and removes them. Every fit runs in a process of its own, so
that the peak of its memory is its own; beside it stands the size of X. The coefficients are compared with those of a
fit on all rows in memory. Linux only, for it reads /proc.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from sk_hessian.linear_model import LogisticRegression
from sk_hessian.objectives import Blocks

COLUMNS = 30
BLOCK = 20_000


def main():
    options = arguments()
    if options.child:
        print(json.dumps(run(options.child, Path(options.folder), options.rows)))
        return
    ways = ["in memory", "memory map", "stream"]
    if importlib.util.find_spec("pyarrow"):
        ways.append("Parquet")
    else:
        print("Without pyarrow the Parquet part is left out: pip install pyarrow")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.rows, "Parquet" in ways)
        print(f"X: {options.rows:,} x {COLUMNS}, {options.rows * COLUMNS * 8 / 2**20:.0f} MB")
        print(f"{'':12}{'seconds':>9}{'MB beyond':>12}{'coefficients off by':>22}   status")
        reference = None
        for way in ways:
            found = child(way, folder, options.rows)
            reference = np.array(found["coef"]) if reference is None else reference
            off = np.abs(np.array(found["coef"]) - reference).max()
            print(
                f"{way:12}{found['seconds']:9.1f}{found['megabytes']:12.0f}{off:22.1e}   {found['status']}", flush=True
            )


def arguments():
    parser = argparse.ArgumentParser(description="Fit rows that never are in memory together.")
    parser.add_argument("--rows", type=int, default=200_000)
    for hidden in ("--child", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    return parser.parse_args()


# -- the files --------------------------------------------------------------------------------------------------------


def block(start, stop):
    """Rows of raw columns and labels, the same in every process."""
    rng = np.random.default_rng(start)
    Z = rng.standard_normal((stop - start, COLUMNS))
    y = Z @ np.linspace(-1, 1, COLUMNS) / 2 + rng.logistic(size=len(Z)) > 0
    return Z * np.geomspace(1e-2, 1e3, COLUMNS) + 2000, y.astype(float)


def write(folder, rows, with_parquet):
    """X as raw numbers, y beside it, and the same table as Parquet with a row group for each block."""
    writer = None
    with (folder / "X.bin").open("wb") as file, (folder / "y.bin").open("wb") as targets:
        for start in range(0, rows, BLOCK):
            X, y = block(start, min(start + BLOCK, rows))
            X.tofile(file)
            y.tofile(targets)
            if with_parquet:
                writer = write_group(folder / "table.parquet", X, y, writer)
    if writer is not None:
        writer.close()


def write_group(path, X, y, writer):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({f"x{j}": X[:, j] for j in range(X.shape[1])} | {"y": y})
    writer = pq.ParquetWriter(path, table.schema) if writer is None else writer
    writer.write_table(table)
    return writer


# -- four ways to fit them --------------------------------------------------------------------------------------------


def mapped(folder, rows):
    """X as a memory map, y in memory."""
    return np.memmap(folder / "X.bin", dtype=float, mode="r", shape=(rows, COLUMNS)), np.fromfile(folder / "y.bin")


def row_groups(path):
    """What `Blocks` reads for every pass: one row group after the other."""
    import pyarrow.parquet as pq

    def source():
        with pq.ParquetFile(path) as file:
            for index in range(file.num_row_groups):
                table = file.read_row_group(index)
                yield np.column_stack([table[name] for name in table.column_names[:-1]]), table["y"].to_numpy()

    return source


def fit(way, folder, rows):
    """The fitted estimator."""
    model = LogisticRegression()
    if way == "Parquet":
        return model.fit(Blocks(row_groups(folder / "table.parquet")))
    X, y = mapped(folder, rows)
    if way == "memory map":
        return model.fit(X, y)
    if way == "in memory":
        return model.fit(np.array(X), y)
    for start in range(0, rows, BLOCK):
        part = slice(start, start + BLOCK)
        model.partial_fit(np.array(X[part]), y[part], classes=[0, 1])
    return model


def run(way, folder, rows):
    """One fit, and by how much the process's own memory grew at the most."""
    import threading
    import time

    if way == "Parquet":
        import pyarrow.parquet  # noqa: F401
    before, peaks, done = own_memory(), [0.0], threading.Event()

    def watch():
        while not done.wait(0.005):
            peaks.append(own_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    model = fit(way, folder, rows)
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    coef = (model.coef_[0] * np.geomspace(1e-2, 1e3, COLUMNS)).tolist()
    grown = (max(peaks) - before) / 2**20
    return {"coef": coef, "seconds": seconds, "megabytes": grown, "status": model.convergence_.status}


def own_memory():
    """Bytes of resident memory that no file backs: pages of a memory map can be dropped at any time."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status has no RssAnon")


def child(way, folder, rows):
    """`run` in a process of its own."""
    command = [sys.executable, sys.argv[0], "--child", way, "--folder", folder, "--rows", str(rows)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
