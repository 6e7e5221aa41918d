"""
Silent failures
===============

Fits that go wrong without a word, beside the same fits by sk_hessian: all solvers, default options ::

    python examples/silent_failures.py [--out FOLDER]

Every figure is computed from ``coef_`` and ``intercept_`` by the formulas written here, the same for everyone.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.special import gammaln
from sklearn import linear_model as theirs
from sklearn.datasets import load_iris, make_classification
from sklearn.metrics import r2_score

from sk_hessian import linear_model as ours
from sk_hessian.solvers import SOLVERS

LOGISTIC = ("lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga")
SEEDS = 20

#: fits in the picture
LOOKS = {
    "right": {"color": "tab:blue", "marker": "o"},
    "wrong, with a warning": {"color": "tab:orange", "marker": "s"},
    "wrong and silent": {"color": "tab:red", "marker": "X"},
}

#: less of a gain than this is rounding, and drawn here
LEAST = 1e-12


def fit(model, X, y):
    """Fit; whether it warned (of anything but a coming change of the interface)."""
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        model.fit(X, y)
    return any(not issubclass(w.category, (FutureWarning, DeprecationWarning)) for w in caught)


def logistic_objective(coef, intercept, X, y):
    """Sum of losses + |coef|^2 / 2, which both LogisticRegression minimise at C=1."""
    raw = X @ np.ravel(coef) + intercept
    return np.logaddexp(0, np.where(y, -raw, raw)).sum() + np.ravel(coef) @ np.ravel(coef) / 2


def poisson_objective(coef, intercept, X, y):
    """Mean negative log likelihood + |coef|^2 / 2, which both PoissonRegressor minimise at alpha=1."""
    raw = X @ coef + intercept
    return np.mean(np.exp(raw) - y * raw + gammaln(y + 1)) + coef @ coef / 2


def ages_incomes_years(seed):
    """Three ordinary columns and a count."""
    rng = np.random.default_rng(seed)
    X = np.c_[rng.uniform(18, 90, 2000), rng.lognormal(10.5, 0.6, 2000), rng.integers(1990, 2025, 2000)]
    raw = -3 + 0.02 * X[:, 0] + 0.5 * np.log(X[:, 1] / 4e4) + 0.03 * (X[:, 2] - 2005)
    return X, rng.poisson(np.exp(raw))


def both(scikit_learn, sk_hessian, solvers):
    """Name -> a new estimator, for scikit-learn's solvers and then for the five here."""
    models = {f"scikit-learn {name}": scikit_learn(solver=name) for name in solvers}
    return models | {f"sk_hessian {name}": sk_hessian(solver=name) for name in SOLVERS}


def lost_gain(models, objective, null, X, y):
    """For each model the share of the reachable gain over the null model that it lost, and whether it warned."""
    warned = {name: fit(model, X, y) for name, model in models.items()}
    values = {name: objective(model.coef_, model.intercept_, X, y) for name, model in models.items()}
    best, worst = min(values.values()), objective(np.zeros(X.shape[1]), null, X, y)
    return {name: ((values[name] - best) / (worst - best), warned[name]) for name in models}


def ordinary_columns(title, classes, solvers, objective, target, null):
    """Count wrong and silent fits over the seeds; returns what each model lost on each, and whether it warned."""
    runs = []
    for seed in range(SEEDS):
        X, counts = ages_incomes_years(seed)
        y = target(counts)
        runs.append(lost_gain(both(*classes, solvers), objective, null(y), X, y))
    print(f"\n{title}\n{'':<30} {'gain lost, median':>17}  {'wrong':>5}  {'warned':>6}  {'wrong and silent':>16}")
    for name in runs[0]:
        lost, warned = np.array([run[name] for run in runs]).T
        wrong = lost > 0.01
        silent = (wrong & (warned == 0)).sum()
        print(f"{name:<30} {np.median(lost):>17.2g}  {wrong.sum():>5}  {int(warned.sum()):>6}  {silent:>16}")
    return {name: np.array([run[name] for run in runs]) for name in runs[0]}


def offset_and_scale():
    """Two of sixty columns have another scale or offset (scikit-learn #15583)."""
    X, y = make_classification(n_samples=100, n_features=60, random_state=0)
    X[:, 1] += 10000
    X[:, 0] *= 10000
    models = both(theirs.LogisticRegression, ours.LogisticRegression, LOGISTIC)
    models = {"scikit-learn lbfgs, max_iter=1e5": theirs.LogisticRegression(max_iter=100_000)} | models
    print(f"\n100 x 60, one column far from zero, one large\n{'':<34} {'objective':>11}  warned")
    for name, model in models.items():
        warned = fit(model, X, y)
        print(f"{name:<34} {logistic_objective(model.coef_, model.intercept_, X, y):>11.6f}  {yes(warned)}")


