"""Quantile regression against the linear programs of scikit-learn.

    OMP_NUM_THREADS=1 python examples/benchmarks/quantiles.py --clock cpu

Both minimise the same objective; `above` is how far a fit is above the lower one, as a share of it. Times are medians
of fits in turn in one process.
"""

import measure
import numpy as np
from problems import PROBLEMS
from sklearn.linear_model import QuantileRegressor as Theirs

from sk_hessian.linear_model import QuantileRegressor

#: tables by name, beside the simulated ones
_TABLES = ("diabetes: ridge", "concrete: huber", "doctor visits: poisson")


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--fits", type=int, default=3)
    options = parser.parse_args()
    measure.begin(options)
    print(f"{'table':28}{'alpha':>7}{'quantile':>10}{'ms':>26}{'highs, ms':>32}{'times':>8}{'above':>10}{'theirs':>10}")
    for name, (X, y) in tables().items():
        for alpha in (0.0, 0.01):
            for quantile in (0.5, 0.9):
                report(name, X, y, alpha, quantile, options.fits)


def tables():
    """X and y by name."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 70))
    found = {"simulated, 5,000 x 70": (X, X @ rng.normal(size=70) + rng.standard_t(3, size=5000))}
    for problem in PROBLEMS:
        if problem.name in _TABLES:
            X, y = problem.data()
            found[f"{problem.name.split(':')[0]}, {len(X):,} x {X.shape[1]}"] = X, y
    return found


def report(name, X, y, alpha, quantile, fits):
    """Print one line."""
    models = {
        "ours": QuantileRegressor(quantile=quantile, alpha=alpha),
        "theirs": Theirs(quantile=quantile, alpha=alpha, solver="highs"),
    }
    with measure.quiet():
        seconds = measure.interleaved({key: lambda m=m: m.fit(X, y) for key, m in models.items()}, fits)
    values = {key: objective(model, X, y) for key, model in models.items()}
    least = min(values.values())
    above = {key: (value - least) / least for key, value in values.items()}
    times = measure.ratio(seconds["theirs"], seconds["ours"])
    print(
        f"{name:28}{alpha:7.2f}{quantile:10.1f}{measure.milliseconds(seconds['ours']):>26}"
        f"{measure.milliseconds(seconds['theirs']):>32}{times:8.1f}{above['ours']:10.1e}{above['theirs']:10.1e}"
    )


def objective(model, X, y):
    """That of both classes."""
    residual = y - model.predict(X)
    loss = np.maximum(model.quantile * residual, (model.quantile - 1) * residual).mean()
    return loss + model.alpha * np.abs(model.coef_).sum()


if __name__ == "__main__":
    main()
