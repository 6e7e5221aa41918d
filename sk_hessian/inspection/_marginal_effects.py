"""Marginal effects: what a change of a column does to the mean of a linear model, with errors by the delta method."""

from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian._report import Report, number_text
from sk_hessian._selection import kept_rows, rows_in_memory
from sk_hessian._text import listed, suggestion
from sk_hessian.inspection._checks import check_choice, check_level
from sk_hessian.inspection._coef_table import CoefTable, coef_table
from sk_hessian.inspection._effects import Feature, MeanEffects
from sk_hessian.inspection._fitted import Fitted, Naming, require_mean
from sk_hessian.inspection._intervals import intervals_and_tests
from sk_hessian.inspection._likelihood import RowWeights
from sk_hessian.inspection._text import ParameterTable, distribution_text, interval_headings, without_tests
from sk_hessian.solvers import plan

#: kind -> what the header says of it
KINDS = {"average": "average over the rows", "at_mean": "at the means of the columns", "each": "of each row"}

#: rows that a printed table of all of them shows
_MOST_SHOWN = 10


@dataclass(frozen=True, eq=False, repr=False)
class MarginalEffects(Report, ParameterTable):
    """Effects of columns on the mean of a linear model, made by `marginal_effects`.

    Attributes
    ----------
    names : list of str
        What has an effect: the features, of several outputs each with the names of these, such as ``"age [yes]"``.
    effect, std_error, statistic, p_value, lower, upper : ndarray of shape (n_effects,), or (n_samples, n_effects)
        The latter of ``kind="each"``. Tests are of an effect that is zero; a posterior has none, and nan here.
    covariance : ndarray of shape (n_effects, n_effects) or None
        Of the effects; None of ``kind="each"``.
    is_discrete : ndarray of bool of shape (n_effects,)
        Whether an effect is that of a change from 0 to 1, and not a derivative.
    kind : {"average", "at_mean", "each"}
    of : str
        What is affected, such as ``"the mean of y"``.
    columns : str
        What the features are where there are steps before the estimator, else an empty string.
    distribution : {"t", "normal"}
    df : float or ndarray of shape (n_targets,)
    model, verdict, cov, target : str
        As of `CoefTable`: the covariance of the parameters, and what its intervals are about.
    level, n_samples : float
    labels : pandas.Index or ndarray of shape (n_samples,)
        What the rows are called, of ``kind="each"`` those with an effect.
    """

    names: list
    effect: np.ndarray
    std_error: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    covariance: np.ndarray | None = field(repr=False)
    is_discrete: np.ndarray
    kind: str
    of: str
    columns: str
    distribution: str
    df: float | np.ndarray
    model: str
    verdict: str
    cov: str
    target: str
    level: float
    n_samples: float
    labels: Any = field(repr=False)

    _columns = ("effect", "std_error", "statistic", "p_value", "lower", "upper")

    def to_frame(self) -> Any:
        """The table, one line for each effect, of ``kind="each"`` for each row and effect; needs pandas.

        Returns
        -------
        pandas.DataFrame
        """
        if self.kind != "each":
            return super().to_frame()
        import pandas as pd

        index = pd.MultiIndex.from_product([self.labels, self.names], names=["row", "feature"])
        return pd.DataFrame({name: np.ravel(getattr(self, name)) for name in self._columns}, index=index)

    def _header(self):
        """Pairs of a caption and what it says."""
        discrete = [name for name, is_discrete in zip(self.names, self.is_discrete, strict=True) if is_discrete]
        changes = "derivatives"
        if discrete:
            others = "" if len(discrete) == len(self.names) else "; derivatives of the others"
            changes = f"from 0 to 1 of {listed(discrete, ', ')}{others}"
        lines = [
            ("model", self.model),
            ("verdict", self.verdict),
            ("rows", number_text(self.n_samples)),
            ("effects on", f"{self.of}, {KINDS[self.kind]}"),
            ("changes", changes),
            ("columns", self.columns),
            ("covariance", f"{self.cov}, {distribution_text(self.df)}; errors by the delta method"),
            ("about", self.target),
        ]
        return [line for line in lines if line[1]]

    def _rows(self):
        """The table as text, headings first; of each row the first lines."""
        statistic = "z" if self.distribution == "normal" else "t"
        headings = ["", "effect", "std. error", statistic, "p", *interval_headings(self.level)]
        return without_tests([headings, *self._cells_of(self._terms())], self.p_value)

    def _remark(self):
        """How many lines are left out."""
        left_out = self.effect.size - len(self._terms())
        return f"and {left_out} more" if left_out > 0 else ""

    def _terms(self):
        """What the lines of a printed table are called."""
        if self.kind != "each":
            return self.names
        return [f"row {label}: {name}" for label in self.labels[:_MOST_SHOWN] for name in self.names][:_MOST_SHOWN]


