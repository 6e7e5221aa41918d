"""Training a network of one hidden layer: Newton's method against scikit-learn's solvers.

    OMP_NUM_THREADS=1 python examples/benchmarks/networks.py [--only concrete] [--hidden 10] [--seeds 5]

All minimise the same loss, half the mean squared error plus alpha / (2 n) times the squared weights, on standardised
columns and target (scikit-learn's networks need them so), from starts of their own. scikit-learn's best solver is the
one of least median final loss with up to 5,000 iterations; the figures are how soon Newton's method comes within one
percent of that, and both final losses above the least that any run reached.
"""

import statistics
from dataclasses import dataclass

import measure
import numpy as np
from problems import _boston, _concrete
from sklearn.datasets import load_diabetes, load_digits, make_friedman1
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as Theirs
from sklearn.preprocessing import StandardScaler

from sk_hessian.neural_network import MLPClassifier, MLPRegressor

ALPHA = 1e-4

#: name -> a function that reads X and y
TABLES = {
    "diabetes": lambda: load_diabetes(return_X_y=True),
    "boston": _boston,
    "concrete": _concrete,
    "friedman 2,000": lambda: make_friedman1(2_500, noise=1.0, random_state=0),
    "friedman 20,000": lambda: make_friedman1(25_000, noise=1.0, random_state=0),
}

#: scikit-learn's solvers, each with a tolerance that lets it go on
PEERS = {
    "adam": {"tol": 1e-7, "n_iter_no_change": 50},
    "sgd": {"tol": 1e-7, "n_iter_no_change": 50, "learning_rate": "adaptive", "learning_rate_init": 0.1},
    "lbfgs": {"tol": 1e-9, "max_fun": 10**6},
}

#: classifiers of raw digits, one hidden layer of 50 rectifiers: name -> a maker of networks
DIGITS = {
    "scikit-learn adam": lambda seed: TheirClassifier((50,), random_state=seed, max_iter=1000),
    "scikit-learn sgd": lambda seed: TheirClassifier((50,), solver="sgd", random_state=seed, max_iter=1000),
    "scikit-learn lbfgs": lambda seed: TheirClassifier((50,), solver="lbfgs", random_state=seed, max_iter=1000),
    "sk_hessian newton, 10": lambda seed: MLPClassifier((50,), solver="newton", random_state=seed, max_iter=10),
    "sk_hessian sgd, 50": lambda seed: MLPClassifier((50,), solver="sgd", random_state=seed, max_iter=50),
    "sk_hessian auto, 50": lambda seed: MLPClassifier((50,), random_state=seed, max_iter=50),
    "sk_hessian auto, early": lambda seed: MLPClassifier((50,), random_state=seed, early_stopping=True),
}

#: share above scikit-learn's final loss that counts as reached
_CLOSE = 0.01


@dataclass
class Training:
    """One run: final loss, R2 on rows left out, seconds, iterations, and the curve of losses and seconds."""

    loss: float
    test: float
    seconds: float
    n_iter: int
    curve: tuple = ((), ())

    def seconds_to(self, loss):
        """Seconds until the loss was reached; infinity for never."""
        there = np.flatnonzero(np.asarray(self.curve[0]) <= loss)
        return self.curve[1][there[0]] if there.size else float("inf")


def main():
    options = arguments()
    measure.begin(options)
    for name, load in TABLES.items():
        for hidden in (10, 20):
            if options.only in name and options.hidden in (0, hidden):
                report(name, hidden, split(*load()), options)
    if options.only in "digits":
        report_digits(options.seeds)


def arguments():
    parser = measure.parser(__doc__)
    parser.add_argument("--only", default="", help="tables whose name contains this")
    parser.add_argument("--hidden", type=int, default=0, help="10 or 20 units only")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=300, help="most of Newton's method")
    return parser.parse_args()


def split(X, y):
    """Standardised rows for training, a fifth for the test."""
    train, test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
    scaler, centre, unit = StandardScaler().fit(train), y_train.mean(), y_train.std()
    return scaler.transform(train), scaler.transform(test), (y_train - centre) / unit, (y_test - centre) / unit


