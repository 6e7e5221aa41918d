"""How often the intervals of `coef_table` under a penalty contain what they are about, and what they are not about.

    OMP_NUM_THREADS=1 python examples/benchmarks/coverage.py [--datasets 500] [--rows 400]

Data sets of five correlated columns; the share of all slopes of all data sets whose intervals contain:

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

from sk_hessian.inspection import coef_table
from sk_hessian.linear_model import LogisticRegression, PoissonRegressor, Ridge

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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", type=int, default=500)
    parser.add_argument("--rows", type=int, default=400)
    options = parser.parse_args()
    print(f"{options.datasets} data sets of {options.rows} rows, nominal {LEVEL}")
    captions = ("sandwich", "false model", "laplace", "sandwich / true", "laplace / true", "seconds")
    print(f"{'':20}" + "".join(f"{caption:>17}" for caption in captions))
    for name in MODELS:
        begin = time.perf_counter()
        own, robust, bayes = against_population(name, options.datasets, options.rows, True)
        false = against_population(name, options.datasets, options.rows, False)[0]
        prior = against_prior(name, options.datasets, options.rows)
        shares = "".join(f"{share:17.3f}" for share in (own, false, prior, robust, bayes))
        print(f"{name:20}{shares}{time.perf_counter() - begin:17.0f}", flush=True)


if __name__ == "__main__":
    main()
