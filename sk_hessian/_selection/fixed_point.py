"""Strengths of most evidence by MacKay's fixed point: of a network, and of groups of columns."""

from dataclasses import dataclass

import numpy as np

from sk_hessian._selection.choice import Choice, Scored, is_constant, nothing_to_choose, typical
from sk_hessian._selection.posterior import PosteriorModel, resolved
from sk_hessian.objectives import Linearised, at_constants

#: where the search for a network begins, in standardised units: a tanh network of 10 units for diabetes tests at R2
#: 0.04 from a start at 1, and at 0.37 from one at 5, which has 50 more of log evidence; a weak start leads to noise
_START = np.log(10)

#: most fits from one start
_MOST_FITS = 12

#: the same for groups of columns, whose strengths move each other
_MOST_FITS_OF_GROUPS = 30

#: longest step in log(strength): the fit of a network may go elsewhere
_LONGEST = np.log(30)

#: accuracy in log(strength)
_ACCURACY = 0.1

#: the same for groups of columns
_ACCURACY_OF_GROUPS = 0.02

#: strengths so far from the first ones, on the logarithm, are the ends
_END = np.log(1e7)

#: least and largest multiple of the fixed point's step that a secant may take
_SECANT = 0.5, 3.0

#: verdicts of fits that have an evidence
_JUDGED = ("optimal", "settled")


@dataclass(frozen=True)
class GroupChoice:
    """Strengths of groups, as factors of the objective's own on the logarithm, and the fit with them.

    ``at_end`` says which groups have no maximum: (n_groups,) of 1 for the strong end, -1 for the weak one, 0 for none.
    """

    logs: np.ndarray
    theta: np.ndarray
    log_evidence: float
    at_end: np.ndarray
    left_out: list


@dataclass(frozen=True)
class _Fit:
    logs: np.ndarray
    theta: np.ndarray
    evidence: float
    effective_df: float
    steps: np.ndarray  #: of the fixed point, in log(strength) of each group


def choose_decay(objective, start, solve):
    """The strength of a network's penalty with the most evidence on the way from a start, and the fit with it.

    Each fit begins at the one before, with the strength times MacKay's update: gamma, the determined penalised weights,
    over the penalty's share of the log posterior; the update of a Bayesian regularisation (Foresee & Hagan), hastened
    by a secant. The biases of hidden layers are taken as known.

    Parameters
    ----------
    objective : MLPObjective
        Its strength is the unit.
    start : ndarray of shape (n_parameters,)
    solve : callable
        ``solve(objective, start)`` is a `Result`.

    Returns
    -------
    Choice
        The evidence of its fit is the score.

    Raises
    ------
    ValueError
        Where no fit has an evidence.

    References
    ----------
    .. [1] D. MacKay, "A practical Bayesian framework for backpropagation networks", Neural Computation 4, 1992.
    .. [2] F. Foresee, M. Hagan, "Gauss-Newton approximation to Bayesian learning", ICNN 1997.
    """
    if is_constant(objective):
        return nothing_to_choose(_START, start)
    search = _Search(objective, [np.ones(objective.n_features, dtype=bool)], solve, _ACCURACY)
    fits = search.run(np.array([_START]), start, _MOST_FITS)
    best = search.best
    order = sorted({fit.logs[0]: fit for fit in fits}.values(), key=lambda fit: fit.logs[0])
    seen = Scored(*(np.array(v) for v in zip(*[(f.logs[0], f.evidence, f.effective_df) for f in order], strict=True)))
    end = {1: "strong", -1: "weak", 0: ""}[search.ends[0]]
    left_out = [(logs[0], reason) for logs, reason in search.left_out]
    return Choice(float(best.logs[0]), best.theta, seen, np.ones(len(order), dtype=bool), end, left_out)


def choose_groups(objective, groups, solve):
    """Strengths of the most evidence for groups of a linear model's columns, by the same fixed point for each.

    Parameters
    ----------
    objective : GLMObjective
        Its strengths are the unit.
    groups : list of ndarray of shape (n_features,) of bool
    solve : callable
        ``solve(objective, start)`` is a `Result`.

    Returns
    -------
    GroupChoice

    Raises
    ------
    ValueError
        Where no fit has an evidence.

    References
    ----------
    .. [1] D. MacKay, "Bayesian interpolation", Neural Computation 4, 1992.
    """
    first, theta = np.array([typical(objective, group) for group in groups]), objective.start()
    if is_constant(objective):
        return GroupChoice(first + np.log(1e3), theta, np.nan, np.ones(len(groups), dtype=int), [])
    search = _Search(objective, groups, solve, _ACCURACY_OF_GROUPS)
    search.run(first, theta, _MOST_FITS_OF_GROUPS)
    return GroupChoice(search.best.logs, search.best.theta, search.best.evidence, search.ends, search.left_out)


