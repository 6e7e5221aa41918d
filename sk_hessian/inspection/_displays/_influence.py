"""Which rows a fit hangs on."""

import numpy as np

from sk_hessian.inspection._displays._shared import COLOURS, axes, pyplot

#: area of the bubble of the largest Cook's distance, and of the least that can be seen, in square points
_LARGEST_AREA, _LEAST_AREA = 400.0, 4.0

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
        What the rows are called; by default their numbers.

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
    >>> display = InfluenceDisplay.from_estimator(LinearRegression().fit(X, y), X, y)  # doctest: +SKIP
    """

    def __init__(self, influence, *, labels=None):
        self.influence = influence
        self.labels = np.arange(len(influence.leverage)) if labels is None else labels

    def plot(self, ax=None, *, name=None, n_labels=5, **kwargs):
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

        Notes
        -----
        A row without which the parameters are not determined has no residual: it is not drawn, and the label of the axis
        says how many there are.
        """
        leverage, residual, cook = (
            np.asarray(getattr(self.influence, field), dtype=float)
            for field in ("leverage", "residual", "cooks_distance")
        )
        self.ax_ = ax = axes(type(self).__name__, ax)
        self.figure_ = ax.figure
        is_drawn = np.isfinite(residual) & np.isfinite(cook)
        largest = cook[is_drawn].max(initial=0.0) or 1.0
        areas = np.where(is_drawn, np.maximum(_LARGEST_AREA * cook / largest, _LEAST_AREA), 0.0)
        style = {"color": COLOURS[0], "alpha": 0.5, "linewidths": 0, "label": "area: Cook's distance", **kwargs}
        self.points_ = ax.scatter(leverage, np.where(is_drawn, residual, np.nan), s=areas, **style)
        self._draw_lines(leverage)
        ax.set(xlabel="leverage", ylabel="standardised residual")
        ax.margins(0.08)
        ax.legend(title=name, loc="lower center", bbox_to_anchor=(0.5, 1.01), ncols=2)
        if not is_drawn.all():
            ax.set_xlabel(f"leverage ({(~is_drawn).sum()} rows without a residual are not drawn)")
        order = np.argsort(np.where(is_drawn, -cook, np.inf), kind="stable")
        rows = order[: min(n_labels, is_drawn.sum())]
        self.text_ = [_annotate(ax, f"{self.labels[i]}", (leverage[i], residual[i])) for i in rows]
        _place(ax, self.text_, np.sqrt(areas[rows] / np.pi))
        return self

    def _draw_lines(self, leverage):
        grey = {"color": "0.5", "linewidth": 1}
        self.ax_.axhline(0, **grey)
        self.ax_.axvline(2 * leverage.mean(), linestyle="--", label="twice the mean leverage", **grey)


def _annotate(ax, label, point):
    arrow = {"arrowstyle": "-", "color": "0.5", "shrinkA": 0, "shrinkB": 0}
    return ax.annotate(
        label, point, (0, 0), textcoords="offset points", ha="center", va="center", arrowprops=arrow, zorder=3
    )


def _place(ax, texts, radii):
    """Move labels to the nearest places beside their bubbles where they cover no other label and no labelled bubble."""
    figure = ax.figure.canvas.figure
    # the layout decides how far the rows are apart
    figure.draw_without_rendering()
    pixels, frame = figure.dpi / 72, ax.get_window_extent()
    centres = ax.transData.transform([text.xy for text in texts]) if texts else []
    taken = [_box(centre, np.full(2, radius * pixels)) for centre, radius in zip(centres, radii, strict=True)]
    for text, centre, radius in zip(texts, centres, radii, strict=True):
        extent = text.get_window_extent()
        half = np.array([extent.width, extent.height]) / 2 + pixels
        places = [centre + step for step in _steps(half, radius * pixels, pixels)]
        inside = [place for place in places if _contains(frame, _box(place, half))] or places
        clashes = [sum(_overlap(_box(place, half), box) for box in taken) for place in inside]
        place = inside[int(np.argmin(clashes))]
        text.set_position((place - centre) / pixels)
        taken.append(_box(place, half))


def _steps(half, radius, pixels):
    """From the centre of a bubble to the centres of a label of this half size, the nearest first."""
    for gap in _GAPS:
        for angle in _ANGLES:
            direction = np.array([np.cos(angle), np.sin(angle)]).round(12)
            yield direction * (radius + gap * pixels) + np.sign(direction) * half


def _box(centre, half):
    return np.concatenate([centre - half, centre + half])


def _overlap(a, b):
    """The area that two boxes (left, bottom, right, top) share."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return float(np.prod(np.maximum(sides, 0)))


def _contains(frame, box):
    return frame.x0 <= box[0] and frame.y0 <= box[1] and box[2] <= frame.x1 and box[3] <= frame.y1
