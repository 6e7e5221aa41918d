"""Coefficients with their intervals."""

import textwrap
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian.inspection._checks import check_count
from sk_hessian.inspection._coef_table import coef_table
from sk_hessian.inspection._displays._shared import COLOURS, axes, line_style, pyplot
from sk_hessian.inspection._fitted import Fitted

#: so many features are shown at the most, unless told otherwise
_MOST_FEATURES = 40

#: height of a feature, of each further output, and of what is above and below, in inches
_ROW, _OUTPUT, _FRAME = 0.22, 0.1, 1.2

#: share of a feature's height over which its outputs are spread
_SPREAD = 0.6

#: characters of a line of a label
_LINE = 60


class CoefficientDisplay:
    """Coefficients with their confidence intervals, one line for each feature.

    Parameters
    ----------
    table : object
        What `sk_hessian.inspection.coef_table` returns: ``names``, ``estimate``, ``lower``, ``upper``, ``statistic``
        of shape (n_parameters,), ``target`` and ``level``.
    features : sequence of str, optional
        With it only the first ``len(features) * n_outputs`` parameters are shown, which are features by outputs;
        without it every parameter has a line.
    outputs : sequence of str, optional
        Classes or targets, where there are several.
    deviation : array-like of shape (n_features,), optional
        Factors of the coefficients and their intervals: standard deviations of the columns.

    Attributes
    ----------
    ax_, figure_
        Axes and figure of the latest plot.
    lines_ : list of matplotlib.lines.Line2D
        The estimates, one line of markers for each output.
    intervals_ : list of matplotlib.collections.LineCollection
    shown_ : ndarray of int
        The features that are shown, the first on top.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import CoefficientDisplay
    >>> from sk_hessian.linear_model import LinearRegression
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> display = CoefficientDisplay.from_estimator(LinearRegression().fit(X, y), X, y)
    """

    ax_: Any
    shown_: Any

    def __init__(self, table, *, features=None, outputs=None, deviation=None):
        self.table, self.outputs = table, outputs
        self.features = list(table.names if features is None else features)
        self.deviation = None if deviation is None else np.asarray(deviation, dtype=float)
        if features is None and outputs is not None:
            raise ValueError("outputs needs features: the names of the columns")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None,
        *,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        cov: str = "auto",
        level: float = 0.95,
        standardise: bool = False,
        **kwargs: Any,
    ) -> "CoefficientDisplay":
        """Compute the intervals of a fitted linear model and plot them, the intercepts left out.

        For other options of `coef_table`, pass a table to the class.

        Parameters
        ----------
        estimator : fitted linear model of sk_hessian
        X, y, sample_weight, offset, cov, level
            See `sk_hessian.inspection.coef_table`.
        standardise : bool, default=False
            Multiply coefficients and intervals by the (weighted) standard deviation of their column, of many rows of a
            sample of them, so that columns of different units can be compared. The deviation is taken as known.
        **kwargs : dict
            For `plot`: ``ax``, ``name``, ``sort`` and more.

        Returns
        -------
        CoefficientDisplay

        Raises
        ------
        TypeError, ValueError
            As `coef_table`.
        """
        pyplot(cls.__name__)
        table = coef_table(estimator, X, y, sample_weight=sample_weight, offset=offset, cov=cov, level=level)
        objective = Fitted(estimator, X, y, sample_weight, offset=offset).objective
        k = objective.loss.n_outputs
        outputs = range(k) if objective.class_names is None else objective.class_names
        display = cls(
            table,
            features=[objective.name(j) for j in range(objective.n_features)],
            outputs=list(outputs) if k > 1 else None,
            deviation=objective.rows.moments(True)[1] if standardise else None,
        )
        return display.plot(**kwargs)

    def plot(
        self, ax: Any = None, *, name: str | None = None, sort: bool = False, most: int = _MOST_FEATURES, **kwargs: Any
    ) -> "CoefficientDisplay":
        """Plot the coefficients.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default those of a new figure, as high as the features need.
        name : str, optional
            Title, of the legend where there are several outputs.
        sort : bool, default=False
            Whether the largest estimate comes first (of several outputs that of the largest size) rather than the
            first column.
        most : int, default=40
            Of more features those are shown whose statistic (estimate over standard error) is largest in size, and the
            title says how many are left out.
        **kwargs : dict
            For `matplotlib.axes.Axes.plot`, of the estimates.

        Returns
        -------
        CoefficientDisplay

        Raises
        ------
        ValueError
            For ``most`` below 1.
        """
        check_count("most", most)
        estimate, lower, upper = (self._grid(field) for field in ("estimate", "lower", "upper"))
        self.shown_ = self._chosen(sort, most, estimate)
        n, k = len(self.shown_), estimate.shape[1]
        height = max(4.8, _FRAME + n * (_ROW + _OUTPUT * (k - 1)))
        self.ax_ = ax = axes(type(self).__name__, ax, height)
        self.figure_ = ax.figure
        self.lines_, self.intervals_ = [], []
        shifts = _SPREAD * (np.arange(k) - (k - 1) / 2) / k
        for output, shift, colour in zip(range(k), shifts, cycle(COLOURS), strict=False):
            at, rows = np.arange(n) + shift, self.shown_
            label = None if self.outputs is None else str(self.outputs[output])
            style = {"marker": "o", "markersize": 5, "linestyle": "none", "color": colour, "label": label}
            style = line_style(style, kwargs)
            self.lines_ += ax.plot(estimate[rows, output], at, **style)
            self.intervals_.append(ax.hlines(at, lower[rows, output], upper[rows, output], color=style["color"]))
        self._draw_frame(name)
        return self

    def _grid(self, field):
        """A column of the table as features by outputs, in standard deviations if those were given."""
        k = 1 if self.outputs is None else len(self.outputs)
        values = np.asarray(getattr(self.table, field), dtype=float)[: len(self.features) * k]
        values = values.reshape(len(self.features), k)
        return values if self.deviation is None or field == "statistic" else values * self.deviation[:, None]

    def _chosen(self, sort, most, estimate):
        """The features that are shown, in their order."""
        rows = np.arange(len(self.features))
        if len(rows) > most:
            sizes = np.nan_to_num(np.abs(self._grid("statistic")), nan=-1.0).max(axis=1)
            rows = np.sort(np.argsort(-sizes, kind="stable")[:most])
        if not sort:
            return rows
        keys = estimate[rows, 0] if estimate.shape[1] == 1 else np.abs(estimate[rows]).max(axis=1)
        return rows[np.argsort(-keys, kind="stable")]

    def _draw_frame(self, name):
        ax, n = self.ax_, len(self.shown_)
        ax.axvline(0, color="0.5", linewidth=1, zorder=0)
        ax.set_yticks(np.arange(n), [self.features[i] for i in self.shown_])
        ax.set_ylim(n - 0.5, -0.5)
        unit = "" if self.deviation is None else " times the standard deviation of its column"
        level = f"{100 * self.table.level:g}% intervals for {self.table.target}"
        ax.set_xlabel(f"coefficient{unit}\n{textwrap.fill(level, _LINE)}")
        left_out = len(self.features) - n
        titles = [f"{left_out} features of smaller statistic are left out"] if left_out else []
        if self.outputs is not None:
            ax.legend(title=name)
        elif name is not None:
            titles.insert(0, name)
        if titles:
            ax.set_title("\n".join(titles), fontsize="medium")
