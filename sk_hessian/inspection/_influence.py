"""What single rows did to a fit: leverage, Cook's distance, and the change of everything when a row is left out."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh

from sk_hessian._report import Report, column, number_text
from sk_hessian._selection import Removal, kept_rows, rows_in_memory, spread
from sk_hessian.inspection._checks import check_choice
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._likelihood import Weights, weights_of
from sk_hessian.inspection._row_labels import row_names
from sk_hessian.objectives import SingleRows

#: rows that a printed table lists
_MOST_SHOWN = 5

#: a remainder below this share of the weights is rounding
_LEAST_FREEDOM = 1e-10

#: a standard error below this share of what the Hessian alone gives is rounding
_ROUNDING = 1e-8


@dataclass(frozen=True, eq=False, repr=False)
class Influence(Report):
    """How much each row did to a fit; one entry for each row that was passed, zero for rows of weight zero.

    Attributes
    ----------
    leverage : ndarray of shape (n,)
        Derivative of a row's fitted predictor in its own (working) response, the diagonal of the hat matrix; the trace
        of the row's block where a row has several predictors.
    residual : ndarray of shape (n,)
        Internally studentised Pearson residual; of several predictors the root of the studentised chi-square, without
        sign.
    cooks_distance : ndarray of shape (n,)
    dfbetas : ndarray of shape (n, n_parameters)
        Parameters with the row less those without it, in standard errors; for least squares without a penalty by the
        residual variance of the other rows. It is computed anew from ``parameter_change`` whenever it is asked for, so
        that only one array of this size is kept.
    dffits : ndarray of shape (n,) or None
        The same for the row's own predictor; None where a row has several, or where there is no likelihood.
    parameter_change : ndarray of shape (n, n_parameters)
        Parameters without the row less those with it, by one Newton step.
    test_loss_change : ndarray of shape (n,) or None
        Change of the mean loss of the test rows when a row is left out, to second order in ``parameter_change``:
        positive where the row helps.
    standard_error : ndarray of shape (n_parameters,)
        The unit of ``dfbetas``.
    dispersion : float
    n_effective_parameters : float
        Sum of the leverages; the number of parameters where there is no penalty.
    names : list of str
        What the parameters are called.
    labels : pandas.Index, or ndarray of int of shape (n,)
        What the rows are called: the index of X, if X is a pandas data frame, else that of y, else positions from 0 on.

    Notes
    -----
    Where the largest eigenvalue of a row's hat block (its leverage, for one predictor) is one or more, the others do
    not determine the parameters: its residual, changes and ``dfbetas`` are nan, and Cook's distance is inf.
    """

    leverage: np.ndarray
    residual: np.ndarray
    cooks_distance: np.ndarray
    dffits: np.ndarray | None
    parameter_change: np.ndarray
    test_loss_change: np.ndarray | None
    standard_error: np.ndarray
    dispersion: float
    n_effective_parameters: float
    names: list
    labels: Any
    _deviation_ratio: np.ndarray

    @property
    def dfbetas(self):
        """See `Influence`."""
        return self._in_standard_errors(slice(None))

    def _in_standard_errors(self, rows):
        """``dfbetas`` of some rows."""
        determined = self.standard_error > 0
        unit = np.where(determined, self.standard_error, 1.0) * self._deviation_ratio[rows, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(determined, -self.parameter_change[rows] / unit, 0.0)

    def to_frame(self) -> Any:
        """One line for each row: leverage, residual, Cook's distance and ``dfbetas`` by parameter.

        Returns
        -------
        pandas.DataFrame
            With the index of the rows, see ``labels``.
        """
        import pandas as pd

        columns = {name: getattr(self, name) for name in ("leverage", "residual", "cooks_distance")}
        columns |= {name: getattr(self, name) for name in ("dffits", "test_loss_change")}
        columns = {name: values for name, values in columns.items() if values is not None}
        columns |= {f"dfbetas {name}": values for name, values in zip(self.names, self.dfbetas.T, strict=True)}
        return pd.DataFrame(columns, index=None if isinstance(self.labels, np.ndarray) else self.labels)

    def most_influential(self, n_rows: int = _MOST_SHOWN) -> Any:
        """The rows of largest Cook's distance, the largest first.

        Parameters
        ----------
        n_rows : int

        Returns
        -------
        pandas.Index or ndarray of int
            Their ``labels``: for a data frame X, ``X.loc[...]`` has these rows (and all others of the same label, where
            labels are not unique), for an array X, ``X[...]``.
        """
        return self.labels[self._order(n_rows)]

    def _order(self, n_rows=_MOST_SHOWN):
        """Positions of the rows of largest Cook's distance."""
        return np.argsort(-self.cooks_distance, kind="stable")[:n_rows]

    def _rows(self):
        """The rows of largest Cook's distance as text, headings first."""
        rows = self._order()
        columns = [column(values[rows]) for values in (self.leverage, self.residual, self.cooks_distance)]
        changes = [self._largest(row) for row in rows]
        return [
            ["row", "leverage", "residual", "Cook", "largest change without it, in standard errors"],
            *zip(row_names(self.labels, rows), *columns, changes, strict=True),
        ]

    def _remark(self):
        """How many rows there are, and those that the fit does not stand without."""
        text = f"{len(self.leverage)} rows, {number_text(self.n_effective_parameters)} effective parameters"
        undetermined = np.isinf(self.cooks_distance).sum()
        return text + (f"\nRows without which parameters are not determined: {undetermined}" if undetermined else "")

    def _largest(self, row):
        values = self._in_standard_errors([row])[0]
        if np.isnan(values).any():
            return "not determined without it"
        j = np.argmax(np.abs(values))
        return f"{-values[j]:+.3g} {self.names[j]}"


