"""The strength of a linear model's penalty that evidence or leave-one-out prefer, from a few fits."""

from dataclasses import dataclass, replace

import numpy as np

from sk_hessian._selection.evidence_curve import EvidenceCurve
from sk_hessian._selection.held_out_curve import HeldOutCurve
from sk_hessian._selection.narrowed import Narrowed, is_narrowed
from sk_hessian._selection.products_curve import HeldOutByProducts
from sk_hessian.objectives import at_constants

#: how far beyond the curvatures of the rows strengths are searched, on the logarithm
_BEYOND = np.log(1e3)

#: curvatures of the rows below this share of the largest are no reason to search there
_LEAST_CURVATURE = 1e-9

#: shares of the penalty below this are rounding: no penalty holds the direction
_NO_SHARE = 1e-13

#: roundings of the loss up to which a constant predicts perfectly
_ROUNDINGS = 16

#: how far another fit is, on the logarithm, that corrects a curve. What the evidence lacks is nearly a square of the
#: distance: of digits -23 times that from 0.4 to 2
_REACH = 0.25, 3.0

#: most fits on the way
_MOST_FITS = 8

#: how far the first fit's strength may be below the curvatures of most directions: the null model knows little of it
_WEAKEST_FIRST = np.log(100)

#: logarithms beside a fit's strength at which its curve is looked at, where that is a matter of no row
_NEAR = np.array([-3.0, -2.0, -1.3, -0.8, -0.4, -0.15, 0.0, 0.15, 0.4, 0.8, 1.3, 2.0, 3.0])

#: the same where every one of them is a loss of every row
_NEAR_OF_ROWS = np.array([-2.0, -1.0, -0.4, 0.0, 0.4, 1.0, 2.0])

#: strengths of a first look
_N_FIRST, _N_FIRST_OF_ROWS = 41, 13

#: scores that differ by less than this share are ties, which the stronger penalty wins
_TIE = 1e-10

#: curves that are taken before the first fit, while they move its strength by more than so much
_UNFITTED, _UNFITTED_FAR = 2, 0.5

#: columns, or rows if these are fewer, up to which leave-one-out has a matrix of them: 1,500 reviews of 13,211 words
#: take 3.3 s by one and 0.1 s by products
_MOST_COLUMNS = 500

#: how much stronger the next penalty is, on the logarithm, where a fit has failed
_AWAY = np.log(10)

#: log evidence that says nothing, and share of what the model gains that a further fit must promise
_NO_EVIDENCE, _NO_GAIN = 0.02, 1e-3

#: how fine the strengths are whose parabola tells a maximum in closed form, beside those of a fit on the way
_FINER = 0.1

#: how often: the accuracy in log(strength) is then that of the score's digits
_ROUNDS, _ROUNDS_OF_ROWS = 3, 2


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
    def at_peak(self):
        """The same of a parabola through the best and its neighbours."""
        i = self.best
        if not 0 < i < len(self.logs) - 1 or not np.isfinite(self.score[i - 1 : i + 2]).all():
            return self.at_best
        (left, right), rise = np.diff(self.logs[i - 1 : i + 2]), np.diff(self.score[i - 1 : i + 2])
        slopes = rise / (left, right)
        bend = (slopes[1] - slopes[0]) / (left + right)
        if not bend < 0:
            return self.at_best
        slope = slopes[0] + bend * left
        move = float(np.clip(-slope / (2 * bend), -left, right))
        return float(self.logs[i]) + move, float(self.score[i] + move * (slope + bend * move))


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
    is_closed = True  #: whether the curve of a quadratic objective holds far from its point
    near, n_first, rounds = _NEAR, _N_FIRST, _ROUNDS

    curve: type = EvidenceCurve

    @staticmethod
    def enough(score, objective):
        """What a further fit must promise, beside a fit with this score."""
        return _NO_EVIDENCE


class LeaveOneOut:
    """Minus the mean leave-one-out loss as what a strength is worth."""

    accuracy = 0.2
    holds_constants, is_closed = False, True
    near, n_first, rounds = _NEAR_OF_ROWS, _N_FIRST_OF_ROWS, _ROUNDS_OF_ROWS

    curve: type = HeldOutCurve

    @staticmethod
    def enough(score, objective):
        """See `Evidence.enough`: a share of what the model has gained on the null model."""
        return _NO_GAIN * max(score + objective.baseline.value, 0.0)


