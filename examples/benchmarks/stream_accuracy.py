"""One pass of `partial_fit` in small batches against a fit on all rows: how often it is near, and how often it says so.

    OMP_NUM_THREADS=1 python examples/benchmarks/stream_accuracy.py [--rows 1000] [--seeds 20] [--batches 1 2 5 20]

For each loss, size of a batch, penalty and order of the rows the table shows the share of streams whose D^2 is within
0.02 of that of `fit`, the least D^2 minus that of `fit`, and how many that are further away say nothing: no warning in
the last call, and ``convergence_.status`` "optimal". The latter must be 0.
"""

import argparse
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import d2_log_loss_score

from sk_hessian.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    TweedieRegressor,
)

#: how far from the D^2 of `fit` a stream may end
NEAR = 0.02

_FEATURES = 6


def _poisson(eta, rng):
    return rng.poisson(np.exp(eta))


def _gamma(eta, rng):
    return rng.gamma(2, np.exp(eta) / 2)


def _compound(eta, rng):
    """A compound Poisson distribution: about a quarter of zeros."""
    return rng.gamma(2.0 * rng.poisson(1.5, eta.size), np.exp(eta) / 2)


def _negative_binomial(eta, rng):
    return rng.poisson(np.exp(eta) * rng.gamma(2, 0.5, eta.size))


def _binary(eta, rng):
    return (2 * eta - 1 + rng.logistic(size=eta.size) > 0).astype(int)


def _classes(eta, rng):
    return np.argmax(np.outer(2 * eta, [1, 0, -1]) + [-1, 0, 1] + rng.gumbel(size=(eta.size, 3)), axis=1)


def _heavy_tails(eta, rng):
    return eta + 0.5 * rng.standard_t(2, eta.size)


#: name -> estimators without and with a penalty, and the target of a linear predictor
LOSSES = {
    "Poisson": (PoissonRegressor(alpha=0), PoissonRegressor(alpha=0.1), _poisson),
    "Gamma": (GammaRegressor(alpha=0), GammaRegressor(alpha=0.1), _gamma),
    "Tweedie 1.5": (TweedieRegressor(power=1.5, alpha=0), TweedieRegressor(power=1.5, alpha=0.1), _compound),
    "negative binomial": (
        NegativeBinomialRegressor(theta=2.0, alpha=0),
        NegativeBinomialRegressor(theta=2.0, alpha=0.1),
        _negative_binomial,
    ),
    "logistic": (LogisticRegression(C=np.inf), LogisticRegression(C=0.1), _binary),
    "softmax": (LogisticRegression(C=np.inf), LogisticRegression(C=0.1), _classes),
    "Huber": (HuberRegressor(alpha=0), HuberRegressor(alpha=10.0), _heavy_tails),
}


@dataclass(frozen=True)
class Stream:
    """How one stream ended.

    Attributes
    ----------
    short : float
        D^2 of `fit` minus that of the stream.
    is_silent : bool
        Whether the last call ended without a warning, "optimal".
    """

    short: float
    is_silent: bool

    @property
    def is_near(self):
        """Whether it is as good as `fit`, or nearly."""
        return self.short <= NEAR


def rows_of(loss, seed, n_rows, order):
    """X, y and weights; ``order`` is "shuffled", "by y" or "by x"."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, _FEATURES))
    y = LOSSES[loss][2](0.3 * X[:, 0] - 0.2 * X[:, 1] + 0.5, rng)
    weight = rng.uniform(0.5, 2, n_rows) if seed % 2 else None
    by = {"shuffled": np.arange(n_rows), "by y": y, "by x": X[:, 0]}[order]
    rows = np.argsort(by, kind="stable")
    return X[rows], y[rows], None if weight is None else weight[rows]


def explained(model, X, y, weight):
    """D^2 of the model on these rows: the share of the null model's deviance, or of its Huber loss."""
    if isinstance(model, LogisticRegression):
        return d2_log_loss_score(y, model.predict_proba(X), sample_weight=weight, labels=model.classes_)
    if hasattr(model, "d2_score"):
        return model.d2_score(X, y, sample_weight=weight)
    null = HuberRegressor(alpha=1.0).fit(np.zeros_like(X), y, sample_weight=weight)
    losses = [_objective(of, X, y, weight) for of in (model, null)]
    return 1 - losses[0] / losses[1]


def _objective(model, X, y, weight):
    objective, theta = model.set_params(alpha=0).fitted_objective(X, y, weight)
    return objective.value_and_gradient(theta)[0]


def run(loss, has_penalty, batch, seed, order, n_rows):
    """One stream.

    Returns
    -------
    Stream
    """
    X, y, weight = rows_of(loss, seed, n_rows, order)
    reference = clone(LOSSES[loss][has_penalty]).fit(X, y, sample_weight=weight)
    model, options, first = clone(LOSSES[loss][has_penalty]), {}, batch
    if isinstance(model, LogisticRegression):
        options["classes"] = np.unique(y)
    if isinstance(model, HuberRegressor):  # whose first rows must have targets that differ
        first = max(batch, 2)
    for start, end in zip([0, *range(first, n_rows, batch)], [*range(first, n_rows, batch), n_rows], strict=True):
        weights = None if weight is None else weight[start:end]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.partial_fit(X[start:end], y[start:end], sample_weight=weights, **options)
    with np.errstate(over="ignore", invalid="ignore"):
        short = explained(reference, X, y, weight) - explained(model, X, y, weight)
    is_silent = not caught and model.convergence_.status == "optimal"
    return Stream(short if np.isfinite(short) else np.inf, is_silent)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="rows of a stream")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 5, 20])
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument(
        "--orders", nargs="+", choices=("shuffled", "by y", "by x"), default=["shuffled", "by y", "by x"]
    )
    options = parser.parse_args()
    print(f"{options.rows:,} rows, {options.seeds} seeds, those of odd number with weights")
    print(f"{'loss':20}{'penalty':>8}{'order':>10}{'batch':>7}{'near':>8}{'worst':>12}{'warn':>7}{'silent':>8}")
    every = []
    for loss in options.losses:
        for has_penalty in (False, True):
            for order in options.orders:
                for batch in options.batches:
                    streams = [
                        run(loss, has_penalty, batch, seed, order, options.rows) for seed in range(options.seeds)
                    ]
                    every += streams
                    label = f"{loss:20}{'yes' if has_penalty else 'no':>8}{order:>10}{batch:>7}"
                    print(label + _figures(streams), flush=True)
    print(f"{'all':45}" + _figures(every))


def _figures(streams):
    near, worst = np.mean([of.is_near for of in streams]), max(of.short for of in streams)
    told = np.mean([not of.is_silent for of in streams])
    silent = sum(of.is_silent and not of.is_near for of in streams)
    return f"{near:8.0%}{-worst:12.3g}{told:7.0%}{silent:8}"


if __name__ == "__main__":
    main()
