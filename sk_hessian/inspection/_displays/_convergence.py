"""How runs of solvers came near to the optimum."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np

from sk_hessian.inspection._chain import Chain
from sk_hessian.inspection._checks import check_choice
from sk_hessian.inspection._displays._shared import COLOURS, axes, count_along_x, line_style, pyplot

#: what a curve may run along -> the label of the axis
_X_LABELS = {"iteration": "iteration", "passes": "passes over the data", "seconds": "seconds"}

#: what a curve may show -> the label of the axis
_Y_LABELS = {
    "objective_gap": "objective above the optimum",
    "decrement": "half squared Newton decrement (estimate)",
    "gradient_norm": "largest absolute entry of the gradient",
}

#: the same of a gap where no run is known to have come near an optimum
_RELATIVE_LABEL = "objective above the least of these runs"

#: verdict -> the mark at the end of its curve; a cross for the others
_MARKERS = {"optimal": "o", "settled": "s"}

_LINE_STYLES = ("-", "--", "-.", ":")

#: scales of the same objective differ by less than this share, even where X is in single precision
_SAME_SCALE = 1e-5

#: a run so many times longer than another makes the axis logarithmic
_MUCH_LONGER = 20


class ConvergenceDisplay:
    """The way of one or several runs to the optimum, on a logarithmic axis.

    A curve ends with a disc where the verdict is "optimal", with a square where it is "settled", else with a cross; but
    for "optimal" the legend has the status.

    Parameters
    ----------
    histories : dict of str to dict
        Label of a curve -> the ``history_`` of the estimator.
    verdicts : dict of str to Convergence
        Label of a curve -> the ``convergence_`` of the estimator.

    Attributes
    ----------
    optimum : float
        The least objective of all runs, less the certified decrement of the run that it is from where that is
        optimal: an estimate of the optimum, as good as the certificate.
    ax_, figure_
        Axes and figure of the latest plot.
    lines_ : list of matplotlib.lines.Line2D
        One per curve.

    See Also
    --------
    sk_hessian.solvers.Convergence : The verdict.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sk_hessian.inspection import ConvergenceDisplay
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = [LogisticRegression(solver=solver).fit(X, y) for solver in ("newton", "lbfgs")]
    >>> display = ConvergenceDisplay.from_estimator(models, x="passes")
    """

    def __init__(self, histories, verdicts):
        if not histories or list(histories) != list(verdicts):
            raise ValueError("histories and verdicts must have the same labels, at least one")
        self.histories, self.verdicts = histories, verdicts

    @classmethod
    def from_estimator(
        cls,
        estimators: Any,
        *,
        x: str = "iteration",
        y: str = "objective_gap",
        labels: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> "ConvergenceDisplay":
        """Plot the history of one or several fitted estimators.

        Parameters
        ----------
        estimators : estimator, sequence of estimators, or dict of str to estimator
            Fitted estimators of sk_hessian. For the gap they must minimise the same objective: the same rows, loss
            and penalty.
        x, y
            See `plot`.
        labels : sequence of str, optional
            What the curves are called; by default the keys of the dict, or what tells the estimators apart.
        ax, **kwargs
            See `plot`.

        Returns
        -------
        ConvergenceDisplay

        Raises
        ------
        TypeError, ValueError
            For what is no fitted estimator of sk_hessian, or bad options.
        """
        pyplot(cls.__name__)
        models = _labelled(estimators, labels)
        histories = {label: model.history_ for label, model in models.items()}
        verdicts = {label: model.convergence_ for label, model in models.items()}
        return cls(histories, verdicts).plot(ax, x=x, y=y, **kwargs)

    @property
    def optimum(self):
        """See the class."""
        verdict = self._best
        return verdict.objective - (verdict.decrement if self._is_certified() else 0.0)

    @property
    def _best(self):
        return min(self.verdicts.values(), key=lambda verdict: verdict.objective)

    def _is_certified(self):
        """Whether the best run is known to be near an optimum."""
        return self._best.status == "optimal" and np.isfinite(self._best.decrement)

    def curve(self, label, x="iteration", y="objective_gap"):
        """The data of one curve, before the floor.

        Parameters
        ----------
        label : str
        x, y : str
            See `plot`.

        Returns
        -------
        x, y : ndarray of shape (n_iter + 1,)
        """
        history = self.histories[label]
        along = history["evaluations"] + history["hessian_products"] if x == "passes" else history[x]
        return along, history["objective"] - self.optimum if y == "objective_gap" else history[y]

    def plot(
        self, ax: Any = None, *, x: str = "iteration", y: str = "objective_gap", name: str | None = None, **kwargs: Any
    ) -> "ConvergenceDisplay":
        """Plot the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default those of a new figure.
        x : {"iteration", "passes", "seconds"}
            Passes over the data are those of gradients, Hessians and products so far. The warm start on a sample of
            the rows and the certificate at the end are not in the history, but in ``convergence_.passes``.
        y : {"objective_gap", "decrement", "gradient_norm"}
            "objective_gap": the objective less ``optimum``. What is not above its rounding error is drawn at the
            rounding error, with a line there. Where the best run is not "optimal" the gap is to the least objective,
            the label says so, and that point is not drawn.
            "decrement": the solver's own estimate of the gap, from its latest factor; not the certificate.
        name : str, optional
            Title of the legend.
        **kwargs : dict
            For `matplotlib.axes.Axes.plot`, of all curves.

        Returns
        -------
        ConvergenceDisplay

        Raises
        ------
        ValueError
            For unknown ``x`` or ``y``, or where runs with different scales have no common gap.
        """
        check_choice("x", x, _X_LABELS)
        check_choice("y", y, _Y_LABELS)
        if y == "objective_gap":
            self._check_same_objective()
        self.ax_ = ax = axes(type(self).__name__, ax)
        self.figure_ = ax.figure
        curves = {label: self.curve(label, x, y) for label in self.histories}
        floor, is_relative = self._floor(curves, y), y == "objective_gap" and not self._is_certified()
        # a gap to the best run says nothing about how near to the optimum that run is
        lowest = np.nan if is_relative else floor
        # where curves cover each other the lower one shows between the dashes
        styles = ({"color": c, "linestyle": s} for c, s in zip(cycle(COLOURS), cycle(_LINE_STYLES), strict=False))
        self.lines_ = [
            self._draw(label, along, np.where(height <= floor, lowest, height), line_style(style, kwargs))
            for (label, (along, height)), style in zip(curves.items(), styles, strict=False)
        ]
        if not is_relative:
            self._draw_levels(curves, y, floor)
        ax.set(xlabel=_X_LABELS[x], ylabel=_RELATIVE_LABEL if is_relative else _Y_LABELS[y], yscale="log")
        self._scale_x(curves, x)
        ax.legend(title=name)
        return self

    def _check_same_objective(self):
        scales = np.array([verdict.scale for verdict in self.verdicts.values()])
        if np.ptp(scales) > _SAME_SCALE * scales.max():
            raise ValueError(
                "these estimators minimise different objectives (their scales differ): their objectives have no common "
                'optimum. Fit them to the same rows with the same loss, or use y="decrement"'
            )

    def _floor(self, curves, y):
        """The least height that can be drawn: the rounding error of a gap, else the least that is not zero."""
        if y == "objective_gap":
            eps, scale = np.finfo(float).eps, max(verdict.scale for verdict in self.verdicts.values())
            return max(eps * abs(self.optimum), eps**2 * scale)
        heights = np.concatenate([height for _, height in curves.values()])
        return np.min(heights[heights > 0], initial=np.inf) if (heights > 0).any() else np.finfo(float).tiny

    def _draw(self, label, along, height, style):
        verdict = self.verdicts[label]
        is_optimal = verdict.status == "optimal"
        end = np.flatnonzero(np.isfinite(height))[-1:].tolist()
        style = {"marker": _MARKERS.get(verdict.status, "X"), "markevery": end, "markersize": 8, **style}
        label = label if is_optimal else f"{label} ({verdict.status})"
        return self.ax_.plot(along, height, label=label, **style)[0]

    def _draw_levels(self, curves, y, floor):
        """What counts as optimal, if that is the same for all, and where values are too small to be drawn."""
        thresholds = [verdict.tol**2 * verdict.scale for verdict in self.verdicts.values()]
        if y != "gradient_norm" and np.ptp(thresholds) <= _SAME_SCALE * max(thresholds):
            self.ax_.axhline(thresholds[0], color="0.5", linestyle="--", linewidth=1, label="tolerance")
        if any((height < floor).any() for _, height in curves.values()):
            label = "rounding error" if y == "objective_gap" else "zero"
            self.ax_.axhline(floor, color="0.5", linestyle=":", linewidth=1, label=label)

    def _scale_x(self, curves, x):
        """Whole iterations; a logarithmic axis where one run is much longer than another."""
        ends = [along[-1] for along, _ in curves.values()]
        is_stretched = max(ends) > _MUCH_LONGER * min(ends)
        if is_stretched and x == "seconds":
            self.ax_.set_xscale("log")
        elif is_stretched:
            self.ax_.set_xscale("symlog", linthresh=1)
            self.ax_.set_xlim(0, 1.5 * max(ends))
        elif x == "iteration":
            count_along_x(self.ax_)


def _labelled(estimators, labels):
    """Label -> estimator, all checked."""
    if isinstance(estimators, dict):
        if labels is not None:
            raise ValueError("labels: the keys of the dict are the labels; pass a list of estimators")
        labels, models = list(estimators), list(estimators.values())
    else:
        models = list(estimators) if isinstance(estimators, list | tuple) else [estimators]
    if not models:
        raise ValueError("estimators is empty: pass at least one fitted estimator")
    models = [Chain.of(model, "estimators must be of sk_hessian").estimator for model in models]
    for model in models:
        if not hasattr(model, "history_"):
            raise ValueError(f"this {type(model).__name__} is not fitted: call fit first")
    labels = _told_apart(models) if labels is None else [labels] if isinstance(labels, str) else list(labels)
    if len(labels) != len(models) or len(set(labels)) < len(labels):
        raise ValueError(f"labels must be {len(models)} different names, one per estimator, got {labels!r}")
    return dict(zip(labels, models, strict=True))


def _told_apart(models):
    """The shortest names that differ: of the solvers, of the classes too, of the solvers with their options."""
    solvers = [type(model.solver_).__name__.lower() for model in models]
    both = [f"{type(model).__name__}, {solver}" for model, solver in zip(models, solvers, strict=True)]
    for names in (solvers, both, [repr(model.solver_) for model in models]):
        if len(set(names)) == len(names):
            return names
    return [f"{solver} {i}" for i, solver in enumerate(solvers, start=1)]