class _Search:
    """The fits of a search over strengths of groups, on the logarithm."""

    def __init__(self, objective, groups, solve, accuracy):
        self._objective, self._groups, self._solve, self._accuracy = objective, groups, solve, accuracy
        self.fits: list = []
        self.left_out: list = []
        self._first = np.zeros(len(groups))

    def run(self, logs, theta, most):
        """The fits from a start."""
        self._first = logs
        for _ in range(most):
            try:
                self.fits.append(self._judged(logs, theta))
            except ValueError as error:
                self.left_out.append((logs, str(error)))
                # stronger penalties, or nearer to those that have an evidence
                logs = 0.5 * (logs + self.fits[-1].logs) if self.fits else logs + 0.5 * _LONGEST
                continue
            last = self.fits[-1]
            theta, moves = last.theta, self._moves()
            logs = np.clip(last.logs + moves, self._first - _END, self._first + _END)
            if (np.abs(logs - last.logs) < self._accuracy).all() or (np.abs(last.steps) < self._accuracy).all():
                break
        if not self.fits:
            raise ValueError(self.left_out[-1][1])
        return self.fits

    @property
    def best(self):
        """The fit of most evidence, of ties the one with the strongest penalties."""
        return max(self.fits, key=lambda fit: (fit.evidence, fit.logs.sum()))

    @property
    def ends(self):
        """Which groups have no maximum: 1 at the strong end, -1 at the weak one, 0 for neither."""
        away = self.best.logs - self._first
        still = (self.best is self.fits[-1]) & (np.abs(self.best.steps) > _LONGEST / 2)
        return np.where(np.abs(away) >= _END, np.sign(away), np.where(still, np.sign(self.best.steps), 0)).astype(int)

    def _judged(self, logs, start):
        """A fit with its evidence; a ValueError where there is none."""
        objective = self._objective.with_strength(self._factor(logs))
        result = self._solve(objective, start)
        if result.status not in _JUDGED:
            raise ValueError(result.message)
        model = _posterior(objective, result.x)
        dispersion = model.dispersion("evidence")[0]
        evidence, updates = model.log_evidence(dispersion), self._updates(model, dispersion)
        if not np.isfinite(evidence):
            raise ValueError(
                f"the log evidence is {evidence}: the density of this loss has no accurate value for these y"
            )
        steps = np.log(np.clip(updates, np.exp(-_LONGEST), np.exp(_LONGEST)))
        return _Fit(logs, result.x, evidence, float(model.effective_df.sum()), steps)

    def _factor(self, logs):
        """What the strengths are multiplied with: those of all weights, or of each feature, (n_features, 1)."""
        if not self._objective.model.is_linear:
            return float(np.exp(logs[0]))
        factor = np.ones((self._objective.n_features, 1))
        for group, log in zip(self._groups, logs, strict=True):
            factor[group] = np.exp(log)
        return factor

    def _updates(self, model, dispersion):
        """MacKay's update for each group."""
        if not self._objective.model.is_linear:
            return np.array([model.fixed_point(dispersion)])
        return np.array([model.fixed_point(dispersion, group) for group in self._groups])

    def _moves(self):
        """Steps from the last fit: the fixed point's, or what a secant of the last two makes of them."""
        steps = self.fits[-1].steps
        if len(self.fits) > 1:
            before, last = self.fits[-2:]
            apart = last.logs - before.logs
            fall = np.divide(before.steps - steps, apart, out=np.zeros_like(steps), where=apart != 0)
            scale = np.divide(1.0, fall, out=np.full_like(steps, _SECANT[1]), where=fall > 0)
            steps = steps * np.where(apart != 0, np.clip(scale, *_SECANT), 1.0)
        return np.clip(steps, -_LONGEST, _LONGEST)


def _posterior(objective, theta):
    """The `PosteriorModel` of a fit, hidden biases and constants of the loss held."""
    if objective.model.is_linear:
        objective, theta = at_constants(objective, theta)
    at = Linearised(objective, theta, hidden_biases=objective.model.is_linear)
    names = objective.parameter_names(theta.size)
    return PosteriorModel(at, names, resolved(at, "full" if objective.model.is_linear else "auto"))
