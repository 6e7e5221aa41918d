"""Combinations of parameters that the rows do not determine, or hardly."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import qr

from sk_hessian._report import Report
from sk_hessian.inspection._checks import check_share, finite
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._hessian import sentence
from sk_hessian.inspection._standardised import Standardised

#: curvature below this share of the largest is rounding: such directions have no order among themselves
_ROUNDING = 1e-12

#: share of a term below which it is rounding
_TINY = 1e-6

#: digits after which two shares are equal but for rounding
_TIE_DIGITS = 6

#: parameters up to which all eigenvectors are affordable
MAX_DENSE = 2000

#: terms that a sentence lists
_MOST_TERMS = 6


@dataclass(frozen=True, repr=False)
class FlatDirection(Report):
    """A combination of parameters along which the objective is almost flat.

    Attributes
    ----------
    coefficients : dict of str to float
        The parameters that change along it, by name, in the user's units; the leading one changes by one.
    curvature_share : float
        Its curvature in standardised units as a share of that of a typical parameter alone: zero but for rounding
        where the rows do not determine the combination at all. The standard error of the combination is
        1 / sqrt(curvature_share) times larger than if the other parameters were known.
    vector : ndarray of shape (n_parameters,)
        The same direction as a parameter vector.
    """

    coefficients: dict
    curvature_share: float
    vector: np.ndarray = field(repr=False)

    @property
    def combination(self) -> str:
        """The direction in words, such as ``"x2 - 2 x0 - 3 intercept"``."""
        return sentence(self.coefficients, self.coefficients.values(), _MOST_TERMS)

    def _title(self):
        if self.curvature_share <= _ROUNDING:
            return f"The objective does not change along {self.combination}."
        return (
            f"The objective is almost flat along {self.combination} (curvature {self.curvature_share:.2g} of typical)."
        )


def flat_directions(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    tolerance: float = 1e-6,
    **fit_data: ArrayLike | None,
) -> list[FlatDirection]:
    """Combinations of parameters that the rows, and the penalty, do not determine, or hardly.

    From the (near-)null space of the Hessian at the fit, L2 penalty included, with centred columns and unit diagonal:
    dependent columns, constant columns beside an intercept, one-hot columns beside an intercept, more columns than
    rows, and combinations that are determined weakly. What a penalty alone determines is weak, not flat. The common
    shift of softmax outputs is a symmetry of the model, and not listed.

    Directions that are flat to rounding (curvature below 1e-12 of the largest, so columns that differ by less than a
    millionth) are given as one leading parameter each and what makes up for it; weak ones are eigenvectors, the
    flattest first.

    Parameters
    ----------
    estimator : fitted estimator of sk_hessian
    X, y, sample_weight
        The rows that it was fitted on.
    tolerance : float, default=1e-6
        Eigenvalues up to this share of the largest are listed. 1e-6 inflates a standard error about a thousandfold;
        1e-3 is Belsley, Kuh and Welsch's condition index of 30 [1]_, strong collinearity.
    **fit_data
        What else the fit was given for each row: ``offset``, of shape (n_samples,) or (n_samples, n_outputs). And
        ``names`` (sequence of str): what the columns are called, for an X without names.

    Returns
    -------
    list of FlatDirection

    Raises
    ------
    ValueError, TypeError
        For bad rows, a tolerance outside (0, 1), more than 2000 parameters, and a Hessian that is not finite.

    References
    ----------
    .. [1] D. Belsley, E. Kuh, R. Welsch, "Regression diagnostics", 1980, chapter 3.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.linear_model import LinearRegression
    >>> x = np.arange(10.0)
    >>> X = np.column_stack([x, x**2, 2 * x + 3])
    >>> for direction in flat_directions(LinearRegression().fit(X, x), X, x):
    ...     print(direction)
    The objective does not change along x0 - 0.5 x2 + 1.5 intercept.
    """
    check_share("tolerance", tolerance)
    fitted = Fitted(estimator, X, y, sample_weight, **fit_data)
    if fitted.theta.size > MAX_DENSE:
        raise ValueError(
            f"flat directions of {fitted.theta.size} parameters need all eigenvectors, which are affordable up to "
            f"{MAX_DENSE}; use spectrum(..., units='standardised', k=6, eigenvectors=True) for some"
        )
    units = Standardised(fitted.objective, fitted.theta)
    H = finite(units.matrix("observed", without_symmetries=True))
    values, vectors = np.linalg.eigh(H)
    return near_null(units, H, values, vectors, tolerance, fitted.parameter_names)


def near_null(units, H, values, vectors, tolerance, names):
    """The flat directions of a spectrum in standardised coordinates; a list of FlatDirection."""
    largest = np.abs(values).max()
    typical = np.abs(np.diag(H)).mean() or 1.0
    exact = np.abs(values) <= _ROUNDING * largest
    weak = (np.abs(values) <= tolerance * largest) & ~exact
    found = [*_with_leaders(vectors[:, exact]).T, *vectors[:, weak][:, np.argsort(np.abs(values[weak]))].T]
    T = np.stack([units.to_theta(e) for e in np.eye(len(H))], axis=1) if found else None
    return [_direction(u, T, max(float(u @ H @ u / (u @ u)), 0.0) / typical, names) for u in found]


def _with_leaders(null):
    """A basis of the same space in which each vector has an entry of one that the others have not."""
    if not null.shape[1]:
        return null
    leaders = qr(null.T, mode="r", pivoting=True)[1][: null.shape[1]]
    return np.linalg.solve(null[leaders].T, null.T).T


def _direction(u, T, share, names):
    theta, terms = T @ u, np.abs(T) @ np.abs(u)
    # what is left of large terms is rounding, and so is what is small in the unit of its own coordinate
    theta[np.abs(theta) <= _TINY * np.maximum(terms, np.abs(np.diag(T)) * np.abs(u).max())] = 0.0
    # rounded, so that of equals the first leads on every machine
    weight = np.round(np.abs(u) / np.abs(u).max(), _TIE_DIGITS) * (theta != 0)
    leader = np.argmax(weight)
    theta = theta / theta[leader]
    order = [leader, *(i for i in np.argsort(-weight, kind="stable") if i != leader and theta[i] != 0)]
    return FlatDirection({names[i]: float(theta[i]) for i in order}, share, theta)
