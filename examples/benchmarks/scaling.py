"""Time of a default fit against rows, columns, classes and density: a table and the slope on log-log axes.

    OMP_NUM_THREADS=1 python examples/benchmarks/scaling.py [--quick]

A slope of 1 is proportional growth. Columns: a Hessian costs their square for each row, a gradient is linear.
"""

from functools import partial

import measure
import numpy as np
from problems import gaussian
from scipy import sparse

from sk_hessian.linear_model import LogisticRegression


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    options = parser.parse_args()
    measure.begin(options)
    share = 10 if options.quick else 1
    for title, cases in families(share).items():
        report(title, cases, options.repeats)


def families(share):
    """Title -> size -> X and y."""
    rows = np.geomspace(20_000, 1_000_000, 5).astype(int) // share
    n = 50_000 // share
    X, y = gaussian(rows[-1], 20)
    return {
        "rows, 20 columns": {int(size): (X[:size], y[:size]) for size in rows},
        f"columns, {n:,} rows": {p: gaussian(n, p) for p in (25, 50, 100, 200, 400)},
        f"classes, {n:,} rows x 20 columns": {k: gaussian(n, 20, classes=k) for k in (3, 6, 12, 24)},
        f"density, sparse {n:,} rows x 1,000 columns": {d: thinned(n, 1_000, d) for d in (0.002, 0.008, 0.032)},
    }


def thinned(n, p, density):
    """Sparse normal columns, with labels of a linear model."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((n, p), density=density, rng=rng, format="csr", data_sampler=rng.standard_normal)
    raw = X @ rng.standard_normal(p)
    return sparse.csr_matrix(X), (2 * raw / raw.std() + rng.logistic(size=n) > 0).astype(float)


def report(title, cases, repeats):
    """Print the times of one family and their slope."""
    models = {size: LogisticRegression() for size in cases}
    fits = {size: partial(models[size].fit, *data) for size, data in cases.items()}
    with measure.quiet():
        seconds = measure.interleaved(fits, repeats)
    print(f"time against {title}: milliseconds, median [quartiles] of {repeats}")
    for size, model in models.items():
        verdict = model.convergence_
        print(
            f"  {size:>12,}{measure.milliseconds(seconds[size]):>32}   {verdict.status}, "
            f"{model.n_iter_[0]} iterations of {type(model.solver_).__name__}"
        )
    medians = [np.median(seconds[size]) for size in cases]
    print(f"  slope {np.polyfit(np.log(list(cases)), np.log(medians), 1)[0]:.2f}\n", flush=True)


if __name__ == "__main__":
    main()
