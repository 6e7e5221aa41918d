"""
Quickstart
==========

Raw data, five solvers: a pipeline, two grid searches, a table and a convergence plot ::

    python examples/quickstart.py
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline

from sk_hessian.linear_model import LogisticRegression
from sk_hessian.solvers import SGD, SOLVERS

RATES = (0.01, 0.1, 1.0, 10.0)
PICTURE = Path(sys.argv[0]).with_suffix(".png")


def in_a_pipeline(X, X_test, y, y_test):
    """No scaler is needed: 30 columns from 0.001 to 4000 go in as they are."""
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(X, y)
    print(f"pipeline: {model[-1].convergence_.status}, test accuracy {model.score(X_test, y_test):.3f}")


def search_solvers(X, y):
    """The solver is a parameter like any other; at the optimum all of them score the same."""
    search = GridSearchCV(LogisticRegression(), {"solver": list(SOLVERS)}, scoring="neg_log_loss").fit(X, y)
    print_search("solvers", list(SOLVERS), search)


def search_learning_rates(X, y):
    """A solver object carries its options. Twenty iterations are few: fits that do not arrive say so, counted here."""
    model = LogisticRegression(max_iter=20)
    grid = {"solver": [SGD(learning_rate=rate) for rate in RATES]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        search = GridSearchCV(model, grid, scoring="neg_log_loss").fit(X, y)
    print_search("learning rates of sgd, 20 iterations", RATES, search)
    fits = len(RATES) * search.n_splits_ + 1
    print(f"  chosen: {search.best_params_['solver']}; {len(caught)} of {fits} fits warned that they had not converged")


def print_search(title, names, search):
    """Cross-validated log loss of each candidate."""
    scores = zip(names, -search.cv_results_["mean_test_score"], strict=True)
    print(f"grid search over {title}, log loss: " + ", ".join(f"{name} {score:.4f}" for name, score in scores))


def compare(X, X_test, y, y_test):
    """Fit with each solver and print one row for each; returns the models and the best objective."""
    best = LogisticRegression(tol=1e-8).fit(X, y).convergence_.objective
    print("\nsolver    status   iterations  passes over X  seconds  objective above the best  accuracy")
    models = {}
    for name in SOLVERS:
        began = time.perf_counter()
        model = models[name] = LogisticRegression(solver=name).fit(X, y)
        seconds, verdict = time.perf_counter() - began, model.convergence_
        print(
            f"{name:<9} {verdict.status:<8} {model.n_iter_[0]:>10}  {verdict.passes:>13}  {seconds:>7.3f}"
            f"  {max(verdict.objective - best, 0):>24.1e}  {model.score(X_test, y_test):>8.3f}"
        )
    return models, best


def plot(models, best):
    """Suboptimality against passes over X, from ``history_``."""
    try:
        import matplotlib
    except ImportError:
        print("\nplot skipped: matplotlib is not installed (the plot extra installs it)")
        return
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, model in models.items():
        history = model.history_
        passes = history["evaluations"] + history["hessian_products"]
        gap = np.maximum(history["objective"] - best, 1e-16)
        # sgd and clip coincide where no gradient is large enough to be clipped: one broad, the other dashed on it
        width, line = {"sgd": (6, "-"), "clip": (2, "--")}.get(name, (2, "-"))
        axes.semilogy(passes, gap, line, linewidth=width, alpha=0.4 if name == "sgd" else 1, label=name)
    axes.set(
        xlabel="passes over X",
        ylabel="objective above the optimum",
        title="Logistic regression on raw breast cancer data, default options",
    )
    axes.grid(alpha=0.3)
    axes.legend(title="solver")
    figure.savefig(PICTURE, dpi=120)
    print(f"\nplot: {PICTURE}")


def main():
    """Run all of it."""
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    in_a_pipeline(X, X_test, y, y_test)
    search_solvers(X, y)
    search_learning_rates(X, y)
    plot(*compare(X, X_test, y, y_test))


if __name__ == "__main__":
    main()
