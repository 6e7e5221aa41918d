"""Time to a given accuracy: the same objective and data for every solver, judged by the benchmark's own formula.

    OMP_NUM_THREADS=1 python examples/benchmarks/time_to_accuracy.py [--quick] [--only diamonds] [--out FOLDER]

Every solver runs over a ladder of its own tolerances (or epochs). The benchmark evaluates the objective F of what it
returned; the figure is the least time with (F - F*) / |F*| below 1e-3, 1e-6 and 1e-8, F* the lowest F of any run.
First each ladder is climbed once, under a time limit; then the runs that may decide are repeated in turn, in rotated
order, and their medians count.
"""

import contextlib
import json
import signal
import statistics
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import measure
import report
from competitors import Competitor, competitors, default_peer, refusal
from problems import PROBLEMS

THRESHOLDS = (1e-3, 1e-6, 1e-8)

#: a run this close to the optimum ends its ladder
_CLOSE = 3e-9

#: solvers that may find the optimum beforehand, and how deep they dig
_POLISHERS = {"sk_hessian newton": 1e-8, "scikit-learn newton-cholesky": 1e-12, "scikit-learn newton-cg": 1e-10}

#: runs within this factor of the fastest peer are repeated
_CONTENDER = 3

#: seconds below which a first run is repeated at once: it may have paid for an import
_BRIEF = 0.1

#: a run may last one time limit, a ladder (or the polishing run) so many
_LADDER = 4

#: seconds too few to wait for
_LEAST = 0.01


class TimeLimitReached(BaseException):
    """Raised inside a fit by the clock."""


@dataclass
class Run:
    """One solver at one setting."""

    competitor: Competitor
    setting: float | None
    seconds: list = field(default_factory=list)
    value: float = float("inf")
    warned: list = field(default_factory=list)
    status: str = "ok"

    @property
    def name(self):
        return self.competitor.name

    @property
    def median(self):
        return statistics.median(self.seconds) if self.seconds else float("inf")

    def record(self, best):
        """A dictionary for the report."""
        known = asdict(self) | {"median": self.median, "gap": (self.value - best) / abs(best)}
        return known | {"competitor": self.name}


def main():
    options = arguments()
    env = measure.begin(options)
    records = []
    for problem in PROBLEMS:
        if options.only in problem.name and (problem.quick or not options.quick):
            records.append(solve(problem, options.limit, options.budget))
            print(report.progress(records[-1], THRESHOLDS), flush=True)
    print(report.tables(records, THRESHOLDS))
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"environment": env, "problems": records}, indent=1)
    (options.out / "time_to_accuracy.json").write_text(text)
    report.profile(records, THRESHOLDS, options.out / "time_to_accuracy.png")


