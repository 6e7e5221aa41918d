"""Predictions over one column, with the band of their intervals."""

import textwrap
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian._selection import rows_in_memory
from sk_hessian.inspection._checks import check_choice
from sk_hessian.inspection._displays._shared import COLOURS, axes, line_style, pyplot
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._predictions import average_table, prediction_table
from sk_hessian.inspection._uncertainty import CovarianceOptions
from sk_hessian.inspection._varied import VariedColumn

#: keywords that are those of the table, not of the plot
_OF_TABLE = {"level", "of", *CovarianceOptions.__annotations__}

#: what is said of the other columns
_HELD = {
    "mean": "the other columns at their means (categories at the most frequent)",
    "average": "averaged over the other columns of all rows",
}

#: what of a table is drawn
_DRAWN = ("mean", "lower", "upper")

#: characters of a line of a label, and how dark a band is
_LINE = 60
_BAND = 0.2


class PredictionDisplay:
    """Predictions over one column of X, with the band of their intervals.

    Parameters
    ----------
    table : PredictionTable
        The predictions of some rows, as `sk_hessian.inspection.prediction_table` returns them.
    points : array-like of shape (n,)
        The value of the column in each of these rows: numbers, or categories.
    feature : str
        What the column is called.
    held : str, optional
        A sentence on the other columns.

    Attributes
    ----------
    ax_, figure_
        Axes and figure of the latest plot.
    lines_ : list of matplotlib.lines.Line2D
        The predictions: one line for each output, of markers where the points are categories.
    bands_ : list of matplotlib.collections.Collection
        The intervals: bands, or bars of categories.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import PredictionDisplay
    >>> from sk_hessian.linear_model import LinearRegression
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> display = PredictionDisplay.from_estimator(LinearRegression().fit(X, y), X, y, "bmi")
    """

    ax_: Any

    def __init__(self, table, points, *, feature, held=None):
        self.table, self.points, self.feature, self.held = table, np.asarray(points), feature, held
        if self.points.shape != (len(table.mean),):
            raise ValueError(f"points must have one value for each of the {len(table.mean)} rows of the table")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None,
        feature: str | int,
        *,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        held: str = "mean",
        points: ArrayLike | None = None,
        **kwargs: Any,
    ) -> "PredictionDisplay":
        """Predict over the values of a column and plot that.

        Parameters
        ----------
        estimator : fitted linear model of sk_hessian, or a pipeline that ends with one
        X, y, sample_weight, offset
            The rows of the fit, see `sk_hessian.inspection.prediction_table`. Predictions are those for offset 0.
        feature : str or int
            A column of X, by its name in a data frame, by its number in an array. Of a pipeline X is what it takes.
        held : {"mean", "average"}, default="mean"
            "mean": the other columns are at their weighted means, categories (columns without numbers) at the most
            frequent one. "average": the average of the predictions of all rows, each with its own other columns, the
            partial dependence; its intervals are made on the scale of log odds for classes, and of logarithms for
            positive targets.
        points : array-like, optional
            Values of the column; by default 50 from the least to the largest, or all that there are where these are at
            most ten, or categories.
        **kwargs : dict
            ``level``, ``of``, ``cov`` and the other keywords of `sk_hessian.inspection.prediction_table`; all others
            are for `plot`: ``ax``, ``name`` and more.

        Returns
        -------
        PredictionDisplay

        Raises
        ------
        TypeError, ValueError
            As `prediction_table`; for a column that X does not have; for an average of observations or of a posterior.
        """
        pyplot(cls.__name__)
        check_choice("held", held, tuple(_HELD))
        of_table = {name: kwargs.pop(name) for name in _OF_TABLE & kwargs.keys()}
        fitted = Fitted(estimator, X, y, sample_weight, offset=offset)
        weight = np.asarray(1.0 if sample_weight is None else sample_weight, dtype=float)
        weight = weight if weight.ndim else np.ones(rows_in_memory(fitted.objective).n_rows)
        column = VariedColumn(X, feature, weight, points)
        if held == "average":
            table = average_table(fitted, sample_weight, column, **of_table)
        else:
            new = None if offset is None else np.zeros((len(column.points), *np.shape(offset)[1:]))
            rows = column.held(), X, y, sample_weight
            table = prediction_table(estimator, *rows, offset=offset, offset_new=new, **of_table)
        return cls(table, column.points, feature=column.name, held=_HELD[held]).plot(**kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> "PredictionDisplay":
        """Plot the predictions.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default those of a new figure.
        name : str, optional
            Title, of the legend where there are several outputs.
        **kwargs : dict
            For `matplotlib.axes.Axes.plot`, of the predictions.

        Returns
        -------
        PredictionDisplay
        """
        self.ax_ = ax = axes(type(self).__name__, ax)
        self.figure_ = ax.figure
        self.lines_, self.bands_ = [], []
        mean, lower, upper = (getattr(self.table, field).reshape(len(self.points), -1) for field in _DRAWN)
        is_category = self.points.dtype.kind not in "iuf"
        at = np.arange(len(self.points)) if is_category else self.points
        order = np.argsort(at, kind="stable")
        for j, colour in zip(range(mean.shape[1]), cycle(COLOURS), strict=False):
            label = None if self.table.outputs is None else str(self.table.outputs[j])
            style = {"color": colour, "label": label}
            style |= {"marker": "o", "linestyle": "none"} if is_category else {}
            style = line_style(style, kwargs)
            self.lines_ += ax.plot(at[order], mean[order, j], **style)
            ends = at[order], lower[order, j], upper[order, j]
            if is_category:
                self.bands_.append(ax.vlines(*ends, color=style["color"]))
            else:
                self.bands_.append(ax.fill_between(*ends, color=style["color"], alpha=_BAND, linewidth=0))
        if is_category:
            ax.set_xticks(at, [str(point) for point in self.points])
        self._draw_frame(name)
        return self

    def _draw_frame(self, name):
        ax, table = self.ax_, self.table
        what = f"{100 * table.level:g}% intervals of {table.subject}; about {table.target}"
        texts = [self.feature, *textwrap.wrap(what, _LINE), *textwrap.wrap(self.held or "", _LINE)]
        ax.set_xlabel("\n".join(texts))
        ax.set_ylabel("y" if table.of == "observation" else table.subject)
        if table.outputs is not None:
            ax.legend(title=name)
        elif name is not None:
            ax.set_title(name)