def influence(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    weights: str = "frequency",
    curvature: str | None = None,
    X_test: Any = None,
    y_test: ArrayLike | None = None,
    offset_test: ArrayLike | None = None,
    **fit_data: ArrayLike | None,
) -> Influence:
    """What each row did to a fit, from one factor of the Hessian and one pass over the rows.

    Leaving out a row removes all of its weight; the total penalty is held fixed. ``class_weight`` counts for the
    leverages and the changes; but it is no likelihood, so that residuals are without it, and standard errors and Cook's
    distance are those of a loss without a likelihood, by the gradients of the rows: they do not depend on its scale.

    Parameters
    ----------
    estimator : fitted estimator of sk_hessian
        With the verdict "optimal".
    X, y, sample_weight
        The rows that it was fitted on.
    weights : {"frequency", "analytic"}, default="frequency"
        What the weights mean, as of `coef_table`: "frequency", a row of weight 2 stands for two rows, and the
        dispersion is over the sum of the weights less the effective parameters; "analytic", it is one row of half the
        variance, and the dispersion is over the number of rows. Families without a dispersion do not tell them apart.
    curvature : {"observed", "expected"}, optional
        Of the rows and of the Hessian. By default the second derivative itself, or its expectation for losses that are
        not convex; the two differ for links that are not canonical, such as the logarithm of `GammaRegressor`.
    X_test, y_test, offset_test : optional
        Rows for ``test_loss_change``.
    **fit_data
        What else the fit was given for each row: ``offset``, of shape (n_samples,) or (n_samples, n_outputs). And
        ``names`` (sequence of str): what the columns are called, for an X without names.

    Returns
    -------
    Influence
        See there for definitions, and docs/influence.md for formulas.

    Raises
    ------
    ValueError
        For a fit that is not optimal, other rows than its own, a singular Hessian, several targets of a squared loss,
        rows of negative curvature, no degree of freedom for a dispersion, or a bad argument.

    References
    ----------
    .. [1] R. Cook, S. Weisberg, "Residuals and Influence in Regression", 1982.
    .. [2] D. Pregibon, "Logistic regression diagnostics", Annals of Statistics 9(4), 1981.
    .. [3] P. Koh, P. Liang, "Understanding black-box predictions via influence functions", ICML 2017.

    Examples
    --------
    >>> from sk_hessian.inspection import influence
    >>> from sk_hessian.linear_model import LinearRegression
    >>> X, y = [[0.0], [1.0], [2.0], [3.0], [10.0]], [0.1, 0.9, 2.1, 2.9, 5.0]
    >>> rows = influence(LinearRegression().fit(X, y), X, y)
    >>> rows.leverage.round(3), int(rows.most_influential()[0])
    (array([0.363, 0.277, 0.223, 0.201, 0.936]), 4)
    """
    check_choice("weights", weights, ("frequency", "analytic"))
    check_choice("curvature", curvature, ("observed", "expected", None))
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test must be given both, or none of them")
    if X_test is None and offset_test is not None:
        raise ValueError("offset_test needs X_test and y_test")
    fitted = Fitted(estimator, X, y, sample_weight, **fit_data)
    rows_in_memory(fitted.objective, "influential_rows has the most influential ones")
    require_influence("influence", fitted)
    test = None
    if X_test is not None:
        try:
            test = Fitted(fitted.chain, X_test, y_test, offset=offset_test).objective
        except ValueError as error:
            raise ValueError(f"X_test, y_test: {error}") from error
    meaning = weights_of(fitted, sample_weight, weights)
    effects = RowEffects.of(fitted, kind_of(fitted, curvature), meaning, test)
    found = effects.rows_of(fitted.objective).gather(effects.of_block)
    sums = found[0].sum(), found[1].sum()
    return InfluenceOf(fitted, effects, sums).rows(found, kept_rows(sample_weight, fitted.objective.n_rows))


