"""One pass of `partial_fit` over a real table against a fit on all its rows.

    OMP_NUM_THREADS=1 python examples/benchmarks/streams.py [--batch 1000] [--peers]

Late flights from New York, 327,346 x 55, raw columns. A fifth of the rows, drawn at random, is held out; the others
come in batches, as they stand in the table (by month, so that months are columns of zeros at first) and shuffled. The
table shows the held-out log-loss, by how much it is above that of the full fit, the highest held-out log-loss after any
tenth of the rows (nothing may diverge on the way either), milliseconds per batch, and the batches by their verdict.
"""

import warnings
from collections import Counter

import measure
import numpy as np
from problems import PROBLEMS
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss

from sk_hessian.linear_model import LogisticRegression
from sk_hessian.solvers import LBFGS, SGD, Clip, Momentum, Newton

_SOLVERS = ("newton", "lbfgs", "sgd", "momentum", "clip")

#: the same with a memory of one number for each column instead of a matrix
_DIAGONAL = [kind(precondition="diagonal") for kind in (Newton, LBFGS, SGD, Momentum, Clip)]


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--batch", type=int, default=1000, help="rows of a batch")
    parser.add_argument("--peers", action="store_true", help="scikit-learn's SGDClassifier on the same columns too")
    options = parser.parse_args()
    measure.begin(options)
    train, test = split()
    full = log_loss(test[1], LogisticRegression().fit(*train).predict_proba(test[0]))
    print(f"full fit: held-out log-loss {full:.6f}")
    shuffled = np.random.default_rng(1).permutation(len(train[1]))
    for name, order in (("in order", np.arange(len(shuffled))), ("shuffled", shuffled)):
        print(f"\n{name}, batches of {options.batch:,} rows")
        print(f"{'solver':36}{'log-loss':>10}{'above':>9}{'highest':>10}{'ms/batch':>10}   verdicts")
        for label, model in models(options.peers):
            report(label, model, train[0][order], train[1][order], test, full, options.batch)


def split():
    """Training and held-out rows, both in the table's order."""
    problem = next(problem for problem in PROBLEMS if problem.name == "nycflights: logistic")
    X, y = problem.data()
    is_test = np.random.default_rng(0).random(len(y)) < 0.2
    return (X[~is_test], y[~is_test]), (X[is_test], y[is_test])


def models(peers):
    """What is compared."""
    yield from ((solver, LogisticRegression(solver=solver, random_state=0)) for solver in _SOLVERS)
    yield from ((str(solver), LogisticRegression(solver=solver, random_state=0)) for solver in _DIAGONAL)
    if peers:
        yield "scikit-learn's SGDClassifier", SGDClassifier(loss="log_loss", random_state=0)


def report(label, model, X, y, test, full, batch):
    """Print one line."""
    seconds, losses, verdicts = stream(model, X, y, test, batch)
    counts = ", ".join(f"{count} {status}" for status, count in verdicts.items())
    above = 100 * (losses[-1] / full - 1)
    print(f"{label:36}{losses[-1]:10.6f}{above:8.3f}%{max(losses):10.4f}{1000 * seconds:10.2f}   {counts}", flush=True)


def stream(model, X, y, test, batch):
    """Seconds per batch, the held-out log-loss after every tenth of the rows, and counts of verdicts."""
    starts, seconds, losses, verdicts = range(0, len(y), batch), 0.0, [], Counter()
    looks = set(np.linspace(0, len(starts) - 1, 11).astype(int)[1:])
    for index, start in enumerate(starts):
        began, part = measure.now(), slice(start, start + batch)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.partial_fit(X[part], y[part], classes=[0, 1])
        seconds += measure.now() - began
        verdicts[getattr(model, "convergence_", None) and model.convergence_.status] += 1
        if index in looks:
            losses.append(log_loss(test[1], model.predict_proba(test[0])))
    return seconds / len(starts), losses, verdicts


if __name__ == "__main__":
    main()