def marginal_effects(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    features: Any = None,
    kind: str = "average",
    cov: str | CoefTable = "auto",
    level: float = 0.95,
    **naming: Unpack[Naming],
) -> MarginalEffects:
    """What a change of each column does to the mean of a linear model, with standard errors by the delta method.

    For a column of other numbers than 0 and 1 an effect is the derivative of the mean in this column; for a column of
    zeros and ones, such as a dummy, it is the difference between the mean at 1 and at 0, the other columns as they are.
    The mean is the probability of the second class of two, or of each of several classes. An offset stays as it is.

    Parameters
    ----------
    estimator : fitted linear model of sk_hessian
        With the verdict ``optimal``; or a pipeline that ends with one. Effects are then of the columns that this last
        step gets: after a StandardScaler they are for each standard deviation.
    X, y
        The rows that it was fitted on, in memory (or X a memory map).
    sample_weight, offset : array-like of shape (n_samples,), optional
        Those of the fit. Weights are frequencies, in the averages too.
    features : list, optional
        Names or positions of columns; all of them by default. A tuple in this list are the dummies of one category:
        before the change to one of them all of them are zero, as for a factor in R's ``margins``. The name of a column
        of categories means its levels, whose effects are the differences to the reference.
    kind : {"average", "at_mean", "each"}
        The mean over the rows of the effect at each one, the effect at the means of the columns (and of the offset), or
        the effect at each row.
    cov : str or CoefTable
        The covariance of the parameters: as of `coef_table`, or a table of this fit with further options, such as
        ``cov_groups``. "auto" for ``jeffreys=True`` is "expected".
    level : float
        Of the intervals, between 0 and 1.
    **naming
        ``names`` (sequence of str, optional): what the columns are called, for an X without names. A table that is
        passed as ``cov`` must have the same.

    Returns
    -------
    MarginalEffects

    Raises
    ------
    ValueError
        For features that there are not, dummies of which a row has several, an unknown kind, effects whose errors are
        rounding, and whatever `coef_table` refuses, such as a fit that is not ``optimal``.
    TypeError
        For networks, and for what is no estimator of sk_hessian.

    Notes
    -----
    Errors take the columns as given: they are about the average over these rows, not over their population. Intervals
    are those of `coef_table`: with the t distribution where a dispersion is estimated, else the normal one, and not
    carried to the range of probabilities. With a penalty the header says what they are about.

    References
    ----------
    .. [1] W. Greene, "Econometric Analysis", 7th ed., 2012, section 17.3.2.
    .. [2] T. Leeper, "Interpreting regression results using average marginal effects with R's margins", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_hessian.inspection import marginal_effects
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> X = np.column_stack([np.linspace(-2, 2, 40), np.arange(40) % 2])
    >>> y = (X[:, 0] + X[:, 1] + np.sin(5 * np.arange(40)) > 0.5).astype(int)
    >>> found = marginal_effects(LogisticRegression(C=np.inf).fit(X, y), X, y)
    >>> found.effect.round(3), found.is_discrete
    (array([0.233, 0.276]), array([False,  True]))
    """
    check_choice("kind", kind, KINDS)
    check_level(level)
    fitted = Fitted(estimator, X, y, sample_weight, offset=offset, **naming)
    if not fitted.objective.model.is_linear:
        raise TypeError(
            f"marginal_effects is for linear models, not for {fitted.name}: single weights of a network are not "
            "identified, and so they have no errors that could be carried over. Use inspection.laplace for the "
            "uncertainty of its predictions"
        )
    require_mean(fitted, "marginal_effects")
    if fitted.theta.size > plan.MOST_FACTOR_SIZE:
        raise ValueError(
            f"marginal_effects needs the covariance of all coefficients, whichever features it is for: at most "
            f"{plan.MOST_FACTOR_SIZE} parameters, and this {fitted.name} has {fitted.theta.size}. Take fewer columns; "
            "coef_table(..., features=) has single coefficients"
        )
    rows_in_memory(fitted.objective)
    fitted.require_optimum("marginal_effects")
    row_data: dict = {"sample_weight": sample_weight, "offset": offset}
    table = _table_of(cov, fitted) or coef_table(estimator, X, y, cov=_name_of(cov, fitted), level=level, **row_data)
    if np.isnan(table.covariance).any():
        raise ValueError(
            f"cov: this covariance does not have all coefficients, and effects depend on them: {table.convention}. Use "
            "cov='expected', or leave out such columns"
        )
    chosen = _Chosen(fitted, RowWeights.of(fitted, sample_weight, "frequency").likelihood)
    rows = MeanEffects(fitted.objective, table.estimate, table.covariance, chosen.features(features))
    if kind == "each":
        parts = fitted.objective.rows.gather(lambda block, *_: rows.each(block.dense(), block.offset), width=rows.width)
        effect, error, covariance = parts[0], np.sqrt(parts[1]), None
    else:
        effect, covariance = rows.averaged(chosen.sums(rows, kind))
        error = np.sqrt(np.diag(covariance))
    kept = kept_rows(sample_weight, fitted.objective.n_rows)
    labels = fitted.row_labels(len(kept))[kept]
    return _result((fitted, table, rows), (effect, error, covariance), kind, level, labels)


