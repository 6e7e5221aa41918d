"""Ways on from where a run would end: a Newton step, below a saddle, off a plateau."""

import numpy as np

from sk_hessian.solvers.method import Step

#: lengths tried along a direction of negative curvature, in preconditioned units
_LENGTHS = 2.0 ** -np.arange(30)


def by_newton_step(run, certificate):
    """Go on from the end of the Newton step of a certificate; whether that is no higher."""
    move = _newton_move(run, certificate)
    if move is None:
        return False
    end = run.problem.evaluate(run.point.u + move)
    if end.value > run.point.value + run.point.noise:
        return False
    if run.before is not None:
        run.announce()
    run.method.learn(run.point, end)
    run.arrive(Step(end, 1.0))
    return True


def _newton_move(run, certificate):
    """The Newton step in u, None where it has none that leads down."""
    if not np.isfinite(certificate.decrement):
        return None
    if run.problem.factor is certificate.factor:
        return -run.point.slope
    return certificate.step.theta if run.problem.is_identity else certificate.move


def below_saddle(run, downhill):
    """Go on below a saddle, along a direction of negative curvature; whether a point there is lower."""
    theta = run.point.theta
    return _from_first_lower(run, (theta + sign * length * downhill for length in _LENGTHS for sign in (1.0, -1.0)))


def off_plateau(run):
    """Go on from a lower point not seen from here, where parameters have no influence; whether there is one."""
    return _from_first_lower(run, run.point.here.probes())


def _from_first_lower(run, candidates):
    for theta in candidates:
        run.counts.evaluations += 1
        here = run.objective.at(theta)
        if here.value < run.point.value - run.point.noise:
            run.restart(here)
            return True
    return False