def report(name, hidden, data, options):
    """Run everything on one table and print its figures."""
    shape = {"hidden_layer_sizes": (hidden,), "activation": "tanh", "alpha": ALPHA}
    runs = {f"scikit-learn {s}": train(theirs(s, shape), data, options.seeds) for s in PEERS}
    runs["sk_hessian newton"] = train(ours("newton", shape, options.iterations), data, options.seeds)
    best = min(run.loss for trainings in runs.values() for run in trainings)
    rows, columns = data[0].shape
    print(f"{name}, {rows:,} x {columns}, {hidden} tanh; median of {options.seeds} seeds, least loss {best:.6f}")
    for who, trainings in runs.items():
        print(f"  {who:20}" + summary(trainings, best))
    print("  " + verdict(runs), flush=True)


def report_digits(seeds):
    """Test accuracy and seconds of the classifiers, each over the same splits."""
    X, y = load_digits(return_X_y=True)
    print(f"digits, {len(y):,} x {X.shape[1]}, raw, 50 relu; median of {seeds} seeds and splits")
    for who, make in DIGITS.items():
        trainings = []
        for seed in range(seeds):
            X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed)
            start, network = measure.now(), make(seed)
            with measure.quiet():
                network.fit(X_train, y_train)
            trainings.append((network.score(X_test, y_test), measure.now() - start))
        accuracy, seconds = np.median(trainings, axis=0)
        print(f"  {who:24}test accuracy {accuracy:.3f}   {seconds:6.3f} s", flush=True)


def theirs(solver, shape):
    """A maker of scikit-learn's networks."""
    return lambda seed: Theirs(solver=solver, max_iter=5000, random_state=seed, **PEERS[solver], **shape)


def ours(solver, shape, max_iter):
    """A maker of this package's networks."""
    return lambda seed: MLPRegressor(solver=solver, max_iter=max_iter, random_state=seed, **shape)


def train(make, data, seeds):
    """A `Training` for each seed."""
    return [fit(make(seed), *data) for seed in range(seeds)]


def fit(network, X, X_test, y, y_test):
    """Fit once; seconds of iterations are shares of the whole on the chosen clock."""
    start = measure.now()
    with measure.quiet():
        network.fit(X, y)
    seconds = measure.now() - start
    curve = ()
    if hasattr(network, "history_"):
        spent = network.history_["seconds"]
        curve = network.history_["objective"], seconds * spent / spent[-1]
    return Training(loss(network, X, y), network.score(X_test, y_test), seconds, network.n_iter_, curve or ((), ()))


def loss(network, X, y):
    """The common objective, in the benchmark's own words."""
    squares = sum(np.sum(W**2) for W in network.coefs_)
    return float(np.mean((network.predict(X) - y) ** 2) / 2 + ALPHA / (2 * len(y)) * squares)


def summary(trainings, best):
    """One line of medians."""
    gap = statistics.median(run.loss for run in trainings) / best - 1
    test = statistics.median(run.test for run in trainings)
    seconds = statistics.median(run.seconds for run in trainings)
    iterations = statistics.median(run.n_iter for run in trainings)
    return f"{100 * gap:7.1f} % above the least   test R2 {test:.3f}   {seconds:8.3f} s   {iterations:6.0f} iterations"


def verdict(runs):
    """How soon Newton's method is where scikit-learn's best solver ends."""
    peers = {who: trainings for who, trainings in runs.items() if who.startswith("scikit-learn")}
    who = min(peers, key=lambda name: statistics.median(run.loss for run in peers[name]))
    goal = statistics.median(run.loss for run in peers[who])
    seconds = statistics.median(run.seconds for run in peers[who])
    reached = statistics.median(run.seconds_to((1 + _CLOSE) * goal) for run in runs["sk_hessian newton"])
    return (
        f"{who} ends after {seconds:.3f} s; newton is within 1 % of it after {reached:.3f} s: x {seconds / reached:.1f}"
    )


if __name__ == "__main__":
    main()
