"""The Hessian of a fitted estimator, as products and as a matrix, in the user's units and in comparable ones."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator

from sk_hessian._report import Report, number_text
from sk_hessian._text import listed
from sk_hessian.inspection._checks import check_choice, check_point
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.objectives import Objective

#: what a user calls a kind of curvature -> what an objective calls it
KINDS = {"observed": "observed", "expected": "expected", "gauss-newton": "expected"}

#: terms that a named combination lists, and the share of the largest below which none is listed
_MOST_TERMS = 4
_LEAST_SHARE = 0.1


class HessianOperator(Report, LinearOperator):
    """The Hessian of an objective at a point: products in passes over the rows, and names.

    It is of the objective's own scale: the weighted mean loss plus half the L2 penalty. Times ``total_weight`` it is
    that of the sum over rows.

    Attributes
    ----------
    shape : (int, int)
    parameter_names : list of str
        What each row and column belongs to.
    kind : str
        "observed", "expected" or "gauss-newton".
    total_weight : float
        Sum of the weights of the rows; 1 for a function that is no mean over rows.
    """

    def __init__(self, objective, theta, kind):
        self._objective, self._theta, self.kind = objective, theta, kind
        self.parameter_names = objective.parameter_names(theta.size)
        self.total_weight = float(objective.total_weight)
        super().__init__(dtype=float, shape=(theta.size,) * 2)

    def _header(self):
        return [
            ("Hessian", f"{self.kind}, {self.shape[0]} x {self.shape[1]}, by products; toarray() gives the matrix"),
            ("parameters", listed(self.parameter_names, ", ")),
            ("total weight", number_text(self.total_weight)),
        ]

    @cached_property
    def _product(self):
        return self._objective.hessian(self._theta, KINDS[self.kind])

    def __getstate__(self):
        """Without the products at the point, which are had again: they are functions."""
        return {name: value for name, value in vars(self).items() if name != "_product"}

    def _matvec(self, v):
        return self._product.matvec(v)

    def _matmat(self, V):
        return self._product.matmat(V)

    def _adjoint(self):
        return self

    def toarray(self) -> np.ndarray:
        """The same as a matrix, summed over the rows at once.

        Returns
        -------
        ndarray of shape (n_parameters, n_parameters)
        """
        return self._objective.hessian_matrix(self._theta, KINDS[self.kind])


def hessian(
    estimator: Any,
    X: Any = None,
    y: ArrayLike | None = None,
    *,
    theta: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    kind: str = "observed",
    **fit_data: ArrayLike | None,
) -> HessianOperator:
    """The Hessian of a fitted estimator's objective, or of an objective at a point, as an operator with names.

    The objective is F = sum_i w_i loss_i / sum_i w_i + 1/2 sum_jk penalty_jk coef_jk^2, so that the Hessian is that of
    the weighted mean loss, and the L2 penalty is part of it. Multiply by ``total_weight`` for that of the sum over
    rows. The loss of a generalized linear model is half the deviance.

    Parameters
    ----------
    estimator : fitted estimator of sk_hessian, or Objective
        An objective, such as a `FunctionObjective`, has its own rows and needs ``theta``.
    X, y
        The rows to take it on, as of ``fit``.
    theta : array-like of shape (n_parameters,), optional
        The point; the fitted parameters by default.
    sample_weight : array-like of shape (n_samples,), optional
        That of the fit.
    kind : {"observed", "expected", "gauss-newton"}, default="observed"
        "observed" is the second derivative itself. "expected" is its mean over y, positive semi-definite: X'WX of
        Fisher scoring for a generalized linear model, J'HJ for a network, with J the derivative of the raw predictions
        and H the loss's expected Hessian. That is the Gauss-Newton matrix (Schraudolph 2002), so that "gauss-newton"
        means the same. For the canonical links (squared loss, logistic, softmax, Poisson with the log link) of linear
        models all three are one.
    **fit_data
        What else the fit was given for each row: ``offset``, of shape (n_samples,) or (n_samples, n_outputs). And
        ``names`` (sequence of str): what the columns are called, for an X without names.

    Returns
    -------
    HessianOperator of shape (n_parameters, n_parameters)
        A `scipy.sparse.linalg.LinearOperator` with ``parameter_names`` and ``toarray()``. A product is one pass over
        the rows for a linear model, two or three gradients for a network.

    Raises
    ------
    ValueError, TypeError
        For an unknown kind, for something that is neither an estimator of sk_hessian nor an objective, for bad rows,
        and for a point of another size.

    References
    ----------
    .. [1] N. Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent", Neural
       Computation 14(7), 2002.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> X, y = X.iloc[:, :2], y == 2
    >>> H = hessian(LogisticRegression().fit(X, y), X, y)
    >>> H.parameter_names
    ['sepal length (cm)', 'sepal width (cm)', 'intercept']
    >>> (H @ [0.0, 0.0, 1.0]).round(3)
    array([0.842, 0.406, 0.137])
    """
    check_choice("kind", kind, KINDS)
    objective, point = locate(estimator, X, y, theta, sample_weight=sample_weight, **fit_data)
    return HessianOperator(objective, point, kind)


def locate(estimator, X, y, theta, **fit_data):
    """An objective and a point (n_parameters,): of a fitted estimator and its rows, or an objective itself."""
    if isinstance(estimator, Objective):
        given = [name for name, value in {"X": X, "y": y, **fit_data}.items() if value is not None]
        if given:
            raise ValueError(f"{given[0]} belongs to an estimator: an objective has its own rows, pass theta alone")
        if theta is None:
            raise ValueError("theta is needed: an objective has no fitted parameters")
        return estimator, check_point(theta, getattr(estimator, "n_parameters", None))
    fitted = Fitted(estimator, X, y, **fit_data)
    return fitted.objective, fitted.theta if theta is None else check_point(theta, fitted.theta.size)


def combination(names, vector, most=_MOST_TERMS, least=_LEAST_SHARE):
    """The largest entries of a vector in words, such as ``"0.71 age - 0.71 income"``."""
    size = np.abs(vector)
    order = [i for i in np.argsort(-size, kind="stable") if size[i] > least * size.max()]
    return sentence([names[i] for i in order], vector[order], most)


def sentence(names, values, most):
    """A sum of named terms in words, no more than ``most`` of them, such as ``"x2 - 2 x0 and 3 more"``."""
    terms = [f"{'-' if value < 0 else '+'} {_factor(value)}{name}" for name, value in zip(names, values, strict=True)]
    text = " ".join(terms[:most]).removeprefix("+ ")
    return f"{text} and {len(terms) - most} more" if len(terms) > most else text


def _factor(value):
    return "" if f"{abs(value):.3g}" == "1" else f"{abs(value):.3g} "