#: what is said of a covariance whose combinations have degrees of freedom of their own
_OWN_DF = (
    'cov="CR2" has degrees of freedom of single combinations of coefficients, and effects are functions of all: take a '
    'table with cov="sandwich" and the cov_groups, or cov="HC3"'
)


def _table_of(cov, fitted):
    """The table that was passed, checked to be of this fit, or None."""
    if not isinstance(cov, CoefTable):
        return None
    same = cov.names == fitted.parameter_names and np.allclose(
        cov.estimate, fitted.objective.canonical(fitted.theta), rtol=1e-6, atol=1e-9 * np.abs(cov.estimate).max()
    )
    if not same:
        raise ValueError("cov must be a table of this fit: its names or estimates are others")
    if cov.distribution == "chi2":
        raise ValueError('cov: the intervals of a table by "profile" are no covariance: take one of cov="expected"')
    if cov.freedom is not None:
        raise ValueError(_OWN_DF)
    return cov


def _name_of(cov, fitted):
    """The covariance that `coef_table` is asked for."""
    if isinstance(cov, str) and cov == "profile":
        raise ValueError('cov="profile" has intervals of parameters and no covariance: use "expected"')
    if isinstance(cov, str) and cov == "CR2":
        raise ValueError(_OWN_DF)
    return "expected" if fitted.prior == "jeffreys" and isinstance(cov, str) and cov == "auto" else cov


