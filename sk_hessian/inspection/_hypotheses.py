"""Tests of several coefficients, contrasts, ratios, and coefficients against a base class."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from sk_hessian._report import Report, decimals_of, fixed, p_text
from sk_hessian.inspection._hessian import combination
from sk_hessian.inspection._hypothesis_test import HypothesisTest
from sk_hessian.inspection._intervals import intervals_and_tests
from sk_hessian.inspection._terms import Layout
from sk_hessian.inspection._text import ParameterTable, distribution_text, interval_headings, without_tests

#: share of its terms below which a variance, or an eigenvalue of a correlation, has lost its digits
_LOST = 1e-11


@dataclass(frozen=True, eq=False, repr=False)
class ContrastTable(Report, ParameterTable):
    """Linear combinations of coefficients with their errors, tests and intervals; made by `CoefTable.contrast`.

    Attributes
    ----------
    names : list of str
    estimate, std_error : ndarray of shape (n_contrasts,)
    statistic, p_value : ndarray of shape (n_contrasts,)
        Estimate less ``value``, over the error, and the two-sided p-value; nan of a posterior.
    lower, upper : ndarray of shape (n_contrasts,)
        Ends of the intervals.
    contrasts : ndarray of shape (n_contrasts, n_parameters)
    covariance : ndarray of shape (n_contrasts, n_contrasts)
    value : ndarray of shape (n_contrasts,)
        What the combinations are if the hypotheses hold.
    distribution : {"t", "normal"}
    df : ndarray of shape (n_contrasts,)
        Degrees of freedom of t; inf for the normal distribution.
    level : float
    cov, target : str
        Those of the table.
    """

    names: list
    estimate: np.ndarray
    std_error: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    contrasts: np.ndarray = field(repr=False)
    covariance: np.ndarray = field(repr=False)
    value: np.ndarray
    distribution: str
    df: np.ndarray
    level: float
    cov: str
    target: str
    layout: Layout = field(repr=False)

    _columns = ("estimate", "std_error", "statistic", "p_value", "lower", "upper")

    def exp(self) -> "RatioTable":
        """The exponentials of the contrasts, such as odds ratios; see `CoefTable.exp`.

        Returns
        -------
        RatioTable
        """
        return exponentials(self, self.contrasts)

    def _header(self):
        header = [("covariance", f"{self.cov}, {distribution_text(self.df)}"), ("about", self.target)]
        return header + ([("hypotheses", f"= {_numbers(self.value)}")] if self.value.any() else [])

    def _rows(self):
        headings = ["", "estimate", "std. error", "t" if self.distribution == "t" else "z", "p"]
        return without_tests([headings + interval_headings(self.level), *self._cells()], self.p_value)


@dataclass(frozen=True, eq=False, repr=False)
class RatioTable(Report, ParameterTable):
    """Exponentials of coefficients, with intervals; made by `CoefTable.exp` and `ContrastTable.exp`.

    Attributes
    ----------
    kind : {"odds ratio", "hazard ratio", "risk ratio", "rate ratio", "ratio"}
        What they are: ratios of odds (logit link), of hazards (cloglog), of risks (proportions with a log link), of
        rates (counts with a log link), or of means (other log links).
    names : list of str
    ratio : ndarray of shape (n_rows,)
    lower, upper : ndarray of shape (n_rows,)
        The exponentials of the ends of the intervals.
    statistic, p_value : ndarray of shape (n_rows,)
        Those of the coefficients: of a ratio of one.
    level : float
    notes : list of (str, str)
        What the header says.
    """

    kind: str
    names: list
    ratio: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    level: float
    notes: list = field(repr=False)

    _columns = ("ratio", "statistic", "p_value", "lower", "upper")

    def to_frame(self) -> Any:
        """See `CoefTable.to_frame`; the column of the ratios has the name ``kind``.

        Returns
        -------
        pandas.DataFrame
        """
        return super().to_frame().rename(columns={"ratio": self.kind})

    def _header(self):
        return self.notes

    def _cells(self):
        """As of other tables, with three digits of the ratio's error, and at least three of what is below one."""
        columns = [np.asarray(getattr(self, name)).tolist() for name in self._columns]
        for name, ratio, statistic, p, lower, upper in zip(self.names, *columns, strict=True):
            with np.errstate(all="ignore"):
                # an interval is about four errors of the logarithm wide
                decimals = decimals_of(ratio * float(np.log(upper) - np.log(lower)) / 4)
            texts = (
                fixed(v, decimals if decimals is None else max(decimals, decimals_of(v) or 0))
                for v in (ratio, lower, upper)
            )
            yield [name, next(texts), fixed(statistic, 3), p_text(p), *texts]

    def _rows(self):
        rows = [["", self.kind, "statistic", "p", *interval_headings(self.level)], *self._cells()]
        return [(*row[:2], *row[4:]) for row in rows] if np.isnan(self.p_value).all() else rows


