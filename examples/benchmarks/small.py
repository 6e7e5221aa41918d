"""Fits of tables of a few hundred to 20,000 rows, as in a grid search: default arguments against the fastest peer.

    OMP_NUM_THREADS=1 python examples/benchmarks/small.py

The opponent is the fastest solver of scikit-learn, at its loosest tolerance, that reaches a relative suboptimality
of 1e-6 at all.
"""

import statistics

import measure
from competitors import competitors
from problems import PROBLEMS

from sk_hessian import linear_model

_TARGET = 1e-6

#: seconds after which a peer is no longer a candidate for the fastest
_HOPELESS = 0.1

_PROBLEMS = {
    "iris: softmax": linear_model.LogisticRegression,
    "wine: softmax": linear_model.LogisticRegression,
    "breast cancer: logistic": linear_model.LogisticRegression,
    "diabetes: ridge": linear_model.Ridge,
    "diabetes: linear": linear_model.LinearRegression,
    "diabetes: poisson": linear_model.PoissonRegressor,
    "credit: logistic": linear_model.LogisticRegression,
    "churn: logistic": linear_model.LogisticRegression,
    "lending: logistic": linear_model.LogisticRegression,
    "doctor visits: poisson": linear_model.PoissonRegressor,
    "randhie: poisson": linear_model.PoissonRegressor,
}


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--fits", type=int, default=300)
    options = parser.parse_args()
    measure.begin(options)
    print(f"milliseconds of a fit, median [quartiles] of {options.fits} in turn")
    for problem in PROBLEMS:
        if problem.name in _PROBLEMS:
            report(problem, options.fits)


def report(problem, fits):
    """Print one table's times."""
    X, y = problem.data()
    model = _PROBLEMS[problem.name](**({"alpha": problem.strength} if problem.model == "poisson" else {}))
    peer = fastest(problem, X, y)
    best = optimum(problem, X, y)
    with measure.quiet() as warned:
        seconds = measure.interleaved({"ours": lambda: model.fit(X, y), "peer": lambda: peer[1].fit(X, y)}, fits)
    reached = problem.value(model, X, y) / best - 1
    print(
        f"{problem.name:24} sk_hessian {measure.milliseconds(seconds['ours']):22} {peer[0]:28} "
        f"{measure.milliseconds(seconds['peer']):22} ours / peer {measure.ratio(seconds['ours'], seconds['peer']):.2f}"
        f"   reached {reached:.0e} {' '.join(warned)}"
    )


def fit(estimator, X, y):
    with measure.quiet():
        return estimator.fit(X, y)


def _opponents(problem, X, y):
    return [
        c for c in competitors(problem, X, y) if c.package == "scikit-learn" and not c.name.endswith(("sag", "saga"))
    ]


def optimum(problem, X, y):
    """The least objective, as the tightest settings of two Newton methods reach it."""
    exact = [c for c in competitors(problem, X, y) if c.name.endswith((" newton", "-cholesky", "cholesky"))]
    return min(problem.value(fit(c.make(c.settings[-1]), X, y), X, y) for c in exact)


def fastest(problem, X, y):
    """Name and estimator of the fastest opponent that reaches the target."""
    found, best = [], optimum(problem, X, y)
    for competitor in _opponents(problem, X, y):
        for setting in competitor.settings:
            estimator = competitor.make(setting)
            seconds = _time(estimator, X, y)
            if problem.value(estimator, X, y) <= best * (1 + _TARGET):
                found.append((seconds, f"{competitor.name} {setting or ''}", estimator))
            if seconds > _HOPELESS or problem.value(estimator, X, y) <= best * (1 + _TARGET):
                break
    return min(found, key=lambda item: item[0])[1:]


def _time(estimator, X, y):
    """Median of a few fits; of one where that was slow."""
    seconds = []
    while len(seconds) < 20 and sum(seconds) < _HOPELESS:
        start = measure.now()
        fit(estimator, X, y)
        seconds.append(measure.now() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