def large_columns():
    """A linear target without noise, on columns of standard deviation 30 and 1000."""
    print(f"\ny = sum of five columns, R2 by their scale\n{'':<34} {'30':>9}  warned  {'1000':>9}  warned")
    models = {"scikit-learn SGDRegressor": lambda: theirs.SGDRegressor(random_state=0)}
    models |= {f"sk_hessian {name}": lambda name=name: ours.LinearRegression(solver=name) for name in SOLVERS}
    for name, make in models.items():
        cells = []
        for scale in (30, 1000):
            X = np.random.default_rng(0).normal(size=(500, 5)) * scale
            model = make()
            warned = fit(model, X, X.sum(axis=1))
            cells.append(f"{r2_score(X.sum(axis=1), X @ model.coef_ + model.intercept_):>9.3g}  {yes(warned):>6}")
        print(f"{name:<34} " + "  ".join(cells))


def separable():
    """Setosa against the other irises without a penalty: no finite optimum exists."""
    X, species = load_iris(return_X_y=True)
    y = np.where(species == 0, "setosa", "other")
    print(f"\nseparable classes, no penalty: no finite optimum\n{'':<34} {'largest |coef|':>14}  warned  verdict")
    # liblinear refuses C=inf
    models = both(theirs.LogisticRegression, ours.LogisticRegression, [s for s in LOGISTIC if s != "liblinear"])
    for name, model in models.items():
        warned = fit(model.set_params(C=np.inf), X, y)
        verdict = getattr(model, "convergence_", None)
        said = f"{verdict.status}: {verdict.separation}" if verdict else ""
        print(f"{name:<34} {np.abs(model.coef_).max():>14.3g}  {yes(warned):>6}  {said}".rstrip())


def yes(flag):
    """How a table says it."""
    return "yes" if flag else "no"


def plot(folder, tables):
    """One dot for each sample: what a model lost, and whether it said so."""
    try:
        import matplotlib
    except ImportError:
        print("\npicture skipped: matplotlib is not installed (the plot extra installs it)")
        return
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(tables), figsize=(9, 4.2), sharex=True, layout="constrained")
    for axes, (title, losses) in zip(panels, tables.items(), strict=True):
        for row, (lost, warned) in enumerate(table.T for table in losses.values()):
            kinds = np.where(lost <= 0.01, "right", np.where(warned > 0, "wrong, with a warning", "wrong and silent"))
            for kind, look in LOOKS.items():
                points = np.maximum(lost[kinds == kind], LEAST)
                axes.plot(points, np.full(len(points), row), linestyle="", alpha=0.6, label=kind, **look)
        axes.axvline(0.01, color="0.5", linewidth=1, linestyle=":")
        axes.set(title=title, xscale="log", xlabel="share of the reachable gain lost", xlim=(LEAST / 3, 10))
        axes.set_yticks(range(len(losses)), losses)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=3)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "silent_failures.png"
    figure.savefig(path, dpi=100)
    print(f"\npicture: {path}")


def main():
    """Print the tables and save the picture."""
    parser = argparse.ArgumentParser(description="Fits that go wrong without a word.")
    parser.add_argument("--out", type=Path, default=Path(sys.argv[0]).parent, help="folder of the picture")
    folder, tables = parser.parse_args().out, {}
    print(f"age, income and year as they are, {SEEDS} samples of 2000 rows")
    print("wrong: more than 1% of the reachable gain over the null model is lost")
    tables["Poisson regression"] = ordinary_columns(
        "Poisson regression",
        (theirs.PoissonRegressor, ours.PoissonRegressor),
        ("lbfgs", "newton-cholesky"),
        poisson_objective,
        target=lambda counts: counts,
        null=lambda y: np.log(y.mean()),
    )
    tables["Logistic regression"] = ordinary_columns(
        "Logistic regression (liblinear also penalises the intercept)",
        (theirs.LogisticRegression, ours.LogisticRegression),
        LOGISTIC,
        logistic_objective,
        target=lambda counts: counts > 0,
        null=lambda y: np.log(y.mean() / (1 - y.mean())),
    )
    offset_and_scale()
    large_columns()
    separable()
    plot(folder, tables)


if __name__ == "__main__":
    main()
