"""Memory of a fit beyond its data, and the fit of a file that is larger than the memory allowed.

    OMP_NUM_THREADS=1 python examples/benchmarks/memory.py [--gigabytes 4] [--peers]

Each fit runs in a process of its own, on data made in blocks. The first table is the peak of the resident set during
the fit less the resident set before it. The second fit reads X from a file by a memory map, under a limit on private
memory (RLIMIT_DATA); its anonymous resident memory (RssAnon) is sampled meanwhile. Linux only.
"""

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import measure
import numpy as np
from sklearn import linear_model as theirs

from sk_hessian import linear_model as ours

#: kind -> estimator and number of classes (0: a positive target)
_KINDS = {
    "logistic": ("LogisticRegression", 2),
    "softmax, 5 classes": ("LogisticRegression", 5),
    "poisson": ("PoissonRegressor", 0),
    "gamma": ("GammaRegressor", 0),
    "ridge": ("Ridge", 0),
    "linear": ("LinearRegression", 0),
    "huber": ("HuberRegressor", 0),
}

_COLUMNS = 50
_BLOCK_ROWS = 100_000


def main():
    options = arguments()
    if options.child:
        measure.limit_threads(options.threads)
        print(json.dumps(_CHILDREN[options.child](options)))
        return
    measure.begin(options)
    tables(options)
    memmap(options)


def arguments():
    parser = measure.parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--gigabytes", type=float, default=0.5, help="size of the file")
    parser.add_argument("--limit", type=float, default=1.0, help="gigabytes of private memory for the fit of the file")
    parser.add_argument("--folder", help="where the file is written and removed (default: the temporary folder)")
    parser.add_argument("--peers", action="store_true", help="scikit-learn's default solvers too")
    for hidden in ("--child", "--kind", "--package", "--path"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    return parser.parse_args()


def tables(options):
    """Print the peaks beyond X for every kind of estimator."""
    allowed = 64 + 4 * _COLUMNS**2 * 8 / 2**20
    print(f"MiB beyond X and y, {_COLUMNS} columns, float64 (aim: {allowed:.0f} at 1,000,000 rows)")
    print(f"{'':34}" + "".join(f"{rows:>12,}" for rows in options.rows) + "   seconds   status")
    for package in ("sk_hessian", "scikit-learn")[: 1 + options.peers]:
        for kind in _KINDS:
            found = [child(options, "fit", kind=kind, package=package, rows=rows) for rows in options.rows]
            peaks = "".join(f"{result['beyond']:12.1f}" for result in found)
            print(f"{package:14}{kind:20}{peaks}{found[-1]['seconds']:10.2f}   {found[-1]['status']}", flush=True)


def memmap(options):
    """Fit a file and print what it took."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "X.bin"
        write(path, int(options.gigabytes * 2**30 / (8 * _COLUMNS)))
        size = path.stat().st_size / 2**30
        found = child(options, "map", path=path)
    print(
        f"\nlogistic on a memory map of {size:.2f} GiB, private memory limited to {options.limit:g} GiB "
        f"({found['before']:.0f} MiB in use before): {found['status']} after {found['seconds']:.1f} s, "
        f"peak of anonymous memory {found['anonymous']:.0f} MiB"
    )


def write(path, rows):
    """Standard normal rows, in blocks."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, rows, _BLOCK_ROWS):
            rng.standard_normal((min(_BLOCK_ROWS, rows - start), _COLUMNS)).tofile(file)


def child(options, task, *, rows=None, **given):
    """Run a task in a process of its own; its result."""
    command = [sys.executable, __file__, "--child", task, "--threads", options.threads, "--limit", options.limit]
    for name, value in given.items():
        command += [f"--{name}", value]
    command += ["--rows", rows] if rows else []
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{task} {given} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


# -- in the child process ---------------------------------------------------------------------------------------------


def fit_in_memory(options):
    """Peak beyond the data of one fit."""
    name, classes = _KINDS[options.kind]
    model = getattr({"sk_hessian": ours, "scikit-learn": theirs}[options.package], name)()
    X, y = data(options.rows[0], classes)
    timed_fit(model, X[:1000], y[:1000])
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = status_kilobytes("VmRSS")
    seconds, status = timed_fit(model, X, y)
    return {"beyond": (status_kilobytes("VmHWM") - before) / 1024, "seconds": seconds, "status": status}


def data(rows, classes):
    """Standard normal columns and a target that depends on them, filled in block by block."""
    rng = np.random.default_rng(0)
    X, y = np.empty((rows, _COLUMNS)), np.empty(rows)
    W = rng.standard_normal((_COLUMNS, max(classes, 1))) / np.sqrt(_COLUMNS)
    for start in range(0, rows, _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        rng.standard_normal(out=X[part])
        raw = X[part] @ W
        noisy = raw + rng.gumbel(size=raw.shape)
        y[part] = noisy.argmax(axis=1) if classes else np.exp(raw[:, 0]) * rng.exponential(size=len(raw)) + 1e-3
    return X, y


def fit_file(options):
    """Anonymous memory of the fit of a memory map under a limit."""
    X = np.memmap(options.path, dtype=float, mode="r").reshape(-1, _COLUMNS)
    weights = np.linspace(-1, 1, _COLUMNS)
    noise = np.random.default_rng(0)
    blocks = (X[start : start + _BLOCK_ROWS] for start in range(0, len(X), _BLOCK_ROWS))
    y = np.concatenate([(block @ weights > noise.logistic(size=len(block))).astype(np.int8) for block in blocks])
    timed_fit(ours.LogisticRegression(), X[:1000], y[:1000])
    limit, before = int(options.limit * 2**30), status_kilobytes("VmData")
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with highest("RssAnon") as peak:
        seconds, status = timed_fit(ours.LogisticRegression(), X, y)
    return {"anonymous": peak[0] / 1024, "before": before / 1024, "seconds": seconds, "status": status}


def timed_fit(model, X, y):
    """Seconds, and the verdict where there is one."""
    start = time.perf_counter()
    try:
        with measure.quiet() as warned:
            model.fit(X, y)
    except MemoryError as error:
        return time.perf_counter() - start, f"MemoryError: {error}"
    seconds = time.perf_counter() - start
    return seconds, model.convergence_.status if hasattr(model, "convergence_") else " ".join(warned)


@contextlib.contextmanager
def highest(field):
    """The highest value of a field of /proc/self/status in kilobytes, sampled every 5 ms, in a list of one."""
    peak, done = [0], threading.Event()

    def watch():
        while not done.wait(0.005):
            peak[0] = max(peak[0], status_kilobytes(field))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def status_kilobytes(field):
    """A field of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1])


_CHILDREN = {"fit": fit_in_memory, "map": fit_file}


if __name__ == "__main__":
    main()
