"""
What the Hessian knows
======================

What the curvature of a fit tells, on real tables in their own units: eight questions, most with a picture ::

    python examples/what_the_hessian_knows.py [--out FOLDER] [--docs FOLDER]

Every answer is read off fitted estimators by functions and displays of ``sk_hessian.inspection``, which only look.
``--docs`` writes small pictures for the documentation instead.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning

from sk_hessian.inspection import (
    CoefficientDisplay,
    ConvergenceDisplay,
    HessianSpectrumDisplay,
    InfluenceDisplay,
    LossSurfaceDisplay,
    coef_table,
    flat_directions,
    hessian_accuracy,
    influence,
    laplace,
    leave_one_out,
    leave_one_out_path,
    profile_intervals,
    stationary_point,
    taylor_model,
    tune_alpha,
)
from sk_hessian.linear_model import LogisticRegression, NegativeBinomialRegressor, PoissonRegressor, Ridge
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.solvers import SOLVERS

#: a network small enough to look into
SMALL_NETWORK = {"hidden_layer_sizes": (3,), "activation": "tanh", "alpha": 1.0, "random_state": 0}

#: first strength of the penalty of a curve through raw diabetes data, and how it is fitted
CURVE = {"activation": "tanh", "alpha": 1000.0, "solver": "newton", "max_iter": 5000, "random_state": 0}

#: the pictures of the documentation
SMALL = ("coefficients", "spectrum", "surface", "uncertainty", "influence")


def load(loader, **options):
    """A table of measurements in their own units, and what is to be predicted."""
    return loader(return_X_y=True, as_frame=True, **options)


def title(text):
    """A headline."""
    print(f"\n{text}\n{'-' * len(text)}")


# -- 1. -------------------------------------------------------------------------------------------------------------


def errors_of_coefficients():
    """The inverse Hessian is the variance of the estimates: if the model is true.

    Progression of diabetes as a Poisson count: its errors are five times too small, for the variance is far above the
    mean. The sandwich does not need the model to be true; the negative binomial model has a variance of its own.
    """
    title("1. How sure is each coefficient?")
    X, y = load(load_diabetes, scaled=False)
    poisson = PoissonRegressor(alpha=0).fit(X, y)
    binomial = NegativeBinomialRegressor(alpha=0).fit(X, y)
    print(coef_table(poisson, X, y))
    tables = {
        "Poisson": coef_table(poisson, X, y),
        "Poisson, sandwich": coef_table(poisson, X, y, cov="sandwich"),
        "negative binomial": coef_table(binomial, X, y),
    }
    frame = pd.DataFrame({name: table.to_frame()["std_error"] for name, table in tables.items()})
    print(f"\nstandard errors\n{frame.loc[['bmi', 's1', 's3', 'intercept']].to_string(float_format='{:.4g}'.format)}")


def plot_coefficients(plt):
    """Ten columns of raw units, three of which measure the size of a cell, with and without a penalty."""
    X, y = load(load_breast_cancer)
    X = X.iloc[:, :10]
    figure, panels = plt.subplots(1, 2, figsize=(12, 4.8), sharey=True, layout="constrained")
    for ax, (C, name) in zip(panels, ((np.inf, "no penalty"), (1.0, "C=1, sandwich")), strict=True):
        model = LogisticRegression(C=C).fit(X, y)
        CoefficientDisplay.from_estimator(model, X, y, standardise=True, ax=ax, name=f"breast cancer, {name}")
    return figure


# -- 2. -------------------------------------------------------------------------------------------------------------


def separation():
    """Where a column tells the classes apart there is no optimum; Firth's estimate always exists.

    The likelihood is lopsided, so Wald's interval (estimate plus or minus 1.96 errors) is none to rely on.
    """
    title("2. Is there an optimum at all?")
    X, y = load(load_iris)
    X, is_setosa = X[["sepal width (cm)", "petal length (cm)"]], y == 0
    model = fit_and_tell(LogisticRegression(C=np.inf), X, is_setosa)
    print(f"{model.convergence_.status}: {model.convergence_.message.split('. ')[1]}.")
    firth = LogisticRegression(C=np.inf, jeffreys=True).fit(X, is_setosa)
    wald = coef_table(firth, X, is_setosa)
    print(f"\nwith jeffreys=True: {firth.convergence_.status}\n{profile_intervals(firth, X, is_setosa)}")
    print(f"Wald's interval of petal length: {wald.lower[1]:.3g} to {wald.upper[1]:.3g}")


def fit_and_tell(model, X, y):
    """Fit, and print how many warnings came with it: what they say is read off the fit here."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(X, y)
    print(f"({len(caught)} warning) ", end="")
    return model