class LinearHypotheses:
    """What a table of coefficients tells of several of them together."""

    def wald(self, terms: Any, *, value: ArrayLike = 0.0) -> HypothesisTest:
        """Wald's test that several coefficients, or combinations of them, are all zero.

        The statistic is d' (L V L')^-1 d, d what the combinations L of the estimates are off by and V the covariance.
        It is chi-squared with as many degrees of freedom as there are equations. Where the table has the t distribution
        (an estimated dispersion, or groups), the statistic over them is F, and the denominator has those of t.

        Parameters
        ----------
        terms : str, list of str, or contrasts
            Names of parameters; patterns such as ``"site_*"``, which are for features and not for the intercept, so
            that ``"*"`` is all features; or what `contrast` takes. With several classes or targets ``"x0"`` means
            those of all of them, ``"x0 [b]"`` that of one.
        value : float or array-like of shape (n_contrasts,), default=0.0
            What they are if the hypothesis holds.

        Returns
        -------
        HypothesisTest
            With ``statistic``, ``df``, ``p_value``, and for F ``df_num`` and ``df_denom``.

        Raises
        ------
        ValueError, TypeError
            For unknown names; for contrasts that depend on each other, or whose covariance is singular; for a posterior
            (``cov="laplace"``) and a profile, which have no Wald test; for a parameter on whose edge zero is; for terms
            of several targets, each with its own dispersion.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sk_hessian.inspection import coef_table
        >>> from sk_hessian.linear_model import LinearRegression
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> print(coef_table(LinearRegression().fit(X, y), X, y).wald(["s1", "s2", "s3"]))
        test          Wald
        hypothesis    s1 = 0, s2 = 0, s3 = 0
        covariance    expected
        distribution  F: chi-squared over df_num, with the df_denom of the table's t
        about         the parameters of the model, which is taken to be true
        -----------------------------------
              F  df_num  df_denom         p
          7.612       3       431  < 0.0001
        """
        return wald(self, terms, value)

    def contrast(self, L: Any, *, value: ArrayLike = 0.0) -> ContrastTable:
        """Linear combinations of the parameters, with errors, tests and intervals.

        Parameters
        ----------
        L : array-like of shape (n_contrasts, n_parameters), data frame, or dict
            An array has its columns in the order of ``names``; those of a data frame, and the index of a series, are
            names of parameters, and the others count zero. A dict is one combination, ``{"site_B": 1, "site_C": -1}``,
            or several by name, ``{"B - C": {"site_B": 1, "site_C": -1}}``, also with arrays. Other combinations are
            named by what they are.
        value : float or array-like of shape (n_contrasts,), default=0.0
            What the tests compare them with.

        Returns
        -------
        ContrastTable
            Tests and intervals are of one combination each, not adjusted for their number. `ContrastTable.exp` gives
            ratios.

        Raises
        ------
        ValueError, TypeError
            As of `wald`; combinations may depend on each other.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sk_hessian.inspection import coef_table
        >>> from sk_hessian.linear_model import LinearRegression
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> table = coef_table(LinearRegression().fit(X, y), X, y)
        >>> print(table.contrast({"s1": 1, "s2": 1}))
        covariance  expected, t with df = 431
        about       the parameters of the model, which is taken to be true
        ----------------------------------------------------------
                 estimate  std. error       t       p  2.5%  97.5%
        s1 + s2      -315         130  -2.435  0.0153  -570    -61
        """
        return contrast(self, L, value)

    def exp(self) -> RatioTable:
        """Odds ratios or rate ratios: the exponentials of the coefficients and of the ends of their intervals.

        Of one unit more of a feature, with the others as they are. The tests are those of the coefficients. The row of
        the intercept is no ratio, but the odds, rate or mean where all columns are 0. The loss's own parameters are
        left out.

        Returns
        -------
        RatioTable
            Whose column is an "odds ratio" (logit link), a "rate ratio" (counts with a log link), or a "ratio" of means
            (other models with a log link).

        Raises
        ------
        ValueError
            For other links; for softmax models, whose coefficients are relative to a mean of classes: take `against`
            first.
        """
        return exponentials(self)

    def against(self, label: Any) -> Any:
        """The table of a softmax model with the coefficients relative to a base class.

        The coefficients of a softmax model sum to zero over the classes. Those less the ones of a base class are the
        logarithms of odds against it, as statsmodels' MNLogit and R's multinom print them.

        Parameters
        ----------
        label : object
            One of the classes.

        Returns
        -------
        CoefTable
            With the covariance, tests and intervals of these differences; the likelihood's figures are the same.

        Raises
        ------
        ValueError
            For no class of the model, and a model that has not several.
        """
        return against(self, label)


