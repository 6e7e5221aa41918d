"""Strengths that a fit chooses, by evidence and by leave-one-out, against one fit and against cross-validation.

    OMP_NUM_THREADS=1 python examples/benchmarks/strengths.py

Columns are standardised. Scores are of the 30% of the rows that are held out: R2 of ridge, D2 of counts, the mean
log-loss of classes. Times are in units of one fit with the default strength.
"""

import measure
import numpy as np
from problems import PROBLEMS
from sklearn import linear_model as peers
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sk_hessian import linear_model

_TABLES = (
    "diabetes: ridge",
    "diamonds: ridge",
    "breast cancer: logistic",
    "wine: softmax",
    "doctor visits: poisson",
    "randhie: poisson",
    "digits: softmax",
)

_CLASSES = {"ridge": linear_model.Ridge, "poisson": linear_model.PoissonRegressor}

#: strengths of scikit-learn's `RidgeCV`, whose own are three
_GRID = np.logspace(-4, 8, 13)


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--fits", type=int, default=9)
    options = parser.parse_args()
    measure.begin(options)
    print(f"test score; time in units of one default fit, median of {options.fits} in turn; fits of the search")
    for problem in PROBLEMS:
        if problem.name in _TABLES:
            report(problem, options.fits)


def report(problem, fits):
    """Print one table's scores and times."""
    X, y = problem.data()
    is_class = problem.model in ("logistic", "softmax")
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y if is_class else None)
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    models = contestants(problem.model)
    with measure.quiet():
        seconds = measure.interleaved({name: lambda m=m: m.fit(X, y) for name, m in models.items()}, fits)
    unit = measure.milliseconds(seconds["default"])
    print(f"\n{problem.name}, {len(X):,} x {X.shape[1]}: a default fit takes {unit} ms")
    for name, model in models.items():
        score = log_loss(y_test, model.predict_proba(X_test)) if is_class else model.score(X_test, y_test)
        path = getattr(model, "penalty_path_", None)
        chosen = "" if path is None else f"{path.is_fit.sum():3d} fits, {path.parameter} = {path.value:.4g}"
        ratio = measure.ratio(seconds[name], seconds["default"])
        print(f"  {name:22}{score:8.4f}   x {ratio:6.2f}   {chosen}".rstrip())


def contestants(model):
    """Estimators by name, the default fit first."""
    ours = _CLASSES.get(model, linear_model.LogisticRegression)
    parameter = "C" if ours is linear_model.LogisticRegression else "alpha"
    found = {"default": ours(), **{way: ours(**{parameter: way}) for way in ("evidence", "loo")}}
    if model == "ridge":
        found["RidgeCV"] = peers.RidgeCV(_GRID)
    elif model != "poisson":
        found["LogisticRegressionCV"] = peers.LogisticRegressionCV(cv=5, scoring="neg_log_loss", max_iter=1000)
    return found


if __name__ == "__main__":
    main()
