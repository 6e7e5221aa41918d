"""The strengths of a penalty that a fit has looked at."""

from typing import Any

import numpy as np

from sk_hessian.inspection._chain import Chain
from sk_hessian.inspection._displays._shared import COLOURS, axes, line_style, pyplot


class PenaltyPathDisplay:
    """What each strength of the penalty was worth to a fit that has chosen its own, on a logarithmic axis.

    Discs are fits, the line is what their curvature makes of the strengths beside them, and the vertical line is the
    strength that was chosen. Worse scores than the null model's are cut off.

    Parameters
    ----------
    path : PenaltyPath
        The ``penalty_path_`` of an estimator.

    Attributes
    ----------
    ax_, figure_
        Axes and figure of the latest plot.
    lines_ : list of matplotlib.lines.Line2D
        The curve, the fits, and the chosen strength.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import PenaltyPathDisplay
    >>> from sk_hessian.linear_model import Ridge
    >>> model = Ridge("loo").fit(*load_diabetes(return_X_y=True))
    >>> display = PenaltyPathDisplay.from_estimator(model)
    """

    def __init__(self, path):
        self.path = path

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> "PenaltyPathDisplay":
        """Plot the path of a fitted estimator, or of the last step of a pipeline.

        Parameters
        ----------
        estimator : estimator of sk_hessian
            Fitted with ``alpha`` (or ``C``) "evidence" or "loo".
        ax, **kwargs
            See `plot`.

        Returns
        -------
        PenaltyPathDisplay

        Raises
        ------
        TypeError
            For what is no estimator of sk_hessian.
        ValueError
            For a fit that has chosen no penalty.
        """
        pyplot(cls.__name__)
        model = Chain.of(estimator).estimator
        if not hasattr(model, "penalty_path_"):
            raise ValueError(
                f"this {type(model).__name__} has chosen no penalty, so that there is no path: fit it with "
                'alpha="evidence" or alpha="loo" (C of LogisticRegression)'
            )
        return cls(model.penalty_path_).plot(ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> "PenaltyPathDisplay":
        """Plot the path.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default those of a new figure.
        **kwargs
            Options of the curve, a line.

        Returns
        -------
        PenaltyPathDisplay
            This one.
        """
        ax, path = axes(type(self).__name__, ax), self.path
        finite = np.isfinite(path.score)
        values, score, is_fit = path.values[finite], path.score[finite], path.is_fit[finite]
        (curve,) = ax.plot(values, score, **line_style({"color": COLOURS[0]}, kwargs))
        (fits,) = ax.plot(values[is_fit], score[is_fit], "o", color=COLOURS[0], label="fits")
        chosen = ax.axvline(path.value, color=COLOURS[1], linestyle="--", label=f"{path.parameter}={path.value:.4g}")
        ax.set_xscale("log")
        if finite.any():
            self._cut(ax, score)
        ax.set_xlabel(path.parameter)
        ax.set_ylabel(path.score_name)
        ax.legend()
        self.ax_, self.figure_, self.lines_ = ax, ax.figure, [curve, fits, chosen]
        return self

    def _cut(self, ax, score):
        """Cut off what is worse than where the penalty leaves nothing of the model: it would hide the best."""
        sign = 1.0 if self.path.criterion == "evidence" else -1.0
        strongest = score[0] if self.path.parameter == "C" else score[np.argmax(self.path.values[: len(score)])]
        best = (sign * score).max() * sign
        span = abs(best - strongest)
        if span > 0:
            low, high = sorted((best + 0.05 * (best - strongest), strongest - 0.05 * (best - strongest)))
            ax.set_ylim(low, high)
