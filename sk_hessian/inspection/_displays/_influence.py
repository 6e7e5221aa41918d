"""Which rows a fit hangs on."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian.inspection._checks import check_count
from sk_hessian.inspection._displays._shared import COLOURS, axes, pyplot
from sk_hessian.inspection._influence import influence
from sk_hessian.inspection._row_labels import row_names

#: area of the bubble of the largest Cook's distance in square points, and as a share of it the least that can be seen
_LARGEST_AREA, _LEAST_SHARE = 400.0, 0.01

#: of more rows bubbles are smaller, by the root of how many more
_MANY_ROWS = 500

#: where a label may be beside its bubble, in the order in which places are tried
_ANGLES = np.deg2rad([45, 135, -45, -135, 0, 180, 90, -90])

#: distances of a label from its bubble, in points
_GAPS = (3.0, 12.0, 24.0, 40.0, 60.0)


class InfluenceDisplay:
    """Leverage against standardised residual of each row, the area of a bubble being Cook's distance.

    A row of large leverage is far from the others, one of large residual does not fit; a row of both moves the fit.

    Parameters
    ----------
    influence : object
        What `sk_hessian.inspection.influence` returns: ``leverage``, ``residual`` and ``cooks_distance``, each of shape
        (n_samples,).
    labels : sequence of shape (n_samples,), optional
        What the rows are called; by default the ``labels`` of the influence, and their positions if it has none.

    Attributes
    ----------
    ax_, figure_
        Axes and figure of the latest plot.
    points_ : matplotlib.collections.PathCollection
        The bubbles, in the order of the rows.
    text_ : list of matplotlib.text.Annotation
        The labels, of the most influential row first.

    References
    ----------
    .. [1] R. Cook, S. Weisberg, "Residuals and Influence in Regression", 1982.
    .. [2] D. Hoaglin, R. Welsch, "The hat matrix in regression and ANOVA", The American Statistician 32(1), 1978, for
       twice the mean leverage.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import InfluenceDisplay
    >>> from sk_hessian.linear_model import LinearRegression
    >>> X, y = load_diabetes(return_X_y=True)
    >>> display = InfluenceDisplay.from_estimator(LinearRegression().fit(X, y), X, y)
    """

    ax_: Any

    def __init__(self, influence, *, labels=None):
        self.influence = influence
        if labels is None:
            labels = getattr(influence, "labels", np.arange(len(influence.leverage)))
        # a series would be asked for labels, not for positions
        self.labels = list(labels) if hasattr(labels, "iloc") else labels
        if len(self.labels) != len(influence.leverage):
            raise ValueError(f"labels must be one for each of {len(influence.leverage)} rows, got {len(self.labels)}")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None,
        *,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        curvature: str | None = None,
        labels: ArrayLike | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> "InfluenceDisplay":
        """Compute the influence of the rows of a fit and plot it.

        Parameters
        ----------
        estimator : fitted estimator of sk_hessian
        X, y, sample_weight, offset, curvature
            See `sk_hessian.inspection.influence`.
        labels : sequence of shape (n_samples,), optional
            What the rows are called; by default the index of a data frame, else their positions.
        ax, **kwargs
            See `plot`.

        Returns
        -------
        InfluenceDisplay

        Raises
        ------
        TypeError, ValueError
            As `influence`.
        """
        pyplot(cls.__name__)
        rows = influence(estimator, X, y, sample_weight=sample_weight, offset=offset, curvature=curvature)
        return cls(rows, labels=labels).plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, n_labels: int = 5, **kwargs: Any) -> "InfluenceDisplay":
        """Plot the rows.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default those of a new figure.
        name : str, optional
            Title of the legend.
        n_labels : int, default=5
            How many rows of largest Cook's distance are labelled.
        **kwargs : dict
            For `matplotlib.axes.Axes.scatter`.

        Returns
        -------
        InfluenceDisplay

        Raises
        ------
        ValueError
            For a bad ``n_labels``.

        Notes
        -----
        A row without which the parameters are not determined has no residual: it is not drawn, and the axis says how
        many there are.
        """
        check_count("n_labels", n_labels, least=0)
        leverage, residual, cook = (
            np.asarray(getattr(self.influence, field), dtype=float)
            for field in ("leverage", "residual", "cooks_distance")
        )
        self.ax_ = ax = axes(type(self).__name__, ax)
        self.figure_ = ax.figure
        is_drawn = np.isfinite(residual) & np.isfinite(cook)
        share = cook / (cook[is_drawn].max(initial=0.0) or 1.0)
        largest = _LARGEST_AREA / np.sqrt(max(1.0, len(cook) / _MANY_ROWS))
        areas = np.where(is_drawn, largest * np.maximum(share, _LEAST_SHARE), 0.0)
        style = {"alpha": 0.5, "linewidths": 0, "label": "area: Cook's distance", **kwargs}
        if "c" not in style:
            style.setdefault("color", COLOURS[0])
        self.points_ = ax.scatter(leverage, np.where(is_drawn, residual, np.nan), s=areas, **style)
        grey = {"color": "0.5", "linewidth": 1}
        ax.axhline(0, **grey)
        ax.axvline(2 * leverage.mean(), linestyle="--", label="twice the mean leverage", **grey)
        ax.set(xlabel="leverage", ylabel="standardised residual")
        ax.margins(0.08)
        ax.legend(title=name, loc="lower center", bbox_to_anchor=(0.5, 1.01), ncols=2)
        if not is_drawn.all():
            ax.set_xlabel(f"leverage ({(~is_drawn).sum()} rows without a residual are not drawn)")
        order = np.argsort(np.where(is_drawn, -cook, np.inf), kind="stable")
        rows = order[: min(n_labels, is_drawn.sum())]
        radii = np.sqrt(areas / np.pi)
        self.text_ = [
            _annotate(ax, name, (leverage[i], residual[i]), radii[i])
            for i, name in zip(rows, row_names(self.labels, rows), strict=True)
        ]
        points = np.column_stack([leverage, residual])[is_drawn]
        _place(ax, self.text_, radii[rows], points, radii[is_drawn])
        return self


def _annotate(ax, label, point, radius):
    arrow = {"arrowstyle": "-", "color": "0.5", "shrinkA": 0, "shrinkB": radius}
    centred = {"ha": "center", "va": "center", "textcoords": "offset points", "zorder": 3}
    return ax.annotate(label, point, (0, 0), arrowprops=arrow, **centred)


def _place(ax, texts, radii, points, all_radii):
    """Move labels to places beside their bubbles, the nearest that cover least of labels, lines and bubbles."""
    figure = ax.figure.canvas.figure
    # the layout decides how far the rows are apart
    figure.draw_without_rendering()
    pixels, frame = figure.dpi / 72, ax.get_window_extent().extents
    taken = _boxes(ax.transData.transform(points), (all_radii * pixels)[:, None])
    # a line through a number would be read as part of it
    taken = np.vstack([taken, *(line.get_window_extent().padded(pixels).extents for line in ax.get_lines())])
    for text, radius in zip(texts, radii, strict=True):
        centre, extent = ax.transData.transform(text.xy), text.get_window_extent()
        half = np.array([extent.width, extent.height]) / 2 + pixels
        places = centre + _steps(half, radius * pixels, pixels)
        boxes = _boxes(places, half)
        is_inside = (boxes[:, :2] >= frame[:2]).all(axis=1) & (boxes[:, 2:] <= frame[2:]).all(axis=1)
        clash = np.array([_overlap(box, taken) for box in boxes])
        best = np.argmin(np.where(is_inside, clash, np.inf))
        text.set_position((places[best] - centre) / pixels)
        # a short level line beside a number would look like its sign
        is_level = np.sin(_ANGLES[best % len(_ANGLES)]).round(12) == 0
        text.arrow_patch.set_visible(bool(best >= len(_ANGLES) or not is_level))
        taken = np.vstack([taken, boxes[best]])


def _steps(half, radius, pixels):
    """From the centre of a bubble to the centres of a label of this half size, the nearest first; shape (n, 2)."""
    directions = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)]).round(12)
    return np.vstack([directions * (radius + gap * pixels) + np.sign(directions) * half for gap in _GAPS])


def _boxes(centres, halves):
    """Left, bottom, right and top; shape (n, 4)."""
    return np.hstack([centres - halves, centres + halves])


def _overlap(box, boxes):
    """The area that a box shares with others."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    return np.prod(np.maximum(sides, 0), axis=1).sum()
