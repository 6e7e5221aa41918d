"""What a second thread gains: whole fits, and a pass by itself and after a product of BLAS on all threads.

    python examples/benchmarks/threads.py

Fits with one thread and with two are taken in turn. Nothing else may run: a busy second core hides the gain.
"""

import time
from functools import partial

import measure
import numpy as np
from problems import PROBLEMS
from threadpoolctl import threadpool_limits

from sk_hessian.linear_model import GammaRegressor, LogisticRegression
from sk_hessian.objectives import BinaryCrossEntropy, GLMObjective

_TABLES = (
    "nycflights: logistic",
    "categories 100,000 x 100: logistic",
    "200,000 x 50: logistic",
    "1,000,000 x 20: logistic",
    "20,000 x 600: logistic",
    "diamonds: gamma",
)

#: seconds after which the threads of BLAS no longer wait for work
_REST = 0.1


def main():
    parser = measure.parser(__doc__)
    parser.set_defaults(threads=2)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    measure.begin(options)
    print(f"fits: milliseconds, median [quartiles] of {options.repeats}")
    for name in _TABLES:
        problem = next(problem for problem in PROBLEMS if problem.name == name)
        model = GammaRegressor(alpha=problem.strength) if problem.model == "gamma" else LogisticRegression()
        X, y = problem.data()
        fits = {n: partial(limited, n, partial(model.fit, X, y)) for n in (1, 2)}
        with measure.quiet():
            fits[1]()
            seconds = measure.interleaved(fits, options.repeats)
        times = "".join(f"{measure.milliseconds(seconds[n]):>28}" for n in fits)
        print(f"  {name:36}{times}   x {np.median(seconds[1]) / np.median(seconds[2]):.2f}", flush=True)
    report_pass(options.repeats)


def limited(n, function):
    """Call a function with so many threads of BLAS."""
    with threadpool_limits(n):
        function()


def report_pass(repeats):
    """Print the times of value and gradient on two threads, after a rest and after a product of BLAS."""
    rng = np.random.default_rng(0)
    X, A = rng.standard_normal((300_000, 33)), rng.standard_normal((2000, 200))
    y, theta = (X[:, 0] + rng.logistic(size=len(X)) > 0).astype(float), np.zeros(34)
    objective = GLMObjective(X, y, BinaryCrossEntropy(), penalty=1 / len(X))
    print(f"\nvalue and gradient, 300,000 x 33, two threads: milliseconds, median [quartiles] of {repeats}")
    for text, before in (("after a rest", lambda: time.sleep(_REST)), ("after a product of BLAS", lambda: A.T @ A)):
        seconds = []
        for _ in range(repeats):
            before()
            theta = theta + 1e-9
            start = measure.now()
            objective.value_and_gradient(theta)
            seconds.append(measure.now() - start)
        print(f"  {text:36}{measure.milliseconds(seconds):>28}")


if __name__ == "__main__":
    main()