def arguments():
    parser = measure.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a dozen problems in about two minutes")
    parser.add_argument("--only", default="", help="problems whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("benchmark_results"))
    parser.add_argument("--limit", type=float, help="seconds of one run (default 20; 0.8 with --quick)")
    parser.add_argument("--budget", type=float, help="seconds of repeats for a problem (default 10; 2 with --quick)")
    options = parser.parse_args()
    options.limit = options.limit or (0.8 if options.quick else 20)
    options.budget = options.budget or (2 if options.quick else 10)
    return options


def solve(problem, limit, budget):
    """All runs on one problem, as a record."""
    X, y = problem.data()
    entrants = competitors(problem, X, y)
    refused = {c.name: why for c in entrants if (why := refusal(c, problem, X, y))}
    entrants = [c for c in entrants if c.name not in refused]
    best = polish(entrants, problem, limit)
    runs = [run for entrant in entrants for run in climb(entrant, problem, best, limit)]
    best = min([best, *(run.value for run in runs)])
    repeat(contenders(runs, best, default_peer(problem.model)), problem, budget)
    return {
        "name": problem.name,
        "model": problem.model,
        "shape": X.shape,
        "best_value": best,
        "default": default_peer(problem.model),
        "refused": refused,
        "runs": [run.record(best) for run in runs],
    }


def polish(entrants, problem, limit):
    """The objective after a deep run of the first Newton method that ends in time; it does not compete."""
    for name, tol in _POLISHERS.items():
        newton = next((c for c in entrants if c.name == name), None)
        run = once(Run(newton, tol), problem, _LADDER * limit) if newton else None
        if run and run.value < float("inf"):
            return run.value
    return float("inf")


def climb(competitor, problem, best, limit):
    """The runs of one ladder, up to the time limit or a close approach to the polished optimum."""
    runs, spent = [], 0.0
    for setting in competitor.settings:
        if runs and spent + _growth(runs) * runs[-1].median > _LADDER * limit:
            runs[-1].status += ", ladder out of time"
            break
        runs.append(once(Run(competitor, setting), problem, limit))
        if runs[-1].median < _BRIEF:
            again = once(Run(competitor, setting), problem, limit)
            runs[-1].seconds = [min(runs[-1].median, again.median)]
        spent += runs[-1].median
        if runs[-1].status != "ok" or abs(runs[-1].value - best) <= _CLOSE * abs(best) < float("inf"):
            break
    return runs


def _growth(runs):
    """How much longer the next run may be: compiled loops over epochs cannot be interrupted."""
    return 3 if runs[-1].name.endswith(("sag", "saga")) else 1


def once(run, problem, limit):
    """Fit once and record time, objective, warnings and what went wrong."""
    X, y = problem.data()
    estimator = run.competitor.make(run.setting)
    start = measure.now()
    try:
        with measure.quiet() as run.warned, time_limit(limit):
            estimator.fit(X, y)
        run.seconds = [measure.now() - start]
        run.value = finite(problem.value(estimator, X, y))
    except TimeLimitReached:
        run.status = f"time limit of {limit:.3g} s"
    except Exception as error:  # a solver's failure is a result
        run.status = f"{type(error).__name__}: {str(error)[:80]}"
    return run


@contextlib.contextmanager
def time_limit(seconds):
    """Raise `TimeLimitReached` in the block after some seconds, as soon as the interpreter gets the chance.

    The seconds are the processor's, so that a busy machine changes none of the failures. They are looked up when an
    alarm rings: a timer of the processor's time (ITIMER_PROF) would make that clock itself coarse.
    """
    start = time.process_time()

    def ring(number, frame):
        left = seconds - (time.process_time() - start)
        if left < _LEAST:
            raise TimeLimitReached
        signal.setitimer(signal.ITIMER_REAL, left)

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def finite(value):
    """``value``, and infinity for nan."""
    return value if value == value else float("inf")


def contenders(runs, best, default):
    """For each threshold the two fastest runs of each solver that reach it, where they may decide the figures."""
    chosen = {}
    for threshold in THRESHOLDS:
        there = sorted((r for r in runs if r.value - best <= threshold * abs(best)), key=lambda run: run.median)
        fastest = min((r.median for r in there if r.competitor.package != "sk_hessian"), default=float("inf"))
        for name in {run.name for run in there}:
            own = [run for run in there if run.name == name][:2]
            if name in ("sk_hessian auto", default) or own[0].median <= _CONTENDER * fastest:
                chosen |= {id(run): run for run in own}
    return list(chosen.values())


def repeat(runs, problem, budget):
    """Replace the times of runs by those of several more, taken in turn."""
    X, y = problem.data()
    repeats = max(3, min(30, int(budget / max(1e-9, sum(run.median for run in runs)))))
    fits = {i: partial(run.competitor.make(run.setting).fit, X, y) for i, run in enumerate(runs)}
    with measure.quiet():
        seconds = measure.interleaved(fits, repeats)
    for i, run in enumerate(runs):
        run.seconds = seconds[i]


if __name__ == "__main__":
    main()
