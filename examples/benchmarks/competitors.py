"""Every solver for the same objective, with the ladder of settings on which it trades time for accuracy.

Left out, as its objective is another: scikit-learn's liblinear, which penalises the intercept.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn import linear_model as theirs

from sk_hessian import linear_model as ours
from sk_hessian.solvers import SOLVERS

#: iterations that no run should need; the tolerance decides, or the time limit
_MANY = 100_000

_TOLERANCES = tuple(10.0 ** -np.arange(1, 13))
_OURS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6)
_EPOCHS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000)

#: matrices of squared size above this are not asked for
_MOST_BYTES = 2e9

_NAMES = {
    "logistic": "LogisticRegression",
    "softmax": "LogisticRegression",
    "ridge": "Ridge",
    "linear": "LinearRegression",
    "huber": "HuberRegressor",
    "poisson": "PoissonRegressor",
    "gamma": "GammaRegressor",
}

#: model -> scikit-learn's iterative solvers with a tolerance, those with epochs, and those that solve once
_SCIKIT_LEARN = {
    "logistic": (("lbfgs", "newton-cg", "newton-cholesky"), ("sag", "saga"), ()),
    "softmax": (("lbfgs", "newton-cg", "newton-cholesky"), ("sag", "saga"), ()),
    "ridge": (("lsqr", "sparse_cg"), ("sag", "saga"), ("auto", "svd", "cholesky")),
    "poisson": (("lbfgs", "newton-cholesky"), (), ()),
    "gamma": (("lbfgs", "newton-cholesky"), (), ()),
}

#: scikit-learn's solver when none is asked for
DEFAULTS = {"ridge": "scikit-learn auto", "linear": "scikit-learn"}

_SQUARE = ("newton-cholesky", "irls-ls")


@dataclass(frozen=True)
class Competitor:
    """A solver and its settings, from loose to tight.

    Attributes
    ----------
    name : str
        The package, and its solver.
    make : callable
        A setting to a new estimator.
    settings : tuple
    """

    name: str
    make: Callable
    settings: tuple

    @property
    def package(self):
        return self.name.split(" ")[0]


def default_peer(model):
    """Name of scikit-learn's default solver for a model."""
    return DEFAULTS.get(model, "scikit-learn lbfgs")


def competitors(problem, X, y):
    """All competitors for a problem; ours first."""
    return [*_own(problem), *_scikit_learn(problem, X), *_intel(problem), *_glum(problem, len(y))]


def refusal(competitor, problem, X, y):
    """Why a competitor is not run at all on a problem, or an empty string."""
    size = X.shape[1] * (len(np.unique(y)) if problem.model == "softmax" else 1)
    if competitor.package != "sk_hessian" and competitor.name.endswith(_SQUARE) and 8 * size**2 > _MOST_BYTES:
        return f"needs a matrix of {8 * size**2 / 1e9:.0f} GB"
    if competitor.name == "scikit-learn svd" and not isinstance(X, np.ndarray):
        return "not for sparse data"
    return ""


def _strength(problem):
    if problem.model == "linear":
        return {}
    return {"C" if problem.model in ("logistic", "softmax") else "alpha": problem.strength}


def _own(problem):
    model, strength = getattr(ours, _NAMES[problem.model]), _strength(problem)

    def maker(solver):
        return lambda tol: model(**strength, solver=solver, tol=tol, random_state=0)

    return [Competitor(f"sk_hessian {solver}", maker(solver), _OURS) for solver in ("auto", *SOLVERS)]


def _scikit_learn(problem, X):
    model, strength = getattr(theirs, _NAMES[problem.model]), _strength(problem)
    if problem.model == "linear":
        return [Competitor("scikit-learn", lambda _: model(), (None,))]
    if problem.model == "huber":
        return [Competitor("scikit-learn lbfgs", lambda tol: model(**strength, tol=tol, max_iter=_MANY), _TOLERANCES)]
    found = []
    for solvers, settings, option in zip(_SCIKIT_LEARN[problem.model], _LADDERS, _OPTIONS, strict=True):
        found += [Competitor(f"scikit-learn {s}", _maker(model, strength, s, option), settings) for s in solvers]
    return found


_LADDERS = (_TOLERANCES, _EPOCHS, (None,))


def _by_tolerance(tol):
    return {"tol": tol, "max_iter": _MANY}


def _by_epochs(epochs):
    return {"tol": 1e-14, "max_iter": epochs, "random_state": 0}


def _at_once(_):
    return {}


_OPTIONS = (_by_tolerance, _by_epochs, _at_once)


def _maker(model, strength, solver, option):
    return lambda setting: model(**strength, solver=solver, **option(setting))


def _intel(problem):
    """The estimators of scikit-learn-intelex that compute something of their own, imported without patching."""
    try:
        from sklearnex import linear_model as intel
    except ImportError:
        return []
    strength, name = _strength(problem), _NAMES[problem.model]
    if problem.model in ("ridge", "linear"):
        return [Competitor("intelex", lambda _: getattr(intel, name)(**strength), (None,))]
    if problem.model not in ("logistic", "softmax"):
        return []
    return [Competitor("intelex lbfgs", _maker(getattr(intel, name), strength, "lbfgs", _by_tolerance), _TOLERANCES)]


def _glum(problem, n):
    """Models that glum has; its own lbfgs and iteratively reweighted least squares."""
    families = {"logistic": "binomial", "ridge": "normal", "poisson": "poisson", "gamma": "gamma"}
    try:
        import glum
    except ImportError:
        return []
    if problem.model not in families:
        return []
    fixed = {"family": families[problem.model], "alpha": problem.penalty(n), "l1_ratio": 0}
    fixed |= {"link": "log"} if problem.model == "gamma" else {}

    def maker(solver):
        return lambda tol: glum.GeneralizedLinearRegressor(
            **fixed, solver=solver, gradient_tol=tol, max_iter=_MANY, start_params=None
        )

    return [Competitor(f"glum {solver}", maker(solver), _TOLERANCES) for solver in ("irls-ls", "lbfgs")]
