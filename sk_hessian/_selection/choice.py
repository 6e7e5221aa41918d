"""The strength of a linear model's penalty that evidence or leave-one-out prefer, from a few fits."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from sk_hessian._selection.evidence_curve import EvidenceCurve
from sk_hessian._selection.held_out_curve import HeldOutCurve
from sk_hessian._selection.row_space import RowSpace, is_narrowed
from sk_hessian.objectives import at_constants

#: how far beyond the curvatures of the rows strengths are searched, on the logarithm
_BEYOND = np.log(1e3)

#: curvatures of the rows below this share of the largest are no reason to search there
_LEAST_CURVATURE = 1e-9

#: shares of the penalty below this are rounding: no penalty holds the direction
_NO_SHARE = 1e-13

#: roundings of the loss up to which a constant predicts perfectly
_ROUNDINGS = 16

#: most fits on the way
_MOST_FITS = 8

#: how far the first fit's strength may be below the curvatures of most directions: the null model knows little of it
_WEAKEST_FIRST = np.log(1e3)

#: logarithms beside a fit's strength at which its curve is looked at, where that is a matter of no row
_NEAR = np.array([-3.0, -2.0, -1.3, -0.8, -0.4, -0.15, 0.0, 0.15, 0.4, 0.8, 1.3, 2.0, 3.0])

#: the same where every one of them is a loss of every row
_NEAR_OF_ROWS = np.array([-2.0, -0.6, 0.0, 0.6, 2.0])

#: strengths of a first look
_N_FIRST, _N_FIRST_OF_ROWS = 41, 13

#: scores that differ by less than this share are ties, which the stronger penalty wins
_TIE = 1e-10

#: how much stronger the next penalty is, on the logarithm, where a fit has failed
_AWAY = np.log(10)

#: log evidence that says nothing, and share of what the model gains that a further fit must promise
_NO_EVIDENCE, _NO_GAIN = 0.02, 1e-4

#: accuracy in log(strength) of a maximum in closed form
_CLOSED_FORM = 1e-10


_COLUMNS = ("logs", "score", "effective_df")


@dataclass(frozen=True)
class Scored:
    """Strengths, on the logarithm and rising, with what they are worth; of ``score`` more is better."""

    logs: np.ndarray
    score: np.ndarray
    effective_df: np.ndarray

    @property
    def best(self):
        """Index of the best; of ties that of the strongest."""
        top = self.score.max()
        return int(np.flatnonzero(self.score >= top - _TIE * abs(top))[-1])

    @property
    def at_best(self):
        """The best, and its score."""
        return float(self.logs[self.best]), float(self.score[self.best])

    @property
    def around_best(self):
        """The strengths next to the best."""
        return self.logs[max(self.best - 1, 0)], self.logs[min(self.best + 1, len(self.logs) - 1)]


@dataclass(frozen=True)
class Choice:
    """What `choose` found, strengths as factors of the objective's own, on the logarithm.

    ``seen`` are the `Scored` strengths that were looked at, and ``fitted`` those among them that have a fit.
    ``left_out`` has pairs of a strength whose fit is no optimum, and why; ``reason`` says why nothing can be judged.
    """

    log_strength: float
    theta: np.ndarray
    seen: Scored
    fitted: np.ndarray
    at_end: str
    left_out: list
    reason: str = ""


class Evidence:
    """The logarithm of the evidence as what a strength is worth."""

    accuracy = 0.25  #: of log(strength): the curve at a fit so near tells its maximum to some thousandths
    holds_constants = True  #: whether constants of the loss are taken as known
    near, n_first = _NEAR, _N_FIRST
    order = 2  #: the least power of the distance from a fit at which its curve is wrong
    reach = 1.5  #: how far another fit may be that corrects a curve

    curve = EvidenceCurve

    @staticmethod
    def enough(score, objective):
        """What a further fit must promise, beside a fit with this score."""
        return _NO_EVIDENCE

    @staticmethod
    def score(curve, log_ratios):
        """What strengths so many times e as large are worth."""
        return curve.log_evidence + curve(log_ratios)

    @staticmethod
    def refined(score, seen):
        """The best strength by a function of them, from those that were looked at, and its score."""
        options = {"xatol": _CLOSED_FORM}
        found = minimize_scalar(lambda log: -score(np.array([log]))[0], bounds=seen.around_best, options=options)
        return (found.x, -found.fun) if -found.fun > seen.score[seen.best] else seen.at_best


class LeaveOneOut:
    """Minus the mean leave-one-out loss as what a strength is worth."""

    accuracy = 0.2
    holds_constants = False
    near, n_first = _NEAR_OF_ROWS, _N_FIRST_OF_ROWS
    order, reach = 1, 1.5

    curve = HeldOutCurve

    @staticmethod
    def enough(score, objective):
        """See `Evidence.enough`: a share of what the model has gained on the null model."""
        return _NO_GAIN * max(score + objective.baseline.value, 0.0)

    @staticmethod
    def score(curve, log_ratios):
        """See `Evidence.score`."""
        return -curve.losses(log_ratios)

    @staticmethod
    def refined(score, seen):
        """The best strength by a parabola through the best that was looked at and its neighbours."""
        i = seen.best
        if not 0 < i < len(seen.logs) - 1 or not np.isfinite(seen.score[i - 1 : i + 2]).all():
            return seen.at_best
        (left, right), rise = np.diff(seen.logs[i - 1 : i + 2]), np.diff(seen.score[i - 1 : i + 2])
        slopes = rise / (left, right)
        bend = (slopes[1] - slopes[0]) / (left + right)
        if not bend < 0:
            return seen.at_best
        slope = slopes[0] + bend * left
        move = np.clip(-slope / (2 * bend), -left, right)
        return seen.logs[i] + move, seen.score[i] + move * (slope + bend * move)


CRITERIA = {"evidence": Evidence, "loo": LeaveOneOut}


def choose(objective, criterion, solve):
    """The strength of an objective's penalty that a criterion prefers, and a start for the fit with it.

    The curvature at one point gives the score of every strength in closed form: exactly for squared errors. The first
    point is the null model, and each later one the fit with the strength that was best at the point before, until it is
    the best of its own curve.

    Parameters
    ----------
    objective : GLMObjective
        Its strengths are the unit.
    criterion : {"evidence", "loo"}
    solve : callable
        ``solve(objective, start)`` is a `Result`.

    Returns
    -------
    Choice

    Raises
    ------
    ValueError
        Where no strength can be judged.
    """
    if not is_narrowed(objective):
        return _Search(objective, CRITERIA[criterion], solve).run()
    space = RowSpace(objective)
    choice = _Search(space.objective, CRITERIA[criterion], solve).run()
    return replace(choice, theta=space.theta(choice.theta))


def is_constant(objective):
    """Whether a constant predicts every target, but for rounding."""
    baseline = objective.baseline
    return baseline.value - baseline.saturated_value <= _ROUNDINGS * objective.resolution


def nothing_to_choose(log, theta):
    """The `Choice` of a strength where a constant predicts every target."""
    nothing = Scored(np.array([log]), np.array([np.nan]), np.array([np.nan]))
    return Choice(log, theta, nothing, np.array([True]), "strong", [], "a constant predicts y perfectly")


class _Search:
    """The strengths so far, on the logarithm, and their fits."""

    def __init__(self, objective, criterion, solve):
        self._objective, self._criterion, self._solve = objective, criterion, solve
        self._points: list = []  # `_Point` of each fit
        self._left_out: list = []
        self._low, self._high = -np.inf, np.inf

    def run(self):
        at, theta = typical(self._objective), self._objective.start()
        if is_constant(self._objective):
            return nothing_to_choose(at + _BEYOND, theta)
        start = self._curve_at(at, theta, is_start=True)
        self._low, self._high = _ends(start.shares, at)
        is_exact = self._objective.loss.quadratic and self._objective.convex
        grid = np.linspace(self._low, self._high, _N_FIRST if is_exact else self._criterion.n_first)
        (log, _), seen = self._best_on(start, at, grid)
        if is_exact:
            best, finer = self._best_on(start, at, np.append(log + _NEAR, log))
            return self._choice(best, theta, [seen, finer])
        log = max(log, at - _WEAKEST_FIRST)
        for _ in range(_MOST_FITS):
            following = self._follow(log, theta)
            if self._points:
                theta = self._points[-1].theta
            if self._points and self._is_settled(self._points[-1]) and self._points[-1].log == log:
                break
            log = following
        return self._result()

    def _curve_at(self, log, theta, is_start):
        objective = self._objective.with_strength(np.exp(log))
        if self._criterion.holds_constants:
            objective, theta = at_constants(objective, theta)
        return self._criterion.curve(objective, theta, is_start)

    def _best_on(self, curve, at, logs):
        """The best strength on the curve of a point ``at`` with its score, and the `Scored` that were looked at.

        A fit beside it corrects the curve: the two agree there, and no further away is the correction trusted to grow.
        """
        logs = np.unique(np.clip(logs, self._low, self._high))
        others = [point for point in self._points if 0 < abs(point.log - at) <= self._criterion.reach]
        nearest = min(others, key=lambda point: abs(point.log - at), default=None)
        order, scores = self._criterion.order, self._criterion.score
        # the strength of that fit is the last of them, because one pass over the rows serves them all
        found, gap, reach = scores(curve, np.append(logs, [nearest.log] if nearest else []) - at), 0.0, 0.0
        if nearest:
            away = nearest.log - at
            reach = abs(away)
            gap = (nearest.score - found[-1]) / away**order
            gap = gap if np.isfinite(gap) else 0.0

        def corrected(values, logs):
            return values + gap * np.clip(logs - at, -reach, reach) ** order

        seen = Scored(logs, corrected(found[: len(logs)], logs), curve.effective_df(logs - at))
        return self._criterion.refined(lambda logs: corrected(scores(curve, logs - at), logs), seen), seen

    def _follow(self, log, theta):
        """Fit with a strength; returns the one that is best on its curve, or a stronger one where the fit fails."""
        objective = self._objective.with_strength(np.exp(log))
        result = self._solve(objective, theta)
        try:
            if result.status != "optimal":
                raise ValueError(result.message)
            curve = self._curve_at(log, result.x, is_start=False)
            best, seen = self._best_on(curve, log, np.append(log + self._criterion.near, log))
            own = seen.score[np.searchsorted(seen.logs, log)]
            if not np.isfinite(own):
                raise ValueError(f"its score is {own}")
        except ValueError as error:
            self._left_out.append((log, str(error)))
            if log >= self._high or len(self._left_out) == _MOST_FITS:
                raise
            self._low = log
            return min(log + _AWAY, self._high)
        self._points.append(_Point(log, own, result.x, seen, best))
        return best[0]

    def _result(self):
        if not self._points:
            raise ValueError(self._left_out[-1][1])
        scores = np.array([point.score for point in self._points])
        best = max(self._points, key=lambda point: (point.score >= scores.max() - _TIE * abs(scores.max()), point.log))
        fits = Scored(*(np.array(v) for v in zip(*[(p.log, p.score, p.df) for p in self._points], strict=True)))
        at = best.best if self._is_settled(best) else (best.log, best.score)
        return self._choice(at, best.theta, [best.seen, fits], fits.logs)

    def _is_settled(self, point):
        """Whether the best strength on the curve of a fit is near it, or hardly better."""
        log, score = point.best
        is_near = abs(log - point.log) <= self._criterion.accuracy
        return is_near or score - point.score <= self._criterion.enough(point.score, self._objective)

    def _choice(self, best, theta, parts, fitted=()):
        """The `Choice` of a strength with its score, from `Scored` parts, the first of them that of the best point."""
        log, score = best
        df = np.interp(log, parts[0].logs, parts[0].effective_df)
        seen = _merged([*parts, Scored(np.array([log]), np.array([score]), np.array([df]))])
        return Choice(log, theta, seen, np.isin(seen.logs, [*fitted, log]), self._end(log), self._left_out)

    def _end(self, log):
        """The end of what was searched that a strength is at, or where the fits came to their end before the score."""
        edge, last = self._criterion.accuracy, self._points[-1] if self._points else None
        if log >= self._high - edge:
            return "strong"
        if log <= self._low + edge:
            return "weak"
        if last and log == last.log and not self._is_settled(last):
            return "strong" if last.best[0] > log else "weak"
        return ""


@dataclass(frozen=True)
class _Point:
    """A fit on the way."""

    log: float
    score: float
    theta: np.ndarray
    seen: Scored
    best: tuple  #: the strength that is best on its curve, and its score

    @property
    def df(self):
        """Parameters that the rows determine."""
        return self.seen.effective_df[np.searchsorted(self.seen.logs, self.log)]


def _merged(parts):
    """`Scored` strengths together; of those that occur twice the last."""
    logs, score, df = (np.concatenate([getattr(part, name) for part in parts])[::-1] for name in _COLUMNS)
    logs, first = np.unique(logs, return_index=True)
    return Scored(logs, score[first], df[first])


def typical(objective, which=True):
    """The strength at which the penalty of a typical column is as large as its curvature, on the logarithm.

    ``which`` (p,) of bool says which columns.
    """
    deviation, sizes = objective.column_units[1], objective.l2.chosen().sizes
    held = (sizes > 0) & (deviation > 0) & which
    if not held.any():
        return 0.0
    return float(np.mean(2 * np.log(deviation[held]) - np.log(sizes[held])) + np.log(objective.baseline.mean_curvature))


def _ends(shares, at):
    """The weakest and the strongest penalty to look at, from shares of the penalty in the curvature of one of them."""
    curvature = np.divide(1 - shares, shares, out=np.zeros_like(shares), where=shares > _NO_SHARE)
    some = curvature[curvature > _LEAST_CURVATURE * curvature.max(initial=0.0)]
    if not some.size:
        return at, at
    return at + np.log(some.min()) - _BEYOND, at + np.log(some.max()) + _BEYOND