# -- what a table tells -----------------------------------------------------------------------------------------------


def wald(table: Any, terms: Any, value: Any = 0.0) -> HypothesisTest:
    """See `CoefTable.wald`."""
    if table.distribution == "chi2":
        raise ValueError(
            "wald: the tests of this table are by the profile of the likelihood, of one parameter each. Use "
            "coef_table(..., cov='expected') for Wald tests, or compare_models for a likelihood-ratio test of several"
        )
    if table.cov == "laplace":
        raise ValueError(
            "wald: cov='laplace' is a posterior, which tests no hypothesis. Use cov='sandwich', whose test is about "
            "the penalised population parameters, or compare_models, which compares the evidence"
        )
    layout = table.layout
    names, L = layout.hypotheses(terms, table.std_error, "wald")
    value = _values(value, len(L), layout, "wald")
    labels = names if len(names) == len(L) else [layout._named(row) for row in L]
    moved, V = _transformed(table, L, labels, "wald")
    statistic, denom, small = _referred(_quadratic_form(moved - value, V, L, table), table, L)
    notes = [("covariance", table.cov), ("distribution", small), ("about", table.target)]
    hypothesis = [f"{name} = {equal:.6g}" for name, equal in zip(names, np.resize(value, len(names)), strict=True)]
    return HypothesisTest.of("Wald", hypothesis, statistic, (float(len(L)), denom), notes)


def _referred(statistic, table, L):
    """A quadratic form as what `HypothesisTest.of` takes, the degrees of freedom of F's denominator, and what is said.

    With df of its own it is Hotelling's T^2, of which (df - q + 1) / (df q) is F with q and df - q + 1.
    """
    if table.freedom is None:
        denom = float(_denominators(table, L, "wald")[0])
        if np.isinf(denom):
            return statistic, denom, "chi-squared: for large samples"
        return statistic, denom, "F: chi-squared over df_num, with the df_denom of the table's t"
    df, q = float(table.freedom.df(L)), len(L)
    if df <= q - 1:
        raise ValueError(
            f"wald: the groups or rows give these {q} terms together {df:.3g} degrees of freedom, and they need more "
            f"than {q - 1}. Test fewer terms"
        )
    denom = df - q + 1
    return statistic * denom / df, denom, f"F, approximately, by Hotelling's T^2 with {df:.4g} degrees of freedom"


