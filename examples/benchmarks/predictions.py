"""Predictions of an array of many rows and of one row, beside scikit-learn's.

OMP_NUM_THREADS=1 python examples/benchmarks/predictions.py
"""

from functools import partial

import measure
import numpy as np
from sklearn import linear_model as peers

from sk_hessian import linear_model

_COLUMNS = 30

_METHODS = (("LogisticRegression", "predict_proba"), ("LogisticRegression", "predict"), ("Ridge", "predict"))

#: rows that the models are fitted on
_FITTED = 20_000


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    measure.begin(options)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((options.rows, _COLUMNS))
    y = (X[:, 0] + rng.logistic(size=len(X)) > 0).astype(int)
    for rows, repeats in ((X, options.repeats), (X.astype(np.float32), options.repeats), (X[:1], 2000)):
        unit, factor = ("microseconds", 1000) if len(rows) == 1 else ("milliseconds", 1)
        print(f"{len(rows):,} x {_COLUMNS}, {rows.dtype}: {unit}, median [quartiles] of {repeats}")
        for name, method in _METHODS:
            models = {"sk_hessian": fitted(linear_model, name, X, y), "scikit-learn": fitted(peers, name, X, y)}
            calls = {package: partial(getattr(model, method), rows) for package, model in models.items()}
            for package, seconds in measure.interleaved(calls, repeats).items():
                times = measure.milliseconds(factor * np.array(seconds))
                print(f"  {name + '.' + method:34}{package:14}{times:>28}")
        print()


def fitted(package, name, X, y):
    """A model of a package on the first rows, float64."""
    return getattr(package, name)().fit(X[:_FITTED], y[:_FITTED])


if __name__ == "__main__":
    main()
