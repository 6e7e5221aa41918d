"""How often intervals contain what they are about: of coefficients, of predictions, and where the model is not true.

    OMP_NUM_THREADS=1 python examples/benchmarks/coverage.py [--datasets 500] [--rows 400] [--part penalised]

The part "predictions", of data sets of 100 rows and three columns without a penalty: the share of the true means of 20
further rows in the intervals of `prediction_table`, and of new observations of these rows in theirs. Counts have a mean
of about one. The part "robust": the share of the slope in the intervals of `coef_table`, of least squares with

- 30 rows, one of them far out, and noise whose deviation grows with the column ("HC3" and what it is compared with);
- 60 rows in 10 groups of 1 to 12 rows, which share errors, and a column that is 1 in three of them ("few groups");
- 300 rows that share errors in 20 groups of one kind and in 15 of another, and whose column does too ("two ways").

The part "penalised", of data sets of five correlated columns: the share of all slopes of all data sets whose intervals
contain:

- "sandwich": the penalised population parameters, those of the fit on a million rows with the same penalty per row.
- "false model": the same where the model is not true: noise whose deviation depends on X, two intercepts, counts of
  more variance than Poisson's.
- "laplace": parameters drawn from the prior that the penalty is, anew for each data set.
- "sandwich / true" and "laplace / true": the fixed parameters that made the data of the first column, which no interval
  is about. They are large beside the prior: shrinkage moves the estimates by about one or two standard errors.
"""

import argparse
import time

import numpy as np

from sk_hessian.inspection import coef_table, prediction_table
from sk_hessian.linear_model import GammaRegressor, LinearRegression, LogisticRegression, PoissonRegressor, Ridge

TRUE = np.array([1.0, -0.8, 0.6, 0.4, -0.4])
INTERCEPT = 0.3
LEVEL = 0.95
_POPULATION = 1_000_000


def columns(rng, n):
    """Correlated columns of one unit."""
    return rng.normal(size=(n, len(TRUE))) * 0.8 + 0.6 * rng.normal(size=(n, 1))


def linear(rng, X, beta, is_true):
    """Normal noise, with a deviation that depends on X where the model is not true."""
    noise = rng.normal(size=len(X))
    return X @ beta + INTERCEPT + noise * (1.0 if is_true else np.sqrt(0.5 + 0.5 * X[:, 0] ** 2))


def logistic(rng, X, beta, is_true):
    """Classes; one half of the rows has another intercept where the model is not true."""
    shift = 0.0 if is_true else np.where(X[:, 1] * X[:, 2] > 0, 0.7, -0.7)
    return (rng.logistic(size=len(X)) < X @ beta + INTERCEPT + shift).astype(int)


def poisson(rng, X, beta, is_true):
    """Counts, with gamma factors of variance one half where the model is not true."""
    mean = np.exp(0.5 * X @ beta + INTERCEPT)
    return rng.poisson(mean if is_true else mean * rng.gamma(2.0, 0.5, size=len(X)))


#: name -> estimator for n rows, targets, what the columns' parameters are multiplied with, prior deviation for n rows
MODELS = {
    "Ridge": (lambda share: Ridge(alpha=40.0 * share), linear, 1.0, lambda n: np.sqrt(1 / 40)),
    "LogisticRegression": (lambda share: LogisticRegression(C=0.1 / share), logistic, 1.0, lambda n: np.sqrt(0.1)),
    "PoissonRegressor": (lambda share: PoissonRegressor(alpha=0.1), poisson, 0.5, lambda n: np.sqrt(1 / (0.1 * n))),
}


def share_within(table, beta):
    """Share of the slopes that their intervals contain."""
    slopes = slice(0, len(beta))
    return np.mean((table.lower[slopes] <= beta) & (beta <= table.upper[slopes]))


def against_population(name, n_datasets, n, is_true, seed=0):
    """Shares for the penalised population parameters, and for the true ones: of the sandwich twice, and of laplace."""
    new, draw, factor, _ = MODELS[name]
    rng = np.random.default_rng(seed)
    X = columns(rng, _POPULATION)
    population = np.ravel(new(_POPULATION / n).fit(X, draw(rng, X, TRUE, is_true)).coef_)
    shares = []
    for _ in range(n_datasets):
        X = columns(rng, n)
        y = draw(rng, X, TRUE, is_true)
        model = new(1.0).fit(X, y)
        robust, bayes = (coef_table(model, X, y, cov=cov, level=LEVEL) for cov in ("sandwich", "laplace"))
        shares.append([share_within(table, beta) for table, beta in ((robust, population), (robust, factor * TRUE))])
        shares[-1].append(share_within(bayes, factor * TRUE))
    return np.mean(shares, axis=0)


def against_prior(name, n_datasets, n, seed=0):
    """Share of laplace for parameters drawn from its prior."""
    new, draw, factor, deviation = MODELS[name]
    rng, shares = np.random.default_rng(seed), []
    for _ in range(n_datasets):
        X, beta = columns(rng, n), deviation(n) * rng.normal(size=len(TRUE))
        y = draw(rng, X, beta / factor, True)
        shares.append(share_within(coef_table(new(1.0).fit(X, y), X, y, cov="laplace", level=LEVEL), beta))
    return np.mean(shares)


def identity(eta):
    """The mean of a linear model."""
    return 1 + eta


