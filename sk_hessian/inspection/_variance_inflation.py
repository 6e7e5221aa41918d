"""How much the errors of coefficients grow because the columns depend on each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular

from sk_hessian._report import Report
from sk_hessian._text import listed
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._terms import Layout
from sk_hessian.inspection._text import ParameterTable


@dataclass(frozen=True, eq=False, repr=False)
class VarianceInflation(Report, ParameterTable):
    """What `variance_inflation` returns; arrays of shape (n_terms,).

    Attributes
    ----------
    names : list of str
        The terms.
    gvif : ndarray
        Generalized variance inflation factors; of one column the factor by which the variance of its coefficient is
        larger than if the column were uncorrelated with the others: the classic VIF, 1 / (1 - R^2) of least squares.
    df : ndarray
        Columns of each term.
    inflation : ndarray
        ``gvif ** (1 / (2 df))``, by which the error of one coefficient grows; comparable between terms of more and of
        fewer columns.
    model : str
    centred : bool
        Whether the columns are taken about their means, as they are in a model with an intercept.
    """

    names: list
    gvif: np.ndarray
    df: np.ndarray
    inflation: np.ndarray
    model: str
    centred: bool

    _columns = ("gvif", "df", "inflation")
    _decimals: ClassVar = {"gvif": 3, "inflation": 3}

    def _header(self):
        kind = "generalized variance inflation factor, by the information at the fit, as vif of R's package car"
        about = "columns about their means" if self.centred else "columns about zero: the model has no intercept"
        return [("model", self.model), ("GVIF", kind), ("about", about)]

    def _rows(self):
        return [["", "GVIF", "df", "GVIF^(1/(2 df))"], *self._cells()]


def variance_inflation(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    terms: Sequence[str] | Mapping[str, Any] | None = None,
    names: Sequence[str] | None = None,
) -> VarianceInflation:
    """Generalized variance inflation factors of the columns, or of groups of them, in a fitted model.

    With R the correlations of the coefficients' estimates, the intercept left out, R_1 those of a term's columns and
    R_2 those of the others, the factor is det(R_1) det(R_2) / det(R) [1]_. Of one column in least squares it is the
    classic 1 / (1 - R^2). Of other models rows count as much as their curvature at the fit, so that the factor depends
    on y. Weights and the offset of the fit count too.

    Parameters
    ----------
    estimator : fitted linear model of sk_hessian, or pipeline
        Without a penalty, with verdict "optimal", of one linear predictor or of least squares.
    X, y, sample_weight, offset
        The rows that it was fitted on.
    terms : sequence of str, or dict, optional
        Columns or patterns, such as ``["age", "site_*"]``: the columns of a pattern, such as the indicators of a
        categorical one, are one term. A dict has names of terms and lists of columns. By default each column is one.
    names : sequence of str, optional
        What the columns are called, for an X without names.

    Returns
    -------
    VarianceInflation

    Raises
    ------
    ValueError
        For a fit that is penalised, not optimal, or of other rows; for columns that depend on each other exactly; for
        softmax models; for unknown names.
    TypeError
        For something that is no linear model of sk_hessian.

    References
    ----------
    .. [1] J. Fox, G. Monette, "Generalized collinearity diagnostics", JASA 87, 1992.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_hessian.inspection import variance_inflation
    >>> from sk_hessian.linear_model import LinearRegression
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> print(variance_inflation(LinearRegression().fit(X, y), X, y, terms={"bmi": "bmi", "sera": ["s1", "s2", "s3"]}))
    model  LinearRegression
    GVIF   generalized variance inflation factor, by the information at the fit, as vif of
           R's package car
    about  columns about their means
    ---------------------------------
            GVIF  df  GVIF^(1/(2 df))
    bmi    1.509   1            1.229
    sera  57.515   3            1.965
    """
    fitted = Fitted(estimator, X, y, sample_weight, names=names, offset=offset)
    _check(fitted)
    layout, k = Layout.of(fitted), fitted.loss.n_outputs
    # of several targets the columns are the same
    positions = [i for i in range(len(layout.features) * k) if i % k == 0]
    groups = _groups(terms, layout)
    root = fitted.conventional(fitted.factor("expected"))[positions]
    # R = T'T of the correlations; of the columns alone, though the root may be of more
    T: Any = np.linalg.qr((root / np.linalg.norm(root, axis=1, keepdims=True)).T, mode="r")
    inverse = solve_triangular(T, np.eye(len(T)))
    factors = [np.exp(_log_det(T[:, group]) + _log_det(inverse[group].T)) for group in groups.values()]
    df = np.array([len(group) for group in groups.values()], dtype=float)
    return VarianceInflation(
        names=list(groups),
        gvif=np.array(factors),
        df=df,
        inflation=np.array(factors) ** (1 / (2 * df)),
        model=fitted.name,
        centred=bool(fitted.objective.fit_intercept),
    )


def _log_det(A):
    """The logarithm of det(A'A)."""
    return 2 * np.log(np.abs(np.diag(np.linalg.qr(A, mode="r")))).sum()


def _check(fitted):
    """Refuse fits whose information is not the inverse of a covariance."""
    if not fitted.objective.model.is_linear:
        raise TypeError(f"variance_inflation is for linear models, not for {fitted.name}")
    if fitted.loss.shift_invariant:
        raise ValueError(
            "variance_inflation is for one linear predictor, and a softmax model has one for each class: take the "
            "factors of LinearRegression on the same columns"
        )
    if fitted.prior == "normal":
        raise ValueError(
            f"variance_inflation is for fits without a penalty, and this {fitted.name} has one, which takes part of "
            "the inflation away: fit without, or take the factors of LinearRegression on the same columns"
        )
    fitted.require_likelihood("variance_inflation")
    fitted.require_optimum("variance_inflation")
    flat = fitted.objective.flat_directions()
    if flat:
        raise ValueError(f"variance_inflation: {listed(flat)}: the factor is infinite. Drop such columns")


def _groups(terms, layout):
    """Name of a term -> the positions of its features."""
    if terms is None:
        return {name: [j] for j, name in enumerate(layout.features)}
    if isinstance(terms, str):
        terms = [terms]
    if not isinstance(terms, Mapping):
        terms = {term: term for term in terms}
    groups = {}
    for label, members in terms.items():
        members = [members] if isinstance(members, str) else members
        found = sorted({i // layout.n_outputs for term in members for i in layout.positions(term, "terms")})
        if not found or found[-1] >= len(layout.features):
            raise ValueError(f"terms: {label!r} must be of columns of X, without the intercept")
        groups[str(label)] = found
    if not groups:
        raise ValueError("terms must name at least one column")
    return groups
