"""The weight decay of a network that has the most evidence, by MacKay's fixed point."""

from dataclasses import dataclass

import numpy as np

from sk_hessian.objectives import Linearised
from sk_hessian.selection.choice import Choice, Scored, is_constant, nothing_to_choose
from sk_hessian.selection.posterior import PosteriorModel, resolved

#: where a search begins, in standardised units: a tanh network of 10 units for diabetes tests at R2 0.04 from a start
#: at 1, and at 0.37 from one at 5, which has 50 more of log evidence; from a weak start it goes on following noise
_START = np.log(10)

#: most fits from one start
_MOST_FITS = 12

#: longest step in log(strength): the fit of a network may go elsewhere
_LONGEST = np.log(30)

#: accuracy in log(strength)
_ACCURACY = 0.1

#: strengths beyond this and its inverse, in standardised units and beside the sum over the rows, are the ends
_END = np.log(1e8)

#: least and largest multiple of the fixed point's step that a secant may take
_SECANT = 0.5, 3.0

#: verdicts of fits that have an evidence
_JUDGED = ("optimal", "settled")


@dataclass(frozen=True)
class _Fit:
    log: float
    theta: np.ndarray
    evidence: float
    effective_df: float
    step: float  #: of the fixed point, in log(strength)


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
    fits: list = []
    left_out: list = []
    log, theta = _START, start
    for _ in range(_MOST_FITS):
        try:
            fits.append(_judged(objective.with_strength(np.exp(log)), log, theta, solve))
        except ValueError as error:
            left_out.append((log, str(error)))
            # a stronger penalty, or nearer to one that has an evidence
            log = 0.5 * (log + fits[-1].log) if fits else log + 0.5 * _LONGEST
            continue
        theta, last = fits[-1].theta, fits[-1]
        if abs(last.step) < _ACCURACY or abs(last.log) >= _END:
            break
        log = float(np.clip(last.log + _hastened(fits), -_END, _END))
    if not fits:
        raise ValueError(left_out[-1][1])
    return _best(fits, left_out)


def _judged(objective, log, start, solve):
    """A fit with its evidence; a ValueError where there is none."""
    result = solve(objective, start)
    if result.status not in _JUDGED:
        raise ValueError(result.message)
    at = Linearised(objective, result.x, hidden_biases=False)
    model = PosteriorModel(at, objective.parameter_names(result.x.size), resolved(at, "auto"))
    dispersion = model.dispersion("evidence")[0]
    evidence, update = model.log_evidence(dispersion), model.fixed_point(dispersion)
    if not np.isfinite(evidence):
        raise ValueError(f"the log evidence is {evidence}: the density of this loss has no accurate value for these y")
    step = np.log(np.clip(update, np.exp(-_LONGEST), np.exp(_LONGEST)))
    return _Fit(log, result.x, evidence, float(model.effective_df.sum()), float(step))


def _hastened(fits):
    """The step from the last fit: the fixed point's, or what a secant of the last two makes of it."""
    step = fits[-1].step
    if len(fits) > 1 and fits[-1].log != fits[-2].log:
        fall = (fits[-2].step - step) / (fits[-1].log - fits[-2].log)
        step *= np.clip(1 / fall, *_SECANT) if fall > 0 else _SECANT[1]
    return float(np.clip(step, -_LONGEST, _LONGEST))


def _best(fits, left_out):
    """The `Choice` of the fit of most evidence, of ties the strongest."""
    best = max(fits, key=lambda fit: (fit.evidence, fit.log))
    order = sorted({fit.log: fit for fit in fits}.values(), key=lambda fit: fit.log)
    seen = Scored(*(np.array(v) for v in zip(*[(f.log, f.evidence, f.effective_df) for f in order], strict=True)))
    end = ("strong" if best.log > _START else "weak") if abs(best.log) >= _END else ""
    if not end and best is fits[-1] and abs(best.step) > _LONGEST / 2:
        end = "strong" if best.step > 0 else "weak"
    return Choice(best.log, best.theta, seen, np.ones(len(order), dtype=bool), end, left_out)