# -- 3. -------------------------------------------------------------------------------------------------------------


def undetermined():
    """Directions along which the objective is flat, by name; and nearly flat ones."""
    title("3. What do the data not determine?")
    X, y = load(load_breast_cancer)
    X = X.iloc[:, :10].assign(diameter=2 * X["mean radius"])
    model = fit_and_tell(LogisticRegression(C=np.inf), X, y)
    print(f"{model.convergence_.status}: {stationary_point(model, X, y)}")
    for direction in flat_directions(model, X, y, tolerance=1e-3):
        print(f"- {direction}")


def plot_spectrum(plt):
    """The same Hessian in raw and in standardised units."""
    X, y = load(load_breast_cancer)
    model = LogisticRegression().fit(X, y)
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    for ax, units in zip(panels, ("raw", "standardised"), strict=True):
        HessianSpectrumDisplay.from_estimator(model, X, y, units=units, ax=ax, name=f"breast cancer, {units} units")
    return figure


# -- 4. -------------------------------------------------------------------------------------------------------------


def quadratic_model():
    """Newton's method minimises the quadratic model again and again; near the fit the model holds ever farther.

    ``ratio`` is the actual over the predicted decrease of a Newton step, ``radius`` the multiple of that step up to
    which the model is right to 10 percent.
    """
    title("4. How far does the quadratic model hold?")
    X, y = load(load_breast_cancer)
    model = LogisticRegression().fit(X, y)
    theta = model.fitted_objective(X, y)[0].start()
    print("logistic regression, Newton steps from the null model\n step  objective  ratio  radius")
    for step in range(8):
        taylor = taylor_model(model, X, y, theta=theta)
        print(f"{step:>5}  {taylor.value:>9.5f}  {taylor.ratio(taylor.minimiser):>5.3f}  {taylor.radius(0.1):>6.2f}")
        theta = taylor.minimiser


def quadratic_model_of_a_network():
    """The surface of a network has saddles, and at its minimum the quadratic model holds over a short way only.

    A way long enough to matter is a standard deviation of the posterior: the Laplace approximation is this model.
    """
    X, y = load(load_wine)
    model = MLPClassifier(**SMALL_NETWORK).fit(X, y)
    theta = clone(model).set_params(alpha=1e6).fit(X, y).fitted_objective(X, y)[1]  # such a penalty leaves no weights
    print("\na network of three units, classes of wine")
    print(f"the fit:      {stationary_point(model, X, y)}")
    print(f"zero weights: {stationary_point(model, X, y, theta=theta)}")
    linear_X, linear_y = load(load_breast_cancer)
    linear = LogisticRegression().fit(linear_X, linear_y)
    print(
        "\nup to where the model at the fit is right to 10 percent, in draws from the Laplace posterior (median of 25)"
    )
    print(f"logistic regression {typical_radius(linear, linear_X, linear_y):.2f}, network ", end="")
    print(f"{typical_radius(model, X, y):.2f}")
    return model, X, y


def typical_radius(model, X, y):
    """How far the Taylor model holds towards draws from the posterior that takes it for the truth."""
    taylor = taylor_model(model, X, y)
    draws = laplace(model, X, y).samples(25, random_state=0)
    return np.median([taylor.radius(0.1, direction=draw - taylor.theta0) for draw in draws])


def plot_surface(plt, model, X, y):
    """The objective, its Taylor model and the path of the solver."""
    figure, ax = plt.subplots(figsize=(7.5, 5.5), layout="constrained")
    LossSurfaceDisplay.from_estimator(model, X, y, ax=ax, name="a network of three units, classes of wine")
    return figure


# -- 5. -------------------------------------------------------------------------------------------------------------


def cheap_hessians(model, X, y):
    """What approximations of the Hessian are worth, to the solvers that use them."""
    title("5. How good are cheap Hessians?")
    linear_X, linear_y = load(load_breast_cancer)
    linear = hessian_accuracy(LogisticRegression().fit(linear_X, linear_y), linear_X, linear_y)
    network = hessian_accuracy(model, X, y)
    print(f"logistic regression\n{linear}\n\na network\n{network}")
    return {"logistic regression, breast cancer": linear, "a network of three units, wine": network}


def plot_accuracy(plt, found):
    """The share of Newton's step that each kind is worth."""
    figure, panels = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    for ax, (name, accuracy) in zip(panels, found.items(), strict=True):
        accuracy.plot(ax).set_title(name)
    return figure


