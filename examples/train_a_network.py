"""
Train a network
===============

Train small networks on real tables: five solvers from the same start, and a fitted curve ::

    python examples/train_a_network.py [--out FOLDER]

No column is scaled by hand. The loss of every iteration is in ``history_``; ``verbose=10`` prints every tenth as it
goes.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as TheirClassifier

from sk_hessian.linear_model import LinearRegression
from sk_hessian.neural_network import MLPClassifier, MLPRegressor

FIRST_ORDER, SECOND_ORDER = ("sgd", "momentum", "clip"), ("newton", "lbfgs")
SOLVERS = FIRST_ORDER + SECOND_ORDER

#: iterations at which the loss is printed
MARKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

#: the penalty adds to half the squared error, which is in thousands here; ten units on few rows overfit without it
DIABETES = {"hidden_layer_sizes": (10,), "activation": "tanh", "alpha": 1000.0, "max_iter": 5000, "random_state": 0}
DIGITS = {"hidden_layer_sizes": (50,), "activation": "tanh", "alpha": 1.0, "max_iter": 200, "random_state": 0}
CURVE = {"hidden_layer_sizes": (5,), "activation": "tanh", "alpha": 100.0, "random_state": 0}

#: epochs after which the curve of the first-order solver is drawn
EPOCHS = (2, 20)


def fit(model, X, y):
    """Seconds of a fit. One that does not arrive warns; here its status in the tables says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        began = time.perf_counter()
        model.fit(X, y)
    return time.perf_counter() - began


def fit_all(models, X, y):
    """Fit each model; name -> seconds."""
    return {name: fit(model, X, y) for name, model in models.items()}


# -- regression ----------------------------------------------------------------------------------------------------


def diabetes():
    """Progression of the disease a year on, from ten measurements in their own units; returns the fitted models."""
    X, X_test, y, y_test = train_test_split(*load_diabetes(return_X_y=True, scaled=False), random_state=0)
    models = {name: MLPRegressor(solver=name, **DIABETES) for name in SOLVERS}
    seconds = fit_all(models, X, y)
    print(f"diabetes, {len(y)} rows to train, one hidden layer of {DIABETES['hidden_layer_sizes'][0]}")
    print("training loss, penalty included")
    print_losses({name: model.history_["objective"] for name, model in models.items()})
    print("\nsolver    status    iterations  seconds  training loss  test R2")
    for name, model in models.items():
        print(
            f"{name:<9} {model.convergence_.status:<9} {model.n_iter_:>10}  {seconds[name]:>7.2f}"
            f"  {model.loss_:>13.1f}  {model.score(X_test, y_test):>7.3f}"
        )
    print(f"test R2 of a linear model, for comparison: {LinearRegression().fit(X, y).score(X_test, y_test):.3f}")
    return models


def print_losses(losses):
    """One row for each mark, one column for each solver, empty once it has ended."""
    print(f"{'':>9} | {'first order':<{10 * len(FIRST_ORDER)}} | second order")
    print(table_row("iteration", dict(zip(SOLVERS, SOLVERS, strict=True))))
    longest = max(map(len, losses.values()))
    for mark in (mark for mark in MARKS if mark < longest):
        print(table_row(mark, {name: f"{loss[mark]:.1f}" if mark < len(loss) else "" for name, loss in losses.items()}))


def table_row(head, cells):
    """First-order solvers to the left, second-order ones to the right."""
    groups = ("".join(f"{cells[name]:>10}" for name in names) for names in (FIRST_ORDER, SECOND_ORDER))
    return " | ".join((f"{head:>9}", *groups)).rstrip()


# -- classification ------------------------------------------------------------------------------------------------


def digits():
    """Handwritten digits from the brightness of 64 pixels, beside scikit-learn's network of the same shape."""
    X, X_test, y, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
    models = {name: MLPClassifier(solver=name, **DIGITS) for name in SOLVERS}
    models |= {f"scikit-learn {name}": TheirClassifier(solver=name, **DIGITS) for name in ("adam", "lbfgs")}
    seconds = fit_all(models, X, y)
    print(f"\ndigits, {len(y)} rows to train, one hidden layer of {DIGITS['hidden_layer_sizes'][0]}")
    print("solver              status    iterations  seconds  test accuracy")
    for name, model in models.items():
        print(
            f"{name:<19} {status(model):<9} {model.n_iter_:>10}  {seconds[name]:>7.2f}"
            f"  {model.score(X_test, y_test):>13.3f}"
        )


