"""Timing side by side, and a description of what it ran on."""

import argparse
import contextlib
import importlib
import os
import platform
import statistics
import time
import warnings
from importlib import metadata

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

_PACKAGES = ("sk-hessian", "scikit-learn", "glum", "scikit-learn-intelex", "numpy", "scipy")

#: packages that bring thread pools of their own, imported before the pools are limited
_POOLS = ("sklearn.linear_model", "scipy.linalg", "glum", "daal4py")


#: what seconds are: "cpu" counts the processor's only, for one thread on a machine that others use too
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

_clock = {"name": "wall"}


def now():
    """Seconds of the chosen clock."""
    return CLOCKS[_clock["name"]]()


def parser(description):
    """The options that all benchmarks share."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--threads", type=int, default=1, help="threads of every pool (default 1)")
    options.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for one thread on a busy machine")
    return options


def begin(options):
    """Limit the threads, choose the clock; print and return the environment."""
    limit_threads(options.threads)
    _clock["name"] = options.clock
    env = environment()
    print_environment(env)
    return env


def interleaved(functions, repeats):
    """Seconds of each function, called in turn; the order rotates, so that noise and warm caches are shared.

    Parameters
    ----------
    functions : dict of str to callable
    repeats : int

    Returns
    -------
    dict of str to list of float
    """
    names = list(functions)
    seconds = {name: [] for name in names}
    for repeat in range(repeats):
        first = repeat % len(names)
        for name in names[first:] + names[:first]:
            start = now()
            functions[name]()
            seconds[name].append(now() - start)
    return seconds


def milliseconds(seconds):
    """Median and quartiles, such as ``"12.30 [12.10, 12.90]"``."""
    low, middle, high = 1000 * np.percentile(seconds, [25, 50, 75])
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def ratio(seconds, reference):
    """Median of the ratios taken within each turn: what the machine did at that time cancels."""
    return statistics.median(a / b for a, b in zip(seconds, reference, strict=True))


@contextlib.contextmanager
def quiet():
    """Record warnings instead of showing them; the list of their categories' names is filled on the way out."""
    names = []
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            yield names
        finally:
            names.extend(sorted({w.category.__name__ for w in caught}))


def limit_threads(n):
    """Limit every thread pool of this process to ``n`` threads, for good."""
    for name in _POOLS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    threadpool_limits(n)
    with contextlib.suppress(ImportError):
        import daal4py

        daal4py.daalinit(n)


def environment():
    """Versions, thread pools with the kernel that OpenBLAS chose, and how busy the machine is."""
    return {
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "pools": [_pool(info) for info in threadpool_info()] + _intel_pool(),
        "load": os.getloadavg()[0],
        "clock": _clock["name"],
    }


def print_environment(env):
    """Print what `environment` found."""
    print("python", env["python"], "|", ", ".join(f"{k} {v}" for k, v in env["versions"].items()))
    print("thread pools:", "; ".join(env["pools"]))
    print(f"{env['cores']} cores, load average before the run {env['load']:.2f}, {env['clock']} time\n")


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _pool(info):
    kernel = f" {info['architecture']}" if "architecture" in info else ""
    return f"{info['internal_api']}{kernel} x{info['num_threads']} ({os.path.basename(info['filepath'])})"


def _intel_pool():
    try:
        import daal4py
    except ImportError:
        return []
    return [f"oneDAL x{daal4py.num_threads()}"]
