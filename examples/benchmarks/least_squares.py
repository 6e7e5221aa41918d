"""Nonlinear least squares: known problems against scipy, and whether units of parameters matter.

    OMP_NUM_THREADS=1 python examples/benchmarks/least_squares.py [--units 200]

First NIST's 27 regressions from both starts and the 1981 collection of More, Garbow and Hillstrom from its starts and
from 10 and 100 times these, with an exact Jacobian and by differences, by `Newton(hessian="gauss-newton")` and by
scipy's `lm` and `trf`. A run of NIST is solved with six digits of all parameters (in any order of terms that may be
exchanged); one of the other collection with the value of a known minimum. "wrong" is a run that says optimal away from
every stationary point.

Then random problems, each in ten random diagonal units between 1e-12 and 1e12, against the same in units of one.
"""

import sys
from pathlib import Path

import measure
import numpy as np
from scipy.optimize import least_squares

from sk_hessian.objectives import LeastSquaresObjective
from sk_hessian.solvers import Newton, minimize

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.nonlinear_problems import is_solved, is_stationary, random_problem, starts

_TIGHT = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "x_scale": "jac", "max_nfev": 5000}


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--units", type=int, default=200, help="random problems in ten units each; 0 for none")
    options = parser.parse_args()
    for collection in ("nist", "more-garbow-hillstrom"):
        cases = list(starts(collection))
        print(f"\n{collection}: {len(cases)} runs")
        print(f"{'':44}{'solved':>8}{'wrong':>8}{'evaluations: median':>22}{'mean':>8}")
        for exact in (True, False):
            for name, run in (("ours", ours), ("scipy lm", peer("lm")), ("scipy trf", peer("trf"))):
                report(f"{name}, {'exact Jacobian' if exact else 'differences'}", [(c, run(c, exact)) for c in cases])
    if options.units:
        units(options.units)


def ours(case, exact):
    """Parameters, evaluations of residuals and Jacobian, and whether the run says that this is an optimum."""
    problem, start = case.problem, case.start
    objective = LeastSquaresObjective(problem.residuals, problem.jacobian if exact else None)
    if not np.isfinite(problem.sum_of_squares(start)):
        return start, 0, False
    with np.errstate(all="ignore"):
        result = minimize(objective, start, Newton(hessian="gauss-newton"), tol=1e-10, max_iter=2000)
    return result.x, result.nfev, result.success


def peer(method):
    """The same by scipy; a run that reaches max_nfev says so."""

    def run(case, exact):
        jac = case.problem.jacobian if exact else ("3-point" if method == "trf" else "2-point")
        try:
            with np.errstate(all="ignore"):
                found = least_squares(case.problem.residuals, case.start, jac, method=method, **_TIGHT)
        except ValueError:  # residuals that are not finite at the start
            return case.start, 0, False
        return found.x, found.nfev, found.success

    return run


def report(label, runs):
    """One line of the table, and the runs that were not solved."""
    solved = [is_solved(case, x) for case, (x, _, _) in runs]
    wrong = [
        case.name
        for case, (x, _, says) in runs
        if says and not is_solved(case, x) and not is_stationary(case.problem, x)
    ]
    counts = [n for _, (_, n, _) in runs]
    print(f"{label:44}{sum(solved):8}{len(wrong):8}{np.median(counts):22.0f}{np.mean(counts):8.0f}")
    missed = [case.name for (case, _), done in zip(runs, solved, strict=True) if not done]
    print(f"    not solved: {', '.join(missed) or 'none'}; wrong: {', '.join(wrong) or 'none'}")


def units(count):
    """How often the same status, fitted values and iterations come out in other units."""
    same_status = same_values = close = total = 0
    for seed in range(count):
        residuals, start, _ = random_problem(seed)
        base = minimize(LeastSquaresObjective(residuals), start, tol=1e-8)
        rng = np.random.default_rng(seed)
        for _ in range(10):
            unit = 10.0 ** rng.uniform(-12, 12, start.size)
            other = minimize(LeastSquaresObjective(lambda q, u=unit, f=residuals: f(q * u)), start / unit, tol=1e-8)
            fitted = np.linalg.norm(residuals(other.x * unit) - residuals(base.x))
            total += 1
            same_status += other.status == base.status
            same_values += fitted <= 1e-6 * np.linalg.norm(residuals(base.x) - residuals(start))
            close += abs(other.nit - base.nit) <= 0.2 * base.nit
    print(
        f"\n{count} random problems in ten units each: same status {same_status / total:.2%}, "
        f"same fitted values {same_values / total:.2%}, iterations within 20% {close / total:.2%}"
    )


if __name__ == "__main__":
    main()
