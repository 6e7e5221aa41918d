"""The eigenvalues of a Hessian."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian.inspection._checks import check_choice
from sk_hessian.inspection._displays._shared import COLOURS, axes, count_along_x, line_style, pyplot
from sk_hessian.inspection._spectrum import spectrum

#: a density below this share of its largest value is not drawn
_LEAST_DENSITY = 1e-6


class HessianSpectrumDisplay:
    """The eigenvalues of the Hessian at a fit: how much worse conditioned one direction is than another.

    The largest comes first; sizes are on a logarithmic axis, negative ones have a marker of their own. Of a large model
    it is the spectral density.

    Parameters
    ----------
    spectrum : Spectrum
        What `sk_hessian.inspection.spectrum` returns.

    Attributes
    ----------
    ax_, figure_
        Axes and figure of the latest plot.
    lines_ : list of matplotlib.lines.Line2D
        Positive eigenvalues, and negative ones if there are any; or the density and the known eigenvalues.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sk_hessian.inspection import HessianSpectrumDisplay
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> display = HessianSpectrumDisplay.from_estimator(LogisticRegression().fit(X, y), X, y)
    """

    def __init__(self, spectrum):
        self.spectrum = spectrum

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None,
        *,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        kind: str = "observed",
        units: str = "raw",
        ax: Any = None,
        **kwargs: Any,
    ) -> "HessianSpectrumDisplay":
        """Compute the spectrum of a fitted estimator's Hessian and plot it.

        For a Hessian of your own, or other options, pass a spectrum to the class.

        Parameters
        ----------
        estimator : fitted estimator of sk_hessian
        X, y, sample_weight, offset
            The rows that it was fitted on.
        kind : {"observed", "expected", "gauss-newton"}
        units : {"raw", "standardised"}
            See `sk_hessian.inspection.spectrum`.
        ax, **kwargs
            See `plot`.

        Returns
        -------
        HessianSpectrumDisplay

        Raises
        ------
        TypeError, ValueError
            As `spectrum`.
        """
        pyplot(cls.__name__)
        found = spectrum(estimator, X, y, sample_weight=sample_weight, kind=kind, units=units, offset=offset)
        return cls(found).plot(ax, **kwargs)

    def plot(
        self, ax: Any = None, *, name: str | None = None, show: str = "auto", **kwargs: Any
    ) -> "HessianSpectrumDisplay":
        """Plot the eigenvalues or their density.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default those of a new figure.
        name : str, optional
            Title.
        show : {"auto", "eigenvalues", "density"}
            "auto" is the eigenvalues where all are known, else the density. What is zero to working precision is drawn
            at the rounding error of the largest, with a line there.
        **kwargs : dict
            For `matplotlib.axes.Axes.plot`.

        Returns
        -------
        HessianSpectrumDisplay

        Raises
        ------
        ValueError
            For an unknown ``show``.
        """
        check_choice("show", show, ("auto", "eigenvalues", "density"))
        is_density = show == "density" or (show == "auto" and not self.spectrum.is_exact)
        self.ax_ = axes(type(self).__name__, ax)
        self.figure_ = self.ax_.figure
        self.lines_ = self._draw_density(kwargs) if is_density else self._draw_values(kwargs)
        if name is not None:
            self.ax_.set_title(name)
        return self

    def _draw_values(self, style):
        ax, values = self.ax_, np.asarray(self.spectrum.values)[::-1]
        rounding = max(self.spectrum.rounding, np.finfo(float).tiny)
        ranks = np.arange(1, len(values) + 1)
        if not self.spectrum.is_exact:
            # those in the middle are not known
            ranks[len(values) // 2 :] += self.spectrum.size - len(values)
        is_lost, is_negative = np.abs(values) <= rounding, values < -rounding
        style = line_style({"linestyle": "none", "markersize": 5}, style)
        positive = np.where(is_lost, rounding, np.where(is_negative, np.nan, values))
        lines = ax.plot(ranks, positive, **{"marker": "o", "color": COLOURS[0], "label": "positive", **style})
        if is_negative.any():
            negative = np.where(is_negative, -values, np.nan)
            lines += ax.plot(ranks, negative, **{"marker": "v", "color": COLOURS[1], "label": "negative", **style})
        if is_lost.any():
            ax.axhline(rounding, color="0.5", linestyle=":", linewidth=1, label="zero to working precision")
        ylabel = f"size of the eigenvalue, {self.spectrum.units} units"
        ax.set(xlabel="rank, the largest eigenvalue first", ylabel=ylabel, yscale="log")
        count_along_x(ax)
        condition = self.spectrum.condition_number
        ax.legend(title=f"condition number {'unknown' if np.isnan(condition) else format(condition, '.3g')}")
        return lines

    def _draw_density(self, style):
        grid, density = self.spectrum.density
        least = _LEAST_DENSITY * np.max(density)
        shown, values = np.where(density > least, density, np.nan), self.spectrum.values
        lines = self.ax_.plot(grid, shown, **line_style({"color": COLOURS[0], "label": "density, smoothed"}, style))
        ticks = {"linestyle": "none", "marker": "|", "markersize": 12, "color": COLOURS[1]}
        label = "all eigenvalues" if self.spectrum.is_exact else "known eigenvalues"
        lines += self.ax_.plot(values, np.full(len(values), least), label=label, **ticks)
        xlabel = f"eigenvalue, {self.spectrum.units} units"
        self.ax_.set(xlabel=xlabel, ylabel="share of the eigenvalues per unit", yscale="log")
        self.ax_.legend()
        return lines