def contrast(table: Any, L: Any, value: Any = 0.0) -> ContrastTable:
    """See `CoefTable.contrast`."""
    if table.distribution == "chi2":
        raise ValueError(
            "contrast: the intervals of this table are by the profile of the likelihood, of one parameter each. Use "
            "coef_table(..., cov='expected') for combinations of parameters"
        )
    names, L = table.layout.contrasts(L, "contrast")
    value = _values(value, len(L), table.layout, "contrast")
    estimate, V = _transformed(table, L, names, "contrast")
    if table.freedom is None:
        df = np.concatenate([_denominators(table, row[None], "contrast") for row in L])
    else:
        df = table.freedom.df_of_each(L)
    return ContrastTable(
        names=names,
        **_with_intervals(table, estimate, V, df, value),
        contrasts=L,
        covariance=V,
        value=value,
        distribution=table.distribution,
        df=df,
        level=table.level,
        cov=table.cov,
        target=table.target,
        layout=table.layout,
    )


def exponentials(table: Any, contrasts: np.ndarray | None = None) -> RatioTable:
    """See `CoefTable.exp`; of a table of ``contrasts`` (m, n_parameters) of the parameters, or of these themselves."""
    layout, scale = table.layout, table.layout.scale
    if not scale.ratio:
        raise ValueError(f"exp {scale.refusal}")
    L = np.eye(len(layout.names))[: layout.n_weights] if contrasts is None else contrasts
    if layout.sums_to_zero and not np.allclose(layout.without_mean(L), L):
        raise ValueError(
            "exp: the coefficients of the classes sum to zero, and are no logarithms of odds between two of them. Take "
            "table.against(class) first, or contrasts of two classes"
        )
    if L[:, layout.n_weights :].any():
        raise ValueError(f"exp: {', '.join(layout.names[layout.n_weights :])} is no logarithm of a ratio: leave it out")
    n_coef, n = len(layout.features) * layout.n_outputs, len(L)
    notes = [("covariance", table.cov), ("about", table.target)]
    if layout.base is not None:
        notes.append(("odds", f"against the class {layout.base}"))
    if L[:, n_coef : layout.n_weights].any():
        notes.append(("with the intercept", f"no ratio, but the {scale.level} where all columns are 0"))
    with np.errstate(over="ignore"):
        ratio, lower, upper = (np.exp(values[:n]) for values in (table.estimate, table.lower, table.upper))
    return RatioTable(
        scale.ratio, table.names[:n], ratio, lower, upper, table.statistic[:n], table.p_value[:n], table.level, notes
    )