#: name -> estimator, mean from the linear predictor, and draws about a mean
PREDICTED = {
    "normal": (LinearRegression, identity, lambda rng, mean: mean + 0.5 * rng.normal(size=len(mean))),
    "Poisson": (lambda: PoissonRegressor(alpha=0), np.exp, lambda rng, mean: rng.poisson(mean)),
    "Gamma": (lambda: GammaRegressor(alpha=0), np.exp, lambda rng, mean: rng.gamma(3, mean / 3)),
}
_PREDICTION_ROWS = 100


def of_predictions(name, n_datasets, seed=0):
    """Shares of true means, and of new observations, that intervals contain."""
    new, mean_of, draw = PREDICTED[name]
    rng, shares, beta = np.random.default_rng(seed), [], np.array([0.4, -0.3, 0.2])
    for _ in range(n_datasets):
        X, X_new = rng.normal(size=(_PREDICTION_ROWS, 3)), rng.normal(size=(20, 3))
        y, mean = draw(rng, mean_of(X @ beta)), mean_of(X_new @ beta)
        model, observed = new().fit(X, y), draw(rng, mean)
        tables = [prediction_table(model, X_new, X, y, of=of, level=LEVEL) for of in ("mean", "observation")]
        pairs = zip(tables, (mean, observed), strict=True)
        shares.append([np.mean((table.lower <= value) & (value <= table.upper)) for table, value in pairs])
    return np.mean(shares, axis=0)


def far_row(rng):
    """A column, a target whose noise grows with it, and the options of each interval."""
    x = np.append(rng.normal(size=29), 4.0)
    y = x + rng.normal(size=30) * (0.5 + np.abs(x))
    return x, y, {cov: {"cov": cov} for cov in ("expected", "sandwich", "HC1", "HC2", "HC3", "CR2")}


def few_groups(rng):
    """The same of a column that is constant within groups, of which there are few, and only three where it is 1."""
    size = np.array([1, 2, 3, 4, 5, 6, 8, 9, 10, 12])
    groups = np.repeat(np.arange(10), rng.permutation(size))
    x = (groups < 3).astype(float)
    y = x + rng.normal(size=10)[groups] + rng.normal(size=60)
    options = {
        "expected": {},
        "HC1": {"cov": "HC1"},
        "sandwich": {"cov_groups": groups},
        "CR2": {"cov": "CR2", "cov_groups": groups},
    }
    return x, y, options


def two_ways(rng):
    """The same of rows in groups of two kinds, which share errors and a part of the column."""
    first, second = rng.integers(0, 20, size=300), rng.integers(0, 15, size=300)

    def shared():
        return 0.7 * rng.normal(size=20)[first] + 0.7 * rng.normal(size=15)[second] + rng.normal(size=300)

    x = shared()
    both = np.column_stack([first, second])
    options = {
        "expected": {},
        "HC1": {"cov": "HC1"},
        "one way": {"cov_groups": first},
        "two ways": {"cov_groups": both},
    }
    return x, x + shared(), options


def of_slopes(draw, n_datasets, seed=0):
    """Shares of a slope of one that intervals contain, by what they are called."""
    rng, within = np.random.default_rng(seed), []
    for _ in range(n_datasets):
        x, y, options = draw(rng)
        model = LinearRegression().fit(x[:, None], y)
        tables = [coef_table(model, x[:, None], y, level=LEVEL, **chosen) for chosen in options.values()]
        within.append([table.lower[0] <= 1 <= table.upper[0] for table in tables])
    return dict(zip(options, np.mean(within, axis=0), strict=True))


def show_penalised(n_datasets, n_rows):
    print(f"{n_datasets} data sets of {n_rows} rows, nominal {LEVEL}")
    captions = ("sandwich", "false model", "laplace", "sandwich / true", "laplace / true", "seconds")
    print(f"{'':20}" + "".join(f"{caption:>17}" for caption in captions))
    for name in MODELS:
        begin = time.perf_counter()
        own, robust, bayes = against_population(name, n_datasets, n_rows, True)
        false = against_population(name, n_datasets, n_rows, False)[0]
        prior = against_prior(name, n_datasets, n_rows)
        shares = "".join(f"{share:17.3f}" for share in (own, false, prior, robust, bayes))
        print(f"{name:20}{shares}{time.perf_counter() - begin:17.0f}", flush=True)


def show_predictions(n_datasets):
    print(f"{n_datasets} data sets of {_PREDICTION_ROWS} rows, nominal {LEVEL}\n{'':20}{'mean':>17}{'observation':>17}")
    for name in PREDICTED:
        print(f"{name:20}" + "".join(f"{share:17.3f}" for share in of_predictions(name, n_datasets)), flush=True)


def show_robust(n_datasets):
    print(f"{n_datasets} data sets, nominal {LEVEL}")
    for caption, draw in (("a far row", far_row), ("few groups", few_groups), ("groups of two kinds", two_ways)):
        shares = of_slopes(draw, n_datasets)
        print(f"{caption:20}" + "".join(f"{name:>12} {share:.3f}" for name, share in shares.items()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", type=int, default=500)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--part", choices=("penalised", "predictions", "robust"))
    options = parser.parse_args()
    if options.part in (None, "predictions"):
        show_predictions(options.datasets)
    if options.part in (None, "robust"):
        show_robust(options.datasets)
    if options.part in (None, "penalised"):
        show_penalised(options.datasets, options.rows)


if __name__ == "__main__":
    main()
