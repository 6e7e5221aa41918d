"""Strengths that a fit chooses, by evidence and by leave-one-out, against one fit, cross-validation and a grid.

    OMP_NUM_THREADS=1 python examples/benchmarks/strengths.py

Dense columns are standardised. Scores are of the 30% of the rows that are held out: R2 of ridge, D2 of counts, the mean
log-loss of classes. Beside each is how far the mean loss is behind that of the best, in standard errors of that. Times
are in units of one fit with the default strength; the CV class of classes and the grid have five folds, the grid 13
strengths.
"""

import measure
import numpy as np
from problems import LOSSES, PROBLEMS, Problem, permeability, reviews
from scipy import sparse
from sklearn import linear_model as peers
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler

from sk_hessian import linear_model

_TABLES = (
    "diabetes: ridge",
    "breast cancer: logistic",
    "wine: softmax",
    "doctor visits: poisson",
    "randhie: poisson",
    "diamonds: ridge",
    "digits: softmax",
)

_OTHERS = (Problem("permeability: ridge", "ridge", permeability), Problem("reviews: logistic", "logistic", reviews))

_CLASSES = {"ridge": linear_model.Ridge, "poisson": linear_model.PoissonRegressor}
_PEERS = {"ridge": peers.Ridge, "poisson": peers.PoissonRegressor}

#: strengths of scikit-learn's `RidgeCV`, whose own are three, and of the grids
_GRID = {"ridge": np.logspace(-4, 8, 13), "poisson": np.logspace(-6, 2, 13)}
_GRID_OF_CLASSES = np.logspace(-4, 4, 13)


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--fits", type=int, default=3)
    parser.add_argument("--only", default="", help="tables whose names have this in them")
    parser.add_argument("--no-grid", action="store_true", help="leave out the grid, which takes the longest")
    options = parser.parse_args()
    measure.begin(options)
    print(f"test score; behind the best; time in units of one default fit, median of {options.fits} in turn; fits")
    for problem in (*(problem for problem in PROBLEMS if problem.name in _TABLES), *_OTHERS):
        if options.only in problem.name:
            report(problem, options.fits, not options.no_grid)


def report(problem, fits, with_grid):
    """Print one table's scores and times."""
    X, y = problem.data()
    is_class = problem.model in ("logistic", "softmax")
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y if is_class else None)
    if not sparse.issparse(X):
        scaler = StandardScaler().fit(X)
        X, X_test = scaler.transform(X), scaler.transform(X_test)
    models = contestants(problem.model, with_grid)
    with measure.quiet():
        seconds = measure.interleaved({name: lambda m=m: fitted(m, X, y) for name, m in models.items()}, fits)
        losses = {name: losses_of(problem.model, model, X_test, y_test) for name, model in models.items()}
    losses = {name: loss for name, loss in losses.items() if loss is not None}
    unit, best = measure.milliseconds(seconds["default"]), min(losses.values(), key=np.mean)
    print(f"\n{problem.name}, {X.shape[0]:,} x {X.shape[1]:,}: a default fit takes {unit} ms")
    for name, model in models.items():
        if name not in losses:
            print(f"  {name:22} refused")
            continue
        plain = getattr(model, "best_estimator_", model)
        score = losses[name].mean() if is_class else plain.score(X_test, y_test)
        errors = (losses[name].mean() - best.mean()) / (best.std() / np.sqrt(len(best)))
        path = getattr(model, "penalty_path_", None) if "CV" not in name else None
        chosen = "" if path is None else f"{path.is_fit.sum():3d} fits, {path.parameter} = {path.value:.4g}"
        ratio = measure.ratio(seconds[name], seconds["default"])
        print(f"  {name:22}{score:8.4f}{errors:6.1f} se   x {ratio:7.2f}   {chosen}".rstrip())


def fitted(model, X, y):
    """Fit; a model that refuses the table is left as it is."""
    try:
        model.fit(X, y)
    except ValueError as error:
        if "needs a matrix" not in str(error):
            raise


def losses_of(kind, model, X, y):
    """The loss of each held-out row, None for a model that is not fitted."""
    if not hasattr(model, "n_features_in_") or not (hasattr(model, "coef_") or hasattr(model, "best_estimator_")):
        return None
    if kind in ("logistic", "softmax"):
        return -np.log(model.predict_proba(X)[np.arange(len(y)), y])
    mean = model.predict(X)
    return LOSSES[kind](y, np.log(mean) if kind == "poisson" else mean)


def contestants(model, with_grid=True):
    """Estimators by name, the default fit first."""
    ours = _CLASSES.get(model, linear_model.LogisticRegression)
    parameter = "C" if ours is linear_model.LogisticRegression else "alpha"
    found = {"default": ours(), **{way: ours(**{parameter: way}) for way in ("evidence", "loo")}}
    if model == "ridge":
        found["RidgeCV"] = peers.RidgeCV(_GRID["ridge"])
    elif model != "poisson":
        found["LogisticRegressionCV"] = peers.LogisticRegressionCV(cv=5, scoring="neg_log_loss", max_iter=1000)
    if with_grid:
        theirs = _PEERS.get(model, peers.LogisticRegression)(max_iter=1000)
        scoring = {"ridge": "neg_mean_squared_error", "poisson": "neg_mean_poisson_deviance"}.get(model, "neg_log_loss")
        grid = {parameter: _GRID.get(model, _GRID_OF_CLASSES)}
        found["GridSearchCV"] = GridSearchCV(theirs, grid, cv=5, scoring=scoring)
    return found


if __name__ == "__main__":
    main()
