"""One pass over X against the bandwidth of BLAS: value and gradient, and the Hessian.

    OMP_NUM_THREADS=1 python examples/benchmarks/passes.py

A pass cannot beat reading X: ``X @ w`` and ``X.T @ r`` read it twice, a pass reads it once and has the loss to compute.
A Hessian pass cannot beat ``syrk``, the symmetric product of the same rows. All are timed in turn in one process.
"""

import measure
import numpy as np
from scipy.linalg.blas import dsyrk

from sk_hessian.objectives import BinaryCrossEntropy, GLMObjective

SHAPES = ((1_000_000, 20), (200_000, 100))

#: bytes of the blocks that `syrk` gets, within a factor of two of its best
_BLOCK_BYTES = 2**20


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=25)
    options = parser.parse_args()
    measure.begin(options)
    for n, p in SHAPES:
        report(n, p, options.repeats)


def report(n, p, repeats):
    """Print the times of one shape."""
    X, y, theta = logistic_data(n, p)
    objective = GLMObjective(X, y, BinaryCrossEntropy(), penalty=1 / n)
    print(f"{n:,} x {p}, logistic, float64: milliseconds, median [quartiles] of {repeats}")
    compare(gradient_passes(objective, X, theta), repeats, "X @ w, X.T @ r")
    compare(hessian_passes(objective, X, theta), max(5, repeats // 3), "syrk")
    print()


def logistic_data(n, p):
    """Columns, labels and parameters away from the start."""
    rng = np.random.default_rng(0)
    X, theta = rng.standard_normal((n, p)), rng.standard_normal(p + 1) / np.sqrt(p)
    return X, (X @ theta[:p] + rng.logistic(size=n) > 0).astype(float), theta


def gradient_passes(objective, X, theta):
    """What is compared for value and gradient."""

    def two_products():
        X.T @ (X @ theta[:-1])

    return {"X @ w, X.T @ r": two_products, "value_and_gradient": lambda: objective.value_and_gradient(theta)}


def hessian_passes(objective, X, theta):
    """What is compared for the Hessian."""
    return {
        "syrk": lambda: blocked_syrk(X),
        "hessian_matrix": lambda: objective.hessian_matrix(theta),
        "preconditioner full": lambda: objective.preconditioner(theta, "full"),
    }


def blocked_syrk(X):
    """The upper triangle of X'X, from blocks of rows."""
    gram = np.zeros((X.shape[1],) * 2, order="F")
    size = max(1, _BLOCK_BYTES // (8 * X.shape[1]))
    for start in range(0, len(X), size):
        gram = dsyrk(1.0, X[start : start + size].T, beta=1.0, c=gram, overwrite_c=True)
    return gram


def compare(functions, repeats, reference):
    """Time the functions in turn and print each with its ratio to the reference."""
    for function in functions.values():
        function()
    seconds = measure.interleaved(functions, repeats)
    for name, times in seconds.items():
        print(f"  {name:22}{measure.milliseconds(times):>28}   x {measure.ratio(times, seconds[reference]):.2f}")


if __name__ == "__main__":
    main()