def require_influence(what, fitted):
    """Refuse a fit whose rows have no influence that is known here."""
    fitted.require_sum_over_rows(what)
    loss = fitted.loss
    if loss.family.has_dispersion and loss.n_outputs > 1:
        raise ValueError(f"y has {loss.n_outputs} targets, each with a variance of its own: fit and pass one at a time")
    fitted.require_optimum(what)


def kind_of(fitted, curvature):
    """The kind of second derivatives, where ``curvature`` may be None."""
    return curvature or ("observed" if fitted.loss.convex else "expected")


@dataclass(frozen=True)
class RowEffects:
    """What leaving out each row of a block does, in the coordinates of a factor; it holds no rows.

    ``spread`` are eigenpairs of the sum of the rows' squared effects, where these are the unit, or None; ``test`` the
    gradient and the (Gauss-Newton) Hessian of the mean loss of the test rows, or None.
    """

    here: Any
    factor: Any
    kind: str
    weights: Weights
    root: np.ndarray
    spread: Any = None
    test: Any = None

    @classmethod
    def of(cls, fitted, kind, weights, test=None):
        """Those at a fit; ``test`` is the objective of the test rows, or None."""
        factor = fitted.factor(kind)
        plain = cls(fitted.here, factor, kind, weights, fitted.conventional(factor))
        is_likelihood = fitted.loss.family.has_likelihood and not fitted.is_reweighted
        return replace(
            plain,
            spread=None if is_likelihood else plain._gradient_spread(),
            test=None if test is None else plain._test_derivatives(test),
        )

    @property
    def loss(self):
        """The pointwise loss."""
        return self.here.objective.loss

    def rows_of(self, objective):
        """The rows of the fit, or those of a test, one by one."""
        return SingleRows(objective.at(self.here.theta), self.factor, self.kind)

    def of_block(self, terms):
        """Leverage, chi-square, the same studentised, its sign, Cook's distance, the changes, counts and multiplier."""
        removal, k, total = Removal(terms, self.loss.n_outputs), self.loss.n_outputs, self.here.objective.total_weight
        weight = terms.share * total
        squares = self.loss.family.pearson(terms.y, terms.raw) * weight[:, None]
        pearson, hat = -np.sign(terms.slope[:, :k]) * np.sqrt(squares), self._hat(terms, removal)
        apart, steps = removal.solved(hat, pearson), removal.steps
        sign = np.sign(pearson[:, 0]) if k == 1 else np.ones(len(steps))
        studentised = np.einsum("nk,nk->n", pearson, apart)
        cook = np.einsum("nk,nkl,nl->n", apart, hat, apart) if self.spread is None else self._distance(steps)
        test = np.zeros(len(steps)) if self.test is None else self._test_change(steps)
        rows = self.weights.within(terms.part, terms.y, weight)
        first = removal.leverage, squares.sum(axis=1), studentised, sign, cook
        return *first, steps @ self.root.T, test, rows.counts, rows.multiplier

    def _hat(self, terms, removal):
        """The hat block of the outputs, (n, k, k): symmetric, S'M S with S S' the loss's second derivative."""
        if self.loss.n_outputs > 1:
            S = self.loss.hessian_root(terms.y, terms.raw)
            return S.transpose(0, 2, 1) @ removal.reach @ S
        if self.loss.family.has_likelihood and (terms.bend[:, 0, 0] < 0).any():
            raise ValueError('curvature="observed" is negative for some rows of this loss: use curvature="expected"')
        return removal.leverage[:, None, None]

    def _gradient_spread(self):
        """Eigenpairs of the sum of the rows' squared first-order effects on the factor's coordinates (Huber 1967)."""

        def squares(terms):
            effects = terms.share[:, None] * np.einsum("nmr,nm->nr", terms.along, terms.slope)
            return (effects.T @ effects,)

        total = self.rows_of(self.here.objective).reduce(squares)[0]
        values, vectors = eigh(total, driver="evd")
        varies = values > len(values) * np.finfo(float).eps * values[-1]
        return values[varies], vectors[:, varies]

    def _distance(self, steps):
        """The squared length of steps in units of their covariance, where that is not zero."""
        values, vectors = self.spread
        return (steps @ vectors) ** 2 @ (1 / values)

    def _test_derivatives(self, test):
        """Gradient and (Gauss-Newton) Hessian of the mean loss of the test rows, in the factor's coordinates."""

        def derivatives(terms):
            bent = (terms.bend @ terms.along).reshape(-1, terms.along.shape[2])
            slope = np.einsum("nmr,nm->r", terms.along, terms.slope)
            return slope / test.n_rows, terms.along.reshape(bent.shape).T @ bent / test.n_rows

        return self.rows_of(test).reduce(derivatives)

    def _test_change(self, steps):
        slope, bend = self.test
        return steps @ slope + 0.5 * np.einsum("nr,nr->n", steps @ bend, steps)


