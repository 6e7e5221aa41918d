"""Columns of categories as they are, against glum on its native categories and against columns of zeros and ones.

    OMP_NUM_THREADS=1 python examples/benchmarks/categories.py --clock cpu

Poisson counts with seven factors of 291 levels, flights by carrier, origin, destination and weekday, and a pricing
table with an exposure, from the raw frame to predictions. Fits are called in turn; seconds are the least of each.
"""

import measure
import numpy as np
import pandas as pd
from problems import _r_table
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sk_hessian.linear_model import LogisticRegression, PoissonRegressor

#: levels of the factors: 291 in all
SIZES = (12, 12, 24, 7, 53, 83, 100)

#: agreement of coefficients is looked at where both have gone on to this tolerance
TIGHT = 1e-10


def seven_factors(n=200_000):
    """A frame of seven categories, and counts."""
    rng = np.random.default_rng(0)
    codes = [rng.integers(size, size=n) for size in SIZES]
    raw = sum(0.3 * rng.standard_normal(size)[code] for size, code in zip(SIZES, codes, strict=True)) - 1
    columns = {f"f{i}": _category(code, size) for i, (code, size) in enumerate(zip(codes, SIZES, strict=True))}
    return pd.DataFrame(columns), rng.poisson(np.exp(raw)).astype(float), None


def _category(code, size):
    return pd.Categorical.from_codes(code, categories=[f"l{level:03d}" for level in range(size)])


def flights():
    """Whether a flight from New York arrived more than 15 minutes late, 327,346 rows, 131 levels and a distance."""
    frame = _r_table("nycflights13", "flights").dropna(subset=["arr_delay"])
    date = pd.to_datetime(frame[["year", "month", "day"]])
    X = frame[["carrier", "origin", "dest"]].astype("category").assign(weekday=pd.Categorical(date.dt.day_name()))
    return X.assign(distance=frame["distance"] / 1000), (frame["arr_delay"] > 15).to_numpy(float), None


def policies(n=300_000):
    """A pricing table: claims, an exposure, a region of 22 levels, a brand of 11, ages in classes."""
    rng = np.random.default_rng(1)
    X = pd.DataFrame(
        {
            "region": _category(rng.integers(22, size=n), 22),
            "brand": _category(rng.integers(11, size=n), 11),
            "driver_age": pd.cut(rng.gamma(9, 5, n) + 18, [18, 21, 26, 31, 41, 51, 71, 200]),
            "fuel": pd.Categorical(rng.choice(["diesel", "regular"], n)),
            "log_density": rng.normal(5, 1.8, n),
            "vehicle_age": rng.integers(0, 20, n).astype(float),
        }
    )
    X["driver_age"] = X["driver_age"].cat.rename_categories(str)
    exposure = rng.uniform(0.05, 1, n)
    raw = -2.5 + 0.08 * X["log_density"] + 0.4 * (X["fuel"] == "diesel") + 0.05 * X["region"].cat.codes % 3
    return X, rng.poisson(np.exp(raw) * exposure).astype(float), np.log(exposure)


def ours(model, X, y, offset, tol=1e-4, **options):
    """A fit on the raw frame."""
    kind = PoissonRegressor if model == "poisson" else LogisticRegression
    strength = {"alpha": 1e-4} if model == "poisson" else {"C": 1e4 / len(y)}
    return kind(**strength, tol=tol, **options).fit(X, y, offset=offset)


def glums(model, X, y, offset, tol=1e-4):
    """The same by glum, on its native categories."""
    import glum

    family = "poisson" if model == "poisson" else "binomial"
    fitted = glum.GeneralizedLinearRegressor(family=family, alpha=1e-4, solver="irls-ls", gradient_tol=tol)
    return fitted.fit(X, y, offset=offset)


def encoded(model, X, y, offset):
    """The same by a pipeline with scikit-learn's encoder; a fit with an offset takes it as metadata."""
    names = list(X.select_dtypes("category"))
    encode = make_column_transformer((OneHotEncoder(), names), remainder="passthrough", sparse_threshold=1.0)
    kind = PoissonRegressor(alpha=1e-4) if model == "poisson" else LogisticRegression(C=1e4 / len(y))
    pipeline = make_pipeline(encode, kind)
    return pipeline.fit(X, y, **({} if offset is None else {f"{pipeline.steps[-1][0]}__offset": offset}))


def agreement(model, X, y, offset):
    """The largest difference of a coefficient from glum's, by names."""
    mine, other = ours(model, X, y, offset, tol=1e-7), glums(model, X, y, offset, tol=TIGHT)
    by_name = dict(zip(other.feature_names_, other.coef_, strict=True))
    coef = np.ravel(mine.coef_)
    return max(abs(by_name[name] - value) for name, value in zip(mine.coef_names_, coef, strict=True))


def memory(X, y):
    """Megabytes of the codes, and of columns of zeros and ones in CSR form."""
    table = ours("poisson", X, y, None).encoding_.table(X)[0]
    n, f = len(X), X.shape[1]
    csr = sparse.csr_array((np.ones(n * f), np.zeros(n * f, np.int32), np.arange(0, n * f + 1, f, dtype=np.int32)))
    return table.cells.nbytes / 1e6, (csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes) / 1e6


TABLES = (
    ("seven factors, 200,000 rows: poisson", "poisson", seven_factors),
    ("flights: logistic", "logistic", flights),
    ("pricing, 300,000 rows: poisson with exposure", "poisson", policies),
)


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--fits", type=int, default=7)
    options = parser.parse_args()
    measure.begin(options)
    print(f"milliseconds, the least of {options.fits}; difference of coefficients from glum's at tight tolerances")
    print(f"{'':46s}{'codes':>8s}{'columns':>9s}{'glum':>8s}{'glum / codes':>14s}{'difference':>12s}")
    for name, model, load in TABLES:
        data = load()
        functions = {
            kind.__name__: (lambda kind=kind, model=model, data=data: kind(model, *data))
            for kind in (ours, encoded, glums)
        }
        seconds = {kind: min(found) for kind, found in measure.interleaved(functions, options.fits).items()}
        codes, columns, other = (1000 * seconds[kind] for kind in ("ours", "encoded", "glums"))
        difference = agreement(model, *data)
        print(f"{name:46s}{codes:8.1f}{columns:9.1f}{other:8.1f}{other / codes:14.2f}{difference:12.1e}")
    print("seven factors in memory: {:.1f} MB of codes, {:.1f} MB as columns".format(*memory(*seven_factors()[:2])))


if __name__ == "__main__":
    main()
