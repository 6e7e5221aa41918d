"""Penalties of columns that belong together, as values of ``penalty_weights``.

An L2 penalty asks each coefficient to be small. These ask the coefficients of a group of columns to be alike:

- `Differences`: neighbours, of ordered levels or of a spline, along a constant, a line or a parabola;
- `RandomWalk`: neighbours, in proportion to how far they are from each other;
- `TowardMean`: all of them, toward their mean;
- `Quadratic`: whatever a matrix of your own asks for.

One of them takes the place of ``I`` in ``alpha I`` for its columns: ``penalty_weights=Differences(2)`` for all columns
of a model, ``penalty_weights={"age_*": Differences(2)}`` for some of them, beside numbers for others.
"""

from dataclasses import KW_ONLY, dataclass, fields
from numbers import Integral, Real

import numpy as np

from sk_hessian._forms import check_form
from sk_hessian._text import listed
from sk_hessian.objectives import root_of

__all__ = ["Differences", "GroupPenalty", "Quadratic", "RandomWalk", "TowardMean"]

#: a weight that a fit chooses
CHOSEN = "evidence"

_DROPPED = (None, "first", "last")


@dataclass(frozen=True, repr=False)
class GroupPenalty:
    """How the coefficients of a group of columns are held together; what its subclasses share.

    Parameters
    ----------
    weight : float or "evidence", default=1.0
        Multiplies the penalty, as a number in ``penalty_weights`` does. "evidence" lets the fit choose it.
    dropped : {None, "first", "last"}, default=None
        The level that has no column, because its coefficient is zero: "first" after ``OneHotEncoder(drop="first")``,
        "last" after ``SplineTransformer(include_bias=False)``.

    Raises
    ------
    ValueError, TypeError
        For a bad value, naming the argument.
    """

    _: KW_ONLY
    weight: float | str = 1.0
    dropped: str | None = None

    def __post_init__(self):
        name = type(self).__name__
        if self.dropped not in _DROPPED:
            raise ValueError(f"{name}: dropped must be one of {listed(_DROPPED, ', ')}, got {self.dropped!r}")
        if isinstance(self.weight, str) and self.weight == CHOSEN:
            return
        if isinstance(self.weight, (bool, np.bool_)) or not isinstance(self.weight, Real):
            raise TypeError(f'{name}: weight must be a number or "{CHOSEN}", got {self.weight!r}')
        if not 0 <= self.weight < np.inf:
            raise ValueError(f"{name}: weight must be finite and not negative, got {self.weight!r}")

    def __repr__(self):
        said = [(field, getattr(self, field.name)) for field in fields(self)]
        options = [f"{field.name}={value!r}" for field, value in said if value is not field.default]
        return f"{type(self).__name__}({', '.join(options)})"

    def root(self, n_columns: int) -> np.ndarray:
        """R, for a penalty of ``weight |R b|^2 / 2`` times alpha.

        Parameters
        ----------
        n_columns : int
            How many columns the group has.

        Returns
        -------
        ndarray of shape (r, n_columns)
            Without the weight. What its null space has is not penalised.

        Raises
        ------
        ValueError
            For too few columns, or another number of columns than the penalty is for.
        """
        n_levels = n_columns + (self.dropped is not None)
        if n_levels < self._least_levels:
            raise ValueError(
                f"{type(self).__name__} needs at least {self._least_levels} levels, and this group has {n_levels}"
            )
        kept = {None: slice(None), "first": slice(1, None), "last": slice(-1)}[self.dropped]
        return self._root(n_levels)[:, kept]

    def matrix(self, n_columns: int) -> np.ndarray:
        """R'R, symmetric and positive semi-definite.

        Parameters
        ----------
        n_columns : int
            How many columns the group has.

        Returns
        -------
        ndarray of shape (n_columns, n_columns)
        """
        R = self.root(n_columns)
        return R.T @ R

    @property
    def _least_levels(self):
        """Fewer levels have nothing that could be penalised."""
        return 2

    def _root(self, n):
        """R of all levels (r, n), that of the dropped one included."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class Differences(GroupPenalty):
    """Squared differences of neighbours, for ordered levels and for splines.

    With D the differences of some order, K = D'D. A strong penalty of order 1 makes the coefficients equal, one of
    order 2 puts them on a line, one of order 3 on a parabola. On B-splines with equal steps that is a P-spline [1]_.

    Parameters
    ----------
    order : int, default=1
        1 for differences, 2 for differences of differences, and so on.
    cyclic : bool, default=False
        Whether the last level is a neighbour of the first, as of months, hours and periodic splines.
    weight : float or "evidence", default=1.0
        Multiplies the penalty, as a number in ``penalty_weights`` does. "evidence" lets the fit choose it.
    dropped : {None, "first", "last"}, default=None
        The level that has no column, because its coefficient is zero.

    Raises
    ------
    ValueError, TypeError
        For a bad value, naming the argument.

    References
    ----------
    .. [1] P. Eilers, B. Marx, "Flexible smoothing with B-splines and penalties", Statistical Science 11(2), 1996.

    Examples
    --------
    >>> from sk_hessian.penalties import Differences
    >>> Differences(order=2).matrix(4)
    array([[ 1., -2.,  1.,  0.],
           [-2.,  5., -4.,  1.],
           [ 1., -4.,  5., -2.],
           [ 0.,  1., -2.,  1.]])
    """

    order: int = 1
    cyclic: bool = False

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.order, bool) or not isinstance(self.order, Integral) or self.order < 1:
            raise ValueError(f"Differences: order must be 1, 2 or another positive integer, got {self.order!r}")
        if not isinstance(self.cyclic, (bool, np.bool_)):
            raise TypeError(f"Differences: cyclic must be True or False, got {self.cyclic!r}")

    @property
    def _least_levels(self):
        return self.order + 1

    def _root(self, n):
        D = np.eye(n)
        for _ in range(self.order):
            D = np.roll(D, -1, axis=0) - D if self.cyclic else np.diff(D, axis=0)
        return D


@dataclass(frozen=True, repr=False)
class RandomWalk(GroupPenalty):
    """Squared steps between neighbours, each divided by how far they are from each other.

    As the logarithm of a random walk's density: a step over twice the distance has twice the variance. Without ``at``
    it is ``Differences(1)``.

    Parameters
    ----------
    at : sequence of float, optional
        Where the levels are, in rising order; that of a dropped level too. None for equal steps of one.
    weight : float or "evidence", default=1.0
        Multiplies the penalty, as a number in ``penalty_weights`` does. "evidence" lets the fit choose it.
    dropped : {None, "first", "last"}, default=None
        The level that has no column, because its coefficient is zero.

    Raises
    ------
    ValueError, TypeError
        For a bad value, naming the argument.

    References
    ----------
    .. [1] H. Rue, L. Held, "Gaussian Markov Random Fields", 2005, section 3.3.

    Examples
    --------
    >>> from sk_hessian.penalties import RandomWalk
    >>> RandomWalk(at=[0, 1, 5]).matrix(3)
    array([[ 1.  , -1.  ,  0.  ],
           [-1.  ,  1.25, -0.25],
           [ 0.  , -0.25,  0.25]])
    """

    at: tuple[float, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.at is None:
            return
        try:
            at = np.asarray(self.at, dtype=float)
        except (TypeError, ValueError) as error:
            raise TypeError(f"RandomWalk: at must be numbers, where the levels are, got {self.at!r}") from error
        if at.ndim != 1 or not np.isfinite(at).all() or not (np.diff(at) > 0).all():
            raise ValueError(f"RandomWalk: at must be finite numbers in rising order, got {self.at!r}")
        # of a frozen dataclass: a tuple can be compared and hashed
        object.__setattr__(self, "at", tuple(at.tolist()))

    def _root(self, n):
        at = np.arange(n) if self.at is None else np.array(self.at)
        if len(at) != n:
            raise ValueError(f"RandomWalk: at has {len(at)} places, and this group has {n} levels")
        return np.diff(np.eye(n), axis=0) / np.sqrt(np.diff(at))[:, None]


@dataclass(frozen=True, repr=False)
class TowardMean(GroupPenalty):
    """Squared distances of the coefficients from their mean, which itself is free.

    Parameters
    ----------
    weight : float or "evidence", default=1.0
        Multiplies the penalty, as a number in ``penalty_weights`` does. "evidence" lets the fit choose it.
    dropped : {None, "first", "last"}, default=None
        The level that has no column, because its coefficient is zero.

    Raises
    ------
    ValueError, TypeError
        For a bad value, naming the argument.

    Examples
    --------
    >>> from sk_hessian.penalties import TowardMean
    >>> TowardMean().matrix(2)
    array([[ 0.5, -0.5],
           [-0.5,  0.5]])
    """

    def _root(self, n):
        return np.eye(n) - 1 / n


@dataclass(frozen=True, eq=False, repr=False)
class Quadratic(GroupPenalty):
    """A matrix of your own, such as the Laplacian of a graph of neighbouring regions.

    Parameters
    ----------
    form : array-like or sparse matrix of shape (n_levels, n_levels)
        K, symmetric and positive semi-definite, with a row and a column for a dropped level too.
    weight : float or "evidence", default=1.0
        Multiplies the penalty, as a number in ``penalty_weights`` does. "evidence" lets the fit choose it.
    dropped : {None, "first", "last"}, default=None
        The level that has no column, because its coefficient is zero.

    Raises
    ------
    ValueError, TypeError
        For a bad value, naming the argument.

    Examples
    --------
    >>> from sk_hessian.penalties import Quadratic
    >>> Quadratic([[2, -1], [-1, 2]], weight="evidence").matrix(2)
    array([[ 2., -1.],
           [-1.,  2.]])
    """

    form: object

    def __post_init__(self):
        super().__post_init__()
        check_form(self.form, "Quadratic: form", None, "levels")

    @property
    def _least_levels(self):
        return 1

    def _root(self, n):
        return root_of(check_form(self.form, "Quadratic: form", n, "levels of this group"))