class InfluenceOf:
    """The `Influence` of rows of a fit from their effects, and sums of leverages and chi-squares of all rows."""

    def __init__(self, fitted, effects, sums):
        self.fitted, self.effects = fitted, effects
        self.weights, self.objective, self.loss = effects.weights, fitted.objective, fitted.loss
        self.n_effective, self.chi_square = map(float, sums)

    def rows(self, found, kept=None, labels=None):
        """That of the rows with these effects, which are all or the ``kept`` ones; ``labels`` is what they are called.

        By default labels are those that the user has for all rows.
        """
        leverage, _, squares, sign, cook, change, test, counts, multiplier = found
        n_effective, kept = self.n_effective, np.ones(len(cook), dtype=bool) if kept is None else kept
        dispersion, of_others = self._dispersions(squares, counts)
        residual = sign * np.sqrt(squares / multiplier / dispersion)
        ratio = np.sqrt(of_others / dispersion)
        with np.errstate(invalid="ignore", divide="ignore"):
            dffits = residual * np.sqrt(leverage / (1 - leverage)) / ratio
        # an estimated covariance has the dispersion in it
        is_plain = self.effects.spread is None
        unit = dispersion if is_plain else 1.0
        return Influence(
            leverage=spread(leverage, kept),
            residual=spread(residual, kept),
            cooks_distance=spread(np.where(np.isnan(cook), np.inf, cook / (unit * n_effective)), kept),
            dffits=spread(dffits, kept) if is_plain and self.loss.n_outputs == 1 else None,
            parameter_change=spread(change, kept),
            test_loss_change=None if self.effects.test is None else spread(test, kept),
            standard_error=self._standard_error(dispersion),
            dispersion=float(dispersion),
            n_effective_parameters=float(n_effective),
            names=self.fitted.parameter_names,
            labels=self.fitted.row_labels(len(kept)) if labels is None else labels,
            _deviation_ratio=spread(ratio, kept, 1.0),
        )

    def _dispersions(self, studentised, counts):
        """The dispersion, and that of the other rows for each row: one and ones for a family that has none.

        Only for least squares without a penalty that of the others has a closed form; else it is the same for all.
        """
        if not self.loss.family.has_dispersion:
            return 1.0, np.ones(len(counts))
        total, n, n_effective = self.chi_square, self.weights.n_samples, self.n_effective
        dispersion = self.weights.dispersion("influence", self.objective, total, n_effective)
        if not self.loss.quadratic or self.objective.l2.is_present:
            return dispersion, np.full(len(counts), dispersion)
        left = n - n_effective - counts
        enough = left > _LEAST_FREEDOM * n
        others = np.maximum(total - studentised, 0) / np.where(enough, left, 1.0)
        return dispersion, np.where(enough, others, np.nan)

    def _standard_error(self, dispersion):
        """Of each parameter: by the Hessian, or of a loss without a likelihood by the rows' gradients as well."""
        root = self.effects.root
        by_hessian = np.sqrt(dispersion / self.objective.total_weight) * np.linalg.norm(root, axis=1)
        if self.effects.spread is None:
            return by_hessian
        values, vectors = self.effects.spread
        error = np.sqrt((root @ vectors) ** 2 @ values)
        return np.where(error > _ROUNDING * by_hessian, error, 0.0)