# -- 6. -------------------------------------------------------------------------------------------------------------


def uncertainty():
    """The posterior's width is the inverse Hessian, its evidence a penalty on what the data do not ask for.

    Progression of diabetes from the body mass index alone: the evidence chooses each penalty, and then the model.
    """
    title("6. How sure is a prediction?")
    X, y = load(load_diabetes, scaled=False)
    X = X[["bmi"]]
    networks = {f"{k} tanh units": MLPRegressor(hidden_layer_sizes=(k,), **CURVE) for k in (1, 2, 3)}
    print("model          alpha   status   parameters that count  log evidence")
    tuned = {name: tune_alpha(model, X, y) for name, model in {"straight line": Ridge(), **networks}.items()}
    for name, found in tuned.items():
        posterior = found.posterior
        print(
            f"{name:<13} {found.value:>6.2f}   {found.status}  {posterior.effective_df:>21.1f}"
            f"  {posterior.log_evidence:>12.2f}"
        )
    return X, y, tuned["1 tanh units"].estimator


def uncertain_classes():
    """Few patients leave much open: averaged over the posterior, probabilities go towards 1/2."""
    X, y = load(load_breast_cancer)
    X, y = X.loc[::10, ["mean radius", "mean texture"]], y[::10]
    tuned = tune_alpha(MLPClassifier(**SMALL_NETWORK), X, y)
    new = pd.DataFrame([[12.0, 20.0], [14.0, 20.0], [16.0, 20.0], [28.0, 20.0]], columns=X.columns)
    fit, averaged = tuned.estimator.predict_proba(new)[:, 1], tuned.posterior.predict_proba(new)[:, 1]
    print(f"\nprobability that a tumour is benign, a network of two columns and {len(y)} rows")
    print("radius  texture    fit  averaged")
    for row, *chances in zip(new.to_numpy(), fit, averaged, strict=True):
        print(f"{row[0]:>6.0f}  {row[1]:>7.0f}  {chances[0]:.3f}  {chances[1]:>8.3f}")
    return X, y, tuned


def plot_uncertainty(plt, curve, classes):
    """A curve with its bands, and probabilities along a line."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    draw_curve(left, *curve)
    draw_probabilities(right, *classes)
    return figure


def draw_curve(ax, X, y, model):
    """Bands of two standard deviations: of the curve, and of a new patient."""
    posterior = laplace(model, X, y)
    grid = pd.DataFrame({"bmi": np.linspace(10, 60, 200)})
    ax.scatter(X["bmi"], y, s=10, color="0.6", label="patients")
    bands = (("observation", 0.12, "a new patient"), ("mean", 0.35, "the curve"))
    for of, alpha, label in bands:
        mean, std = posterior.predict(grid, of=of)
        ax.fill_between(grid["bmi"], mean - 2 * std, mean + 2 * std, color="C0", alpha=alpha, linewidth=0, label=label)
    ax.plot(grid["bmi"], mean, color="C0", label="the fit")
    ax.set(xlabel="body mass index (kg/m²)", ylabel="progression of diabetes a year on", ylim=(-100, 560))
    ax.set_title("A network of one unit, bands of two standard deviations")
    ax.legend(loc="upper left", ncols=2)


def draw_probabilities(ax, X, y, tuned):
    """From small to large tumours; the bump is where the step of a hidden unit may be as well."""
    grid = pd.DataFrame({"mean radius": np.linspace(5, 30, 300), "mean texture": X["mean texture"].median()})
    ax.plot(grid["mean radius"], tuned.estimator.predict_proba(grid)[:, 1], "--", color="C1", label="at the fit")
    ax.plot(grid["mean radius"], tuned.posterior.predict_proba(grid)[:, 1], color="C0", label="over the posterior")
    ax.plot(X["mean radius"], y, "|", color="0.5", label="patients")
    ax.axhline(0.5, color="0.8", linewidth=1, zorder=0)
    ax.set(xlabel="mean radius, mean texture at its median", ylabel="probability of benign")
    ax.set_title(f"A network of three units and {len(y)} rows, at the fit and averaged")
    ax.legend()


# -- 7. -------------------------------------------------------------------------------------------------------------


def rows_that_matter():
    """What would have come out without a row, for all rows from one factor of the Hessian."""
    title("7. Which rows does the fit hang on?")
    X, y = load(load_breast_cancer)
    model = LogisticRegression().fit(X, y)
    print(influence(model, X, y))
    without = leave_one_out(model, X, y)
    rows = X.index[::25].union([38, 290, 297])
    refits = [clone(model).fit(X.drop(i), y.drop(i)).predict_proba(X.loc[[i]])[0, 1] for i in rows]
    worst = np.abs(refits - without.predictions[rows, 1]).max()
    print(f"\n{without}")
    print(f"largest difference of a probability from {len(rows)} refits, the influential rows among them: {worst:.4f}")
    return model, X, y


def plot_influence(plt, model, X, y):
    """The rows, and the penalty that leave-one-out chooses."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    InfluenceDisplay.from_estimator(model, X, y, ax=left)
    path = leave_one_out_path(model, X, y, np.logspace(-4, 4, 25))
    best = path.alphas[path.loss.argmin()]
    right.semilogx(path.alphas, path.loss, label="without the row itself")
    right.semilogx(path.alphas, [training_loss(model, C, X, y) for C in path.alphas], "--", label="training")
    right.axvline(best, color="0.5", linestyle=":", label=f"least at C={best:.3g}")
    right.set(xlabel="C, the inverse of the penalty", ylabel="log loss", title="569 rows left out at 25 penalties")
    right.legend()
    return figure


