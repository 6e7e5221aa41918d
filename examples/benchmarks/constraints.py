"""Constrained fits against scikit-learn's and glum's: seconds of the process, least of several, one after the other.

    OMP_NUM_THREADS=1 python examples/benchmarks/constraints.py [--repeat 50] [--large]

"ratio" is theirs over ours: above 1 we are faster. "theirs is higher by" is the objective of their coefficients above
that of ours, as a share of what the model can gain, with the tolerances that each has by default. In the second line of
Ridge theirs has tol=1e-7, and is about as near to the optimum as ours must be.
"""

import argparse
import time
import warnings

import numpy as np
import sklearn.linear_model

from sk_hessian.linear_model import LinearRegression, PoissonRegressor, Ridge

#: rows and columns
_TABLES = ((300, 10), (1_000, 50), (2_000, 200), (20_000, 30), (3_000, 600))
_LARGE = ((100_000, 30), (500_000, 20))


def main():
    given = arguments()
    warnings.simplefilter("ignore")
    print(f"{'fit':28}{'rows':>9}{'columns':>9}{'active':>8}{'passes':>8}{'ours ms':>10}{'theirs ms':>11}{'ratio':>8}"
          "   theirs is higher by")  # fmt: skip
    for n, p in _TABLES + (_LARGE if given.large else ()):
        X, y, counts = table(n, p)
        for name, ours, theirs, target in fits(X, y, counts):
            show(name, ours, theirs, (X, target), given.repeat)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=50)
    parser.add_argument("--large", action="store_true", help="also tables of 100,000 rows and more")
    return parser.parse_args()


def table(n, p):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p)) * rng.uniform(0.5, 2, size=p)
    coef = rng.normal(size=p)
    y = X @ coef + rng.normal(size=n)
    return X, y, rng.poisson(np.exp(0.3 * (X @ coef) / np.std(X @ coef))).astype(float)


def fits(X, y, counts):
    """Name, estimator of ours, estimator of theirs, target."""
    yield "Ridge, positive", Ridge(positive=True), sklearn.linear_model.Ridge(positive=True), y
    yield "Ridge, positive, tol=1e-7", Ridge(positive=True), sklearn.linear_model.Ridge(positive=True, tol=1e-7), y
    theirs = sklearn.linear_model.LinearRegression(positive=True)
    yield "LinearRegression, positive", LinearRegression(positive=True), theirs, y
    try:
        import glum
    except ImportError:
        return
    p = X.shape[1]
    options = {"family": "poisson", "alpha": 1e-3, "l1_ratio": 0}
    theirs = glum.GeneralizedLinearRegressor(lower_bounds=np.zeros(p), upper_bounds=np.full(p, 0.1), **options)
    yield "Poisson, bounds", PoissonRegressor(alpha=1e-3, bounds=(0, 0.1)), theirs, counts


def show(name, ours, theirs, rows, repeat):
    least = [np.inf, np.inf]
    for _ in range(repeat if rows[0].size < 10**5 else 5):
        for which, estimator in enumerate((ours, theirs)):
            began = time.process_time()
            estimator.fit(*rows)
            least[which] = min(least[which], time.process_time() - began)
    objective = ours.fitted_objective(*rows)[0]
    theta = objective.pack(np.reshape(theirs.coef_, (-1, 1)), np.atleast_1d(theirs.intercept_), [])
    above = (objective.at(theta).value - ours.convergence_.objective) / objective.scale
    n, p = rows[0].shape
    mine, other = (1000 * seconds for seconds in least)
    print(
        f"{name:28}{n:9,}{p:9}{len(ours.active_constraints_):8}{ours.convergence_.passes:8.1f}{mine:10.2f}{other:11.2f}"
        f"{other / mine:8.2f}   {above:.1g}", flush=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