def against(table: Any, label: Any) -> Any:
    """See `CoefTable.against`."""
    layout = table.layout
    if not layout.sums_to_zero:
        raise ValueError(
            f"against: the coefficients are relative to the class {layout.base} already; begin with the first table"
            if layout.base is not None
            else f"against is for the classes of a softmax model, of at least three; this {layout.model} has none. Of "
            "two classes the coefficients are those of the second one against the first as they are"
        )
    if str(label) not in layout.outputs:
        raise ValueError(f"against: {label!r} is none of the classes: {', '.join(layout.outputs)}")
    k, base = layout.n_outputs, layout.outputs.index(str(label))
    others = [c for c in range(k) if c != base]
    to_base = np.eye(k)[others] - np.eye(k)[base]
    T = np.kron(np.eye(layout.n_weights // k), to_base)
    covariance, df = T @ table.covariance @ T.T, np.atleast_1d(table.df)
    freedom = None if table.freedom is None else table.freedom.through(T)
    df = df if freedom is None else freedom.df_of_each()
    names = [table.names[row * k + c] for row in range(layout.n_weights // k) for c in others]
    outputs = [layout.outputs[c] for c in others]
    return replace(
        table,
        names=names,
        **_with_intervals(table, T @ table.estimate, covariance, df, 0.0),
        covariance=covariance,
        df=table.df if freedom is None else df,
        freedom=freedom,
        layout=replace(layout, names=names, outputs=outputs, sums_to_zero=False, base=str(label)),
    )


# -- what these share -------------------------------------------------------------------------------------------------


def _values(value, m, layout, what):
    """What m combinations are if the hypotheses hold, an array (m,)."""
    value = np.asarray(value)
    if value.dtype.kind not in "iuf" or value.shape not in ((), (m,)) or not np.isfinite(value).all():
        raise ValueError(f"{what}: value must be a finite number, or {m} of them, got {value!r}")
    if value.any() and layout.sums_to_zero:
        raise ValueError(
            f"{what}: value must be 0 where the classes' coefficients sum to zero: take against(class) first"
        )
    return np.broadcast_to(value.astype(float), (m,))


def _transformed(table, L, names, what):
    """L b (m,) and L V L' (m, m); combinations that are dependent, or have no variance, are refused."""
    layout = table.layout
    at_edge = layout.is_edge & L.any(axis=0)
    if at_edge.any():
        raise ValueError(
            f"{what}: zero is the edge of what {table.names[np.argmax(at_edge)]} may be, where Wald's normal "
            "approximation tells nothing. Use profile_intervals, or coef_table(..., cov='profile')"
        )
    nothing = np.isnan(table.covariance.diagonal()) & L.any(axis=0)
    if nothing.any():
        raise ValueError(
            f"{what}: {table.names[np.argmax(nothing)]} has no error in this table: {table.convention}. Leave it out, "
            "or use cov='expected'"
        )
    # most combinations are of few parameters
    inner, known = csr_array(layout.without_mean(L)), np.nan_to_num(table.covariance)
    V = inner @ (inner @ known).T
    variance, terms = V.diagonal(), (abs(inner) @ np.abs(known) * abs(inner).toarray()).sum(axis=1)
    lost = variance <= _LOST * terms
    if lost.any():
        i = np.argmax(lost)
        cause = "variance is lost to rounding: centre the columns" if terms[i] else "variance is 0: no row tells of it"
        raise ValueError(f"{what}: of {names[i]!r} the {cause}")
    return L @ table.estimate, V


def _quadratic_form(distance, V, L, table):
    """d'V^-1 d of combinations that proved independent; a ValueError where V is singular."""
    unit = np.sqrt(V.diagonal())
    values, vectors = np.linalg.eigh(V / np.outer(unit, unit))
    if values[0] <= _LOST * len(values):
        raise ValueError(
            f"wald: the covariance of the {len(unit)} terms is singular to working precision along "
            f"{combination(table.names, L.T @ (vectors[:, 0] / unit))}: {_cause(table, len(unit))}. Test fewer terms"
        )
    return float(np.sum((vectors.T @ (distance / unit)) ** 2 / values))


def _cause(table, n_terms):
    """Why a covariance may be singular."""
    if table.cov == "sandwich" and table.distribution == "t":
        return f"a clustered covariance has at most {np.max(table.df):.8g} dimensions, the groups less one"
    if table.freedom is not None:
        return f"the covariance has at most {len(table.freedom.first)} dimensions, one for each group or row"
    if n_terms >= table.n_samples:
        return f"there are only {table.n_samples:.8g} rows"
    return "columns are nearly dependent, or not centred"


def _denominators(table, L, what):
    """Degrees of freedom of t, shape (1,); rows of several targets, each with its own dispersion, are refused."""
    df = np.atleast_1d(np.asarray(table.df, dtype=float))
    if df.size == 1:
        return df
    used = np.unique(np.flatnonzero(L.any(axis=0)) % df.size)
    if used.size > 1:
        raise ValueError(
            f"{what}: the terms are of several targets, each of which has its own dispersion. Name one of them, such "
            f"as {table.names[0]!r}, or use cov='sandwich'"
        )
    return df[used]


def _with_intervals(table, estimate, covariance, df, value):
    """Columns of a table of combinations; a posterior tests nothing."""
    error = np.sqrt(covariance.diagonal())
    columns = intervals_and_tests(estimate, error, df, table.level, value, has_tests=table.cov != "laplace")
    return {"estimate": estimate, "std_error": error} | columns


def _numbers(values):
    return ", ".join(f"{value:.6g}" for value in np.atleast_1d(values))