def training_loss(model, C, X, y):
    """Log loss on the rows of the fit."""
    chances = clone(model).set_params(C=C).fit(X, y).predict_proba(X)
    return -np.log(chances[np.arange(len(y)), y]).mean()


# -- 8. -------------------------------------------------------------------------------------------------------------


def plot_convergence(plt):
    """The way of all solvers to the optimum of a linear model, and to a minimum of a network."""
    title("8. How did the solvers get there?")
    figure, panels = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    X, y = load(load_breast_cancer)
    linear = [LogisticRegression(solver=solver).fit(X, y) for solver in SOLVERS]
    ConvergenceDisplay.from_estimator(linear, x="passes", ax=panels[0], name="logistic regression")
    X, y = load(load_wine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the legend says so
        networks = [MLPClassifier(solver=solver, **SMALL_NETWORK).fit(X, y) for solver in SOLVERS]
    ConvergenceDisplay.from_estimator(networks, x="passes", ax=panels[1], name="a network")
    print("solver    logistic regression  network")
    for name, first, second in zip(SOLVERS, linear, networks, strict=True):
        print(f"{name:<9} {verdict(first):<20} {verdict(second)}")
    return figure


def verdict(model):
    """The status of a fit and the passes over the rows that it took, the certificate's included."""
    return f"{model.convergence_.status}, {model.convergence_.passes} passes"


# -- all of it ------------------------------------------------------------------------------------------------------


def load_pyplot():
    """Matplotlib's pyplot for files."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    return plt


def tell(plt):
    """Print the answers; the pictures by name. They stay open."""
    errors_of_coefficients()
    separation()
    undetermined()
    quadratic_model()
    network = quadratic_model_of_a_network()
    cheap = cheap_hessians(*network)
    curve, classes = uncertainty(), uncertain_classes()
    rows = rows_that_matter()
    return {
        "coefficients": plot_coefficients(plt),
        "spectrum": plot_spectrum(plt),
        "surface": plot_surface(plt, *network),
        "accuracy": plot_accuracy(plt, cheap),
        "uncertainty": plot_uncertainty(plt, curve, classes),
        "influence": plot_influence(plt, *rows),
        "convergence": plot_convergence(plt),
    }


def main():
    """Print the answers and save the pictures."""
    parser = argparse.ArgumentParser(description="What the curvature of a fit tells.")
    parser.add_argument("--out", type=Path, default=Path(sys.argv[0]).parent, help="folder of the pictures")
    parser.add_argument("--docs", type=Path, help="folder of small pictures for the documentation, instead")
    options = parser.parse_args()
    try:
        plt = load_pyplot()
    except ImportError:
        print("this example is mostly pictures: install matplotlib (the plot extra installs it)")
        return
    pictures = tell(plt)
    folder, names = (options.docs, SMALL) if options.docs else (options.out, tuple(pictures))
    folder.mkdir(parents=True, exist_ok=True)
    print()
    for name in names:
        path = folder / f"what_the_hessian_knows_{name}.png"
        save_small(pictures[name], path) if options.docs else pictures[name].savefig(path, dpi=120)
        print(f"picture: {path}")


def save_small(figure, path):
    """A picture of few bytes."""
    from PIL import Image  # comes with matplotlib

    figure.savefig(path, dpi=80)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(192, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()