def status(model):
    """The verdict; scikit-learn has none, only whether it used up its iterations."""
    if hasattr(model, "convergence_"):
        return model.convergence_.status
    return "max_iter" if model.n_iter_ >= model.max_iter else "stopped"


# -- a curve -------------------------------------------------------------------------------------------------------


def curve():
    """Progression from the body mass index alone: few epochs of first order against Newton to the end.

    The penalty counts squared weights in their own units: the height of a step costs much, its steepness little.
    """
    data = load_diabetes(scaled=False)
    bmi = data.data[:, [data.feature_names.index("bmi")]]
    X, X_test, y, y_test = train_test_split(bmi, data.target, random_state=0)
    models = {f"sgd, {epochs} epochs": MLPRegressor(solver="sgd", max_iter=epochs, **CURVE) for epochs in EPOCHS}
    models["newton, to the end"] = MLPRegressor(solver="newton", max_iter=5000, **CURVE)
    seconds = fit_all(models, X, y)
    print(f"\ndiabetes from the body mass index alone, one hidden layer of {CURVE['hidden_layer_sizes'][0]}")
    print("fit                  status    seconds  training loss  training R2  test R2")
    for name, model in models.items():
        print(
            f"{name:<20} {status(model):<9} {seconds[name]:>7.3f}  {model.loss_:>13.1f}"
            f"  {model.score(X, y):>11.3f}  {model.score(X_test, y_test):>7.3f}"
        )
    return X, y, models


# -- pictures ------------------------------------------------------------------------------------------------------


def load_pyplot():
    """Matplotlib's pyplot for files, or None."""
    try:
        import matplotlib
    except ImportError:
        print("\npictures skipped: matplotlib is not installed (the plot extra installs it)")
        return None
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    return plt


def plot_losses(plt, models):
    """The loss above the least that any solver reached, against seconds and against iterations."""
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.8), sharey=True, layout="constrained")
    least = min(model.history_["objective"].min() for model in models.values())
    above = {name: model.history_["objective"] - least for name, model in models.items()}
    for name, model in models.items():
        line = {"linestyle": "--" if name in FIRST_ORDER else "-", "linewidth": 2, "label": name}
        for axes, column in zip(panels, ("seconds", "iteration"), strict=True):
            axes.plot(model.history_[column], above[name], **line)
            axes.grid(visible=True, alpha=0.3)
    top = max(map(np.max, above.values()))
    panels[0].set(xlabel="seconds", ylabel="training loss above the least reached", xscale="log", yscale="log")
    panels[0].set_ylim(1e-4 * top, 2 * top)
    panels[1].set_xscale("symlog", linthresh=1)
    panels[1].set(xlabel="iterations (epochs of a first-order solver)", xlim=(0, None))
    figure.suptitle("A network on raw diabetes data, the same start (dashed: first order, solid: second order)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(models))
    return figure


def plot_curve(plt, X, y, models):
    """The rows and the fitted curves."""
    figure, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
    axes.scatter(X, y, s=14, color="0.65", label="patients to train")
    grid = np.linspace(X.min(), X.max(), 300)[:, None]
    for (name, model), line in zip(models.items(), (":", "--", "-"), strict=True):
        axes.plot(grid, model.predict(grid), line, linewidth=2.5, label=name)
    axes.set(xlabel="body mass index (kg/m²)", ylabel="progression of the disease a year on")
    axes.set_title(f"What a network of {CURVE['hidden_layer_sizes'][0]} hidden units has learnt")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def main():
    """Print the tables and save the pictures."""
    parser = argparse.ArgumentParser(description="Train small networks on real tables.")
    parser.add_argument("--out", type=Path, default=Path(sys.argv[0]).parent, help="folder of the pictures")
    folder = parser.parse_args().out
    models = diabetes()
    digits()
    fitted = curve()
    plt = load_pyplot()
    if plt is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"losses": plot_losses(plt, models), "curve": plot_curve(plt, *fitted)}
    for name, figure in pictures.items():
        path = folder / f"train_a_network_{name}.png"
        figure.savefig(path, dpi=120)
        print(f"picture: {path}")


if __name__ == "__main__":
    main()
