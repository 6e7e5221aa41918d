"""Residuals against fitted values, and against the normal distribution."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import beta

from sk_hessian.inspection._checks import check_choice
from sk_hessian.inspection._displays._shared import COLOURS, axes, pyplot
from sk_hessian.inspection._residuals import KINDS, FittedRows

#: level of the band of a normal sample, of each of its order statistics by itself
_LEVEL = 0.95

#: groups of equal size along the fitted values, whose mean residual is drawn, and rows that each has at the least
_MOST_GROUPS = 20
_LEAST_ROWS = 10

#: what may be drawn
_PLOTS = ("fitted", "qq")


class ResidualDisplay:
    """Residuals of a fit: whether they depend on what is fitted, and whether they are normal.

    Parameters
    ----------
    residuals : array-like of shape (n_samples,) or (n_samples, n_outputs)
        What `sk_hessian.inspection.residuals` returns.
    fitted : array-like of the same shape
        Raw predictions, before the inverse link.
    kind : {"response", "pearson", "deviance", "quantile"}
        Which residuals they are: quantile residuals of a true model are standard normal.
    names : list of str, optional
        Of the outputs.

    Attributes
    ----------
    ax_ : ndarray of matplotlib.axes.Axes
    figure_
        Axes and figure of the latest plot, in the order of ``show``.
    points_ : list of matplotlib.collections.PathCollection
        The rows, for each axes and output.
    lines_ : list of matplotlib.lines.Line2D
        Means of groups of rows, and the line of a normal sample.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import ResidualDisplay
    >>> from sk_hessian.linear_model import LinearRegression
    >>> X, y = load_diabetes(return_X_y=True)
    >>> display = ResidualDisplay.from_estimator(LinearRegression().fit(X, y), X, y)
    """

    def __init__(self, residuals, fitted, *, kind="quantile", names=None):
        check_choice("kind", kind, KINDS)
        self.residuals, self.fitted = (np.asarray(values, dtype=float) for values in (residuals, fitted))
        if self.residuals.shape != self.fitted.shape or self.residuals.ndim not in (1, 2) or not self.residuals.size:
            raise ValueError(
                f"fitted must have a value for each residual, got shapes {self.fitted.shape} and {self.residuals.shape}"
            )
        self.kind, self.names = kind, names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None,
        *,
        kind: str = "quantile",
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        random_state: int | np.random.Generator | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> "ResidualDisplay":
        """Compute the residuals of a fit and plot them.

        Parameters
        ----------
        estimator : fitted estimator of sk_hessian
        X, y, kind, sample_weight, offset, random_state
            See `sk_hessian.inspection.residuals`.
        ax, **kwargs
            See `plot`.

        Returns
        -------
        ResidualDisplay

        Raises
        ------
        TypeError, ValueError
            As `residuals`; for deviance residuals of several classes, of which a row has one for all.
        """
        pyplot(cls.__name__)
        check_choice("kind", kind, KINDS)
        rows = FittedRows(estimator, X, y, sample_weight, offset)
        found = rows.of_kind(kind, random_state)
        if found.shape != rows.outputs.shape:
            raise ValueError(f"kind={kind!r}: a row of several classes has one residual for all: use kind='pearson'")
        return cls(found, rows.outputs, kind=kind, names=rows.output_names).plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, show: Any = _PLOTS, **kwargs: Any) -> "ResidualDisplay":
        """Plot the residuals.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, or one for each of ``show``, optional
            By default those of a new figure.
        name : str, optional
            Title.
        show : "fitted", "qq" or a sequence of these
            "fitted" is residuals against raw predictions, with the mean of groups of rows of equal size; "qq" sorted
            residuals against normal quantiles, with the line of a normal sample: for quantile residuals that of the
            standard one, with a band that each order statistic leaves in 5% of the samples, else through the quartiles.
        **kwargs : dict
            For `matplotlib.axes.Axes.scatter`.

        Returns
        -------
        ResidualDisplay

        Raises
        ------
        ValueError
            For an unknown plot, or another number of axes than of plots.
        """
        show = (show,) if isinstance(show, str) else tuple(show)
        for one in show:
            check_choice("show", one, _PLOTS)
        self.ax_ = self._axes(ax, len(show))
        self.figure_ = self.ax_[0].figure
        self.points_: list = []
        self.lines_: list = []
        for one, own in zip(show, self.ax_, strict=True):
            (self._draw_fitted if one == "fitted" else self._draw_quantiles)(own, kwargs)
        if name is not None:
            self.ax_[0].set_title(name)
        return self

    def _axes(self, ax, number):
        if ax is None and number == 2:
            _, ax = pyplot(type(self).__name__).subplots(1, 2, layout="constrained", figsize=(9, 4.2))
        elif ax is None:
            ax = axes(type(self).__name__, None)
        ax = np.ravel(np.asarray(ax, dtype=object))
        if number == 0 or len(ax) != number:
            raise ValueError(f"ax must be one axes for each plot: got {len(ax)} for {number}")
        return ax

    @property
    def _columns(self):
        """Pairs of residuals and fitted values of each output."""
        n = len(self.residuals)
        return list(zip(self.residuals.reshape(n, -1).T, self.fitted.reshape(n, -1).T, strict=True))

    def _scatter(self, ax, output, x, y, given):
        style: dict = {"s": 12, "alpha": 0.5, "linewidths": 0}
        if "c" not in given and "color" not in given:
            style["color"] = COLOURS[output % len(COLOURS)]
        if self.names is not None and len(self._columns) > 1:
            style["label"] = str(self.names[output])
        self.points_.append(ax.scatter(x, y, **(style | given)))

    def _draw_fitted(self, ax, given):
        ax.axhline(0, color="0.5", linewidth=1)
        for output, (residual, fitted) in enumerate(self._columns):
            self._scatter(ax, output, fitted, residual, given)
            groups = min(_MOST_GROUPS, len(fitted) // _LEAST_ROWS)
            if groups > 1:
                rows = np.array_split(np.argsort(fitted, kind="stable"), groups)
                means = [[values[group].mean() for group in rows] for values in (fitted, residual)]
                style = {"color": "black", "linewidth": 1, "marker": ".", "markersize": 5}
                self.lines_ += ax.plot(*means, label=None if output else "mean of a group of rows", **style)
        ax.set(xlabel="raw prediction", ylabel=f"{self.kind} residual")
        if ax.get_legend_handles_labels()[1]:
            ax.legend()

    def _draw_quantiles(self, ax, given):
        n = len(self.residuals)
        # near the means of a normal sample's order statistics: G. Blom, "Statistical estimates and transformed
        # beta-variables", 1958
        normal = ndtri((np.arange(1, n + 1) - 0.375) / (n + 0.25))
        if self.kind == "quantile":
            rank = np.arange(1, n + 1)
            low, high = (ndtri(beta.ppf(level, rank, n + 1 - rank)) for level in ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2))
            ax.fill_between(
                normal, low, high, color="0.5", alpha=0.2, linewidth=0, label=f"{_LEVEL:.0%} of normal samples"
            )
        for output, (residual, _) in enumerate(self._columns):
            self._scatter(ax, output, normal, np.sort(residual), given)
            if self.kind != "quantile":
                self._line(ax, normal, *_through_quartiles(residual))
        if self.kind == "quantile":
            self._line(ax, normal, 0.0, 1.0)
        ax.set(xlabel="normal quantile", ylabel=f"{self.kind} residual, sorted")
        if ax.get_legend_handles_labels()[1]:
            ax.legend()

    def _line(self, ax, normal, centre, slope):
        self.lines_ += ax.plot(normal[[0, -1]], centre + slope * normal[[0, -1]], color="black", linewidth=1)


def _through_quartiles(residual):
    """Centre and slope of a line through the quartiles of a sample and of the standard normal distribution."""
    low, high = np.quantile(residual, [0.25, 0.75])
    return 0.5 * (low + high), (high - low) / (2 * ndtri(0.75))