class LeaveOneOutByProducts(LeaveOneOut):
    """The same where a matrix of the columns would cost too much."""

    holds_constants, is_closed = True, False
    curve: type = HeldOutByProducts


CRITERIA = {"evidence": Evidence, "loo": LeaveOneOut}


def is_by_products(objective, criterion):
    """Whether a criterion is judged by products with the rows alone, however many columns and rows there are."""
    # a row without curvature, as of Huber's loss, has no working response
    is_working = objective.loss.is_smooth and objective.loss.n_outputs == 1
    if criterion != "loo" or not (is_working and objective.rows.in_memory and objective.l2.holds_each):
        return False
    return min(objective.n_features, objective.n_rows) > _MOST_COLUMNS


def choose(objective, criterion, solve, tol):
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
        ``solve(objective, start, tol=tol)`` is a `Result`.
    tol : float
        Of fits on the way: the curve there takes along what is left, to second order.

    Returns
    -------
    Choice

    Raises
    ------
    ValueError
        Where no strength can be judged.
    """
    by_products = is_by_products(objective, criterion)
    space = Narrowed(objective) if is_narrowed(objective) and not by_products else None
    search = _Search(
        objective if space is None else space.objective,
        LeaveOneOutByProducts if by_products else CRITERIA[criterion],
        solve,
        tol,
    )
    # where a curve leads, the objective may be infinite
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        choice = search.run()
    return choice if space is None else replace(choice, theta=space.theta(choice.theta))


def is_constant(objective):
    """Whether a constant predicts every target, but for rounding."""
    baseline, rows = objective.baseline, objective.rows
    # a loss with a scale of its own has no least value then
    if objective.loss.n_constants and rows.in_memory and rows.offset is None and np.ptp(rows.y) == 0:
        return True
    return baseline.value - baseline.saturated_value <= _ROUNDINGS * objective.resolution


def nothing_to_choose(log, theta):
    """The `Choice` of a strength where a constant predicts every target."""
    nothing = Scored(np.array([log]), np.array([np.nan]), np.array([np.nan]))
    return Choice(log, theta, nothing, np.array([True]), "strong", [], "a constant predicts y perfectly")


class _Search:
    """The strengths so far, on the logarithm, and their fits."""

    def __init__(self, objective, criterion, solve, tol):
        self._objective, self._criterion, self._solve, self._tol = objective, criterion, solve, tol
        self._points: list = []  # `_Point` of each fit
        self._left_out: list = []
        self._low, self._high = -np.inf, np.inf
        self._latest: tuple = ()  # curve, and its strength

    def run(self):
        at, theta = typical(self._objective), self._objective.start()
        if is_constant(self._objective):
            return nothing_to_choose(at + _BEYOND, theta)
        start = self._curve_at(self._strengthened(at), theta, is_start=True)
        self._low, self._high = _ends(start.shares, at)
        is_exact = self._criterion.is_closed and self._objective.loss.quadratic and self._objective.convex
        grid = np.linspace(self._low, self._high, self._criterion.n_first)
        (log, _), seen = self._best_on(start, at, grid)
        if is_exact:
            return self._in_closed_form(start, at, log, seen)
        self._latest, log = (start, at), max(log, at - _WEAKEST_FIRST)
        log = self._without_fits(log)
        for _ in range(_MOST_FITS):
            following = self._follow(log)
            if self._points and self._is_settled(self._points[-1]) and self._points[-1].log == log:
                break
            log = following
        return self._result()

    def _without_fits(self, log):
        """A better first strength, from curves at points to which those before lead, none of them a fit.

        That is the "performance iteration" of C. Gu, "Cross-validating non-Gaussian data", 1992.
        """
        theta = self._objective.start()
        for _ in range(_UNFITTED):
            objective = self._strengthened(log)
            start = self._optimum(log, theta)
            if not objective.at(start).value < objective.at(theta).value:
                break
            curve = self._curve_if_any(objective, start, is_start=True)
            if curve is None:
                break
            self._latest, theta = (curve, log), start
            (best, _), _ = self._best_on(curve, log, log + self._criterion.near)
            log, before = best, log
            if abs(log - before) < _UNFITTED_FAR:
                break
        return log

    def _in_closed_form(self, curve, at, log, seen):
        """The `Choice` where the curve of one point is that of all fits."""
        parts, near = [seen], self._criterion.near
        for _ in range(self._criterion.rounds):
            best, finer = self._best_on(curve, at, log + near)
            parts.insert(0, finer)
            log, near = best[0], _FINER * near
        return self._choice(best, curve.optimum(log - at), parts)

    def _strengthened(self, log):
        return self._objective.with_strength(np.exp(log))

    def _curve_at(self, objective, theta, is_start=False):
        if self._criterion.holds_constants:
            objective, theta = at_constants(objective, theta)
        return self._criterion.curve(objective, theta, is_start)

    def _curve_if_any(self, objective, theta, is_start=False):
        """The curve at a point that is no fit, None where it has none: a fit may."""
        try:
            return self._curve_at(objective, theta, is_start)
        except ValueError:
            return None

    def _best_on(self, curve, at, logs):
        """The best strength on the curve of a point ``at`` with its score, and the `Scored` that were looked at.

        Other fits correct the curve, which then agrees with all of them that are near.
        """
        logs = np.unique(np.clip(logs, self._low, self._high))
        others = sorted((p.log - at, p.score) for p in self._points if _REACH[0] < abs(p.log - at) <= _REACH[1])
        away, known = np.array(others).reshape(-1, 2).T
        found = curve.score(np.append(logs - at, away))
        score, missing = found[: len(logs)], (known - found[len(logs) :]) / away**2
        is_known = np.isfinite(missing)
        if is_known.any():
            score = score + np.interp(logs - at, away[is_known], missing[is_known]) * (logs - at) ** 2
        seen = Scored(logs, score, curve.effective_df(logs - at))
        return seen.at_peak, seen

    def _follow(self, log):
        """Go to the fit with a strength; returns the next one, which is a stronger one where the fit fails."""
        try:
            theta, curve = self._fit(log)
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
        self._latest = curve, log
        self._points.append(_Point(log, own, theta, seen, best, self._optimum(best[0], theta)))
        return best[0]

    def _optimum(self, log, theta):
        """The parameters of a strength as far as the latest curve tells, with the loss's constants of ``theta``."""
        curve, at = self._latest
        weights = curve.optimum(log - at)
        return np.append(weights, theta[len(weights) :])

    def _fit(self, log):
        """The fit with a strength, and its curve: where the curve before leads so near that the own is good, no run."""
        objective = self._strengthened(log)
        theta = self._points[-1].theta if self._points else objective.start()
        curve, at = self._latest
        start = self._optimum(log, theta)
        here = objective.at(start)
        if not here.value < np.inf:
            start = theta
        elif curve.decrement(here, log - at) <= self._enough(here):
            curve = self._curve_if_any(objective, start)
            if curve is not None and curve.decrement(here, 0.0) <= self._enough(here):
                return start, curve
        result = self._solve(objective, start, tol=self._tol)
        if result.status != "optimal":
            raise ValueError(result.message)
        return result.x, self._curve_at(objective, result.x)

    def _enough(self, here):
        """The decrement of a fit on the way."""
        return min(self._tol**2 * here.objective.scale, here.likelihood_tolerance(self._tol))

    def _result(self):
        if not self._points:
            raise ValueError(self._left_out[-1][1])
        scores = np.array([point.score for point in self._points])
        best = max(self._points, key=lambda point: (point.score >= scores.max() - _TIE * abs(scores.max()), point.log))
        fits = Scored(*(np.array(v) for v in zip(*[(p.log, p.score, p.df) for p in self._points], strict=True)))
        at, theta = (best.best, best.ahead) if self._is_settled(best) else ((best.log, best.score), best.theta)
        return self._choice(at, theta, [best.seen, fits], fits.logs)

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
    ahead: np.ndarray  #: the optimum of that strength, as far as the curve tells

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
