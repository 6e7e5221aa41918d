"""The eigenvalues of a Hessian."""

import numpy as np

from sk_hessian.inspection._displays._shared import COLOURS, axes, check_choice, pyplot

#: a density below this share of its largest value is not drawn
_LEAST_DENSITY = 1e-6

_KINDS = ("auto", "eigenvalues", "density")


class HessianSpectrumDisplay:
    """The eigenvalues of the Hessian at a fit: how much worse conditioned one direction is than another.

    The largest comes first; sizes are on a logarithmic axis, negative ones have a marker of their own. Of a large model
    it is the spectral density.

    Parameters
    ----------
    spectrum : object
        What `sk_hessian.inspection.spectrum` returns: ``values``, ascending, and ``density``, a pair of arrays (grid,
        density) or None.

    Attributes
    ----------
    ax_, figure_
        Axes and figure of the latest plot.
    lines_ : list of matplotlib.lines.Line2D
        Positive eigenvalues, and negative ones if there are any; or the density.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sk_hessian.inspection import HessianSpectrumDisplay
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> display = HessianSpectrumDisplay.from_estimator(LogisticRegression().fit(X, y), X, y)  # doctest: +SKIP
    """

    def __init__(self, spectrum):
        self.spectrum = spectrum

    def plot(self, ax=None, *, name=None, kind="auto", **kwargs):
        """Plot the eigenvalues or their density.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default those of a new figure.
        name : str, optional
            Title.
        kind : {"auto", "eigenvalues", "density"}
            "auto" is the density where there is one. Eigenvalues that are not above the rounding error of the largest
            are drawn there, with a line.
        **kwargs : dict
            For `matplotlib.axes.Axes.plot`.

        Returns
        -------
        HessianSpectrumDisplay

        Raises
        ------
        ValueError
            For an unknown kind, or one that the spectrum does not have.
        """
        check_choice("kind", kind, _KINDS)
        is_density = kind == "density" or (kind == "auto" and self.spectrum.density is not None)
        if is_density and self.spectrum.density is None:
            raise ValueError('kind="density": this spectrum has eigenvalues only; use kind="eigenvalues"')
        self.ax_ = axes(type(self).__name__, ax)
        self.figure_ = self.ax_.figure
        self.lines_ = self._draw_density(kwargs) if is_density else self._draw_values(kwargs)
        if name is not None:
            self.ax_.set_title(name)
        return self

    def _draw_values(self, style):
        values, ax = np.asarray(self.spectrum.values)[::-1], self.ax_
        if not values.size:
            raise ValueError('kind="eigenvalues": this spectrum has a density only; use kind="density"')
        ranks, sizes = np.arange(1, len(values) + 1), np.abs(values)
        rounding = len(values) * np.finfo(float).eps * sizes.max()
        is_lost, is_negative = sizes <= rounding, values < -rounding
        style = {"linestyle": "none", **style}
        positive = np.where(is_lost, rounding, np.where(is_negative, np.nan, values))
        lines = ax.plot(ranks, positive, **{"marker": "o", "color": COLOURS[0], "label": "positive", **style})
        if is_negative.any():
            negative = np.where(is_negative, -values, np.nan)
            lines += ax.plot(ranks, negative, **{"marker": "v", "color": COLOURS[1], **style, "label": "negative"})
        if is_lost.any():
            ax.axhline(rounding, color="0.5", linestyle=":", linewidth=1, label="rounding error: no curvature")
        ax.set(xlabel="eigenvalue, the largest first", ylabel="size of the eigenvalue", yscale="log")
        ax.locator_params(axis="x", integer=True)
        if is_negative.any() or is_lost.any():
            ax.legend()
        return lines

    def _draw_density(self, style):
        grid, density = self.spectrum.density
        shown = np.where(density > _LEAST_DENSITY * np.max(density), density, np.nan)
        lines = self.ax_.plot(grid, shown, **{"color": COLOURS[0], **style})
        self.ax_.set(xlabel="eigenvalue", ylabel="spectral density", yscale="log")
        return lines