class _Chosen:
    """The columns of a `Fitted` that are asked for, and sums over its rows, whose frequencies are ``counts``."""

    def __init__(self, fitted, counts):
        self.objective, self.share = fitted.objective, counts / counts.sum()
        self.names = [self.objective.name(j) for j in range(self.objective.n_features)]
        #: columns of categories -> their levels that have a coefficient
        self.categories = _categories_of(fitted.estimator)

    def features(self, given):
        """Each as a `Feature`."""
        if given is None:
            of_levels = {name for levels in self.categories.values() for name in levels}
            given = [*(j for j, name in enumerate(self.names) if name not in of_levels), *self.categories.values()]
        given = [given] if isinstance(given, str) else given
        try:
            given = list(given)
        except TypeError:
            given = [given]
        given = [self.categories.get(one, one) if isinstance(one, str) else one for one in given]
        if not given:
            raise ValueError("features must name a column at least; None is all of them")
        groups = [[self._position(name) for name in (one if isinstance(one, tuple) else (one,))] for one in given]
        columns = [column for group in groups for column in group]
        if len(set(columns)) < len(columns):
            twice = next(column for column in columns if columns.count(column) > 1)
            raise ValueError(f"features has {self.names[twice]!r} twice")
        is_dummy, found = self._dummies(), []
        for group, one in zip(groups, given, strict=True):
            if isinstance(one, tuple):
                self._require_category(group, is_dummy)
            found += [Feature(column, tuple(group) if is_dummy[column] else ()) for column in group]
        return found

    def _position(self, name):
        n = len(self.names)
        if isinstance(name, Integral) and not isinstance(name, bool) and -n <= int(name) < n:
            return int(name) % n
        if name in self.names:
            return self.names.index(name)
        near = suggestion(name, self.names) or f" The columns are {listed(self.names, ', ')}."
        raise ValueError(f"features: there is no column {name!r}.{near}")

    def _dummies(self):
        """Which columns have zeros and ones alone, and both."""

        def counts(block, *_):
            Z = block.dense()
            return ((Z == 0).sum(axis=0), (Z == 1).sum(axis=0))

        zeros, ones = self.objective.rows.fold(counts, width=3 * len(self.names))
        return (zeros > 0) & (ones > 0) & (zeros + ones == self.objective.n_rows)

    def _require_category(self, group, is_dummy):
        names = [self.names[column] for column in group]
        if not is_dummy[group].all():
            other = next(name for name, column in zip(names, group, strict=True) if not is_dummy[column])
            raise ValueError(f"features: {tuple(names)} must be dummies of one category, but {other!r} is not 0 or 1")
        most = self.objective.rows.fold(
            lambda block, *_: (block.dense()[:, group].sum(axis=1).max(),), combine=max, width=len(self.names)
        )[0]
        if most > 1:
            raise ValueError(f"features: {tuple(names)} must be dummies of one category, but rows have several of them")

    def sums(self, rows, kind):
        """See `MeanEffects.sums`, of the whole table or of its means."""
        if kind == "average":
            return self.objective.rows.fold(
                lambda block, *_: rows.sums(block.dense(), block.offset, self.share[block.part]), width=rows.width
            )
        mean = self.objective.rows.fold(
            lambda block, *_: (self.share[block.part] @ block.dense(),), width=len(self.names)
        )[0]
        offset = self.objective.rows.offset
        return rows.sums(mean[None], None if offset is None else (self.share @ offset)[None], np.ones(1))


def _categories_of(estimator):
    """The levels of each column of categories that have a coefficient; refused where effects need more than these."""
    encoding = vars(estimator).get("encoding_")
    if encoding is None:
        return {}
    if encoding.slopes or encoding.crossings:
        raise ValueError(
            "marginal_effects: interactions move with the columns that they are of, which is not supported: compare "
            "predictions of prediction_table instead"
        )
    without = [factor.name for factor in encoding.factors if factor.reference is None]
    if without:
        raise ValueError(
            "marginal_effects: the effect of a level is its difference to a reference level. These columns have none, "
            f"because their levels have a penalty: {listed(without, ', ')}. Fit with "
            'categorical_features=Categories(drop="first")'
        )
    return {factor.name: tuple(factor.labels) for factor in encoding.factors if factor.labels}


def _result(of_fit, found, kind, level, labels):
    (fitted, table, rows), (effect, error, covariance) = of_fit, found
    k, df = fitted.loss.n_outputs, table.df
    per_effect = np.resize(df, effect.shape[-1])
    names = [fitted.parameter_names[feature.column * k + c] for feature in rows.features for c in range(k)]
    return MarginalEffects(
        names=names,
        effect=effect,
        std_error=error,
        **intervals_and_tests(effect, error, per_effect, level, has_tests=table.cov != "laplace"),
        covariance=covariance,
        is_discrete=np.repeat([bool(feature.group) for feature in rows.features], k),
        kind=kind,
        of=_of(fitted),
        columns=_columns_of(fitted.chain),
        distribution=table.distribution,
        df=df,
        labels=labels,
        level=level,
        **{name: getattr(table, name) for name in ("model", "verdict", "cov", "target", "n_samples")},
    )


def _of(fitted):
    """What is affected."""
    classes = getattr(fitted.estimator, "classes_", None)
    if classes is None:
        what = "mean" if fitted.loss.family.name else "prediction"
        return f"the {what} of {'each target' if fitted.loss.n_outputs > 1 else 'y'}"
    return f"the probability of {classes[1]}" if len(classes) == 2 else "the probability of each class"


def _columns_of(chain):
    """What the columns are where a pipeline has changed them."""
    if chain.before is None:
        return ""
    steps = ", ".join(name for name, _ in chain.before.steps)
    return f"as {type(chain.estimator).__name__} gets them after {steps}: effects are for each unit of these"
