"""What the header of a table says of a fit as a whole: what was fitted, and how much of the targets it explains."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import f as fisher

from sk_hessian._report import number_text, p_clause
from sk_hessian.objectives import constant_predictions

#: covariances of a model that is taken to be true, beside which Fisher's F is what it says
_MODEL_BASED = ("expected", "observed")


@dataclass(frozen=True, eq=False, repr=False)
class FitFigures:
    """Attributes of a table that are figures of the fit; those that have no meaning for it are None.

    The null model has a constant alone, beside an offset; of a fit without an intercept the offset alone, as in R.
    """

    y_name: str | None
    family: str | None
    link: str | None
    penalty: str
    null_deviance: float | None
    r2: float | np.ndarray | None
    adjusted_r2: float | np.ndarray | None
    r2_about: str | None
    f_statistic: float | np.ndarray | None
    f_df: tuple | None
    f_p_value: float | np.ndarray | None
    pseudo_r2: float | None

    @property
    def family_text(self):
        """Family and link as one line of a header, or None."""
        return f"{self.family}, {self.link} link" if self.family and self.link else self.family

    @property
    def f_text(self):
        """Fisher's F of all slopes as one line of a header, or None."""
        if self.f_statistic is None or self.f_df is None:
            return None
        above, below = map(number_text, self.f_df)
        return f"{number_text(self.f_statistic)} with df = {above} and {below}, {p_clause(self.f_p_value)}"

    @property
    def r2_text(self):
        """R2 as one line of a header, or None."""
        return (
            None if self.r2 is None else f"{_short(self.r2)} about {self.r2_about}, adjusted {_short(self.adjusted_r2)}"
        )


def _short(values):
    return ", ".join(f"{value:.4g}" for value in np.atleast_1d(values))


def figures_of_fit(curvature, cov):
    """The fields of `FitFigures` of a `Curvature` with a covariance of this name, a dict."""
    fitted = curvature.fitted
    family = fitted.loss.family
    figures = dict.fromkeys(FitFigures.__dataclass_fields__)
    figures |= {"y_name": fitted.y_name, "family": family.name or None, "link": family.link or None}
    figures["penalty"] = _penalty(fitted)
    if fitted.likelihood_refusal is None and fitted.prior is None and not fitted.is_stream:
        figures |= _Explained(curvature).figures(cov in _MODEL_BASED)
    return figures


def _penalty(fitted):
    """In words, with the user's parameter."""
    if fitted.prior != "normal":
        return "none" if fitted.prior is None else "Jeffreys' prior"
    options = fitted.estimator.get_params(deep=False)
    name = "C" if "C" in options else "alpha"
    more = [extra for extra in ("penalty_weights", "penalty_matrix") if options.get(extra) is not None]
    value, by = options[name], ""
    if isinstance(value, str):
        value, by = getattr(fitted.estimator, f"{name}_"), f" ({value})"
    return ", ".join([f"L2 with {name} = {number_text(value)}{by}", *more])


class _Explained:
    """An unpenalised fit of a likelihood beside its null model."""

    def __init__(self, curvature):
        self.curvature, self.fitted = curvature, curvature.fitted
        self.rows, self.loss = self.fitted.objective.rows, self.fitted.loss
        self.fit_intercept = self.fitted.objective.fit_intercept

    def figures(self, is_model_based):
        """Those of the null model, and R2 of least squares or the pseudo one of a likelihood without dispersion."""
        found = {"null_deviance": self._null_deviance()}
        if self.loss.quadratic:
            found |= self._least_squares(is_model_based)
        elif self.fit_intercept and self.loss.family.has_likelihood and not self.loss.family.has_dispersion:
            found["pseudo_r2"] = self._pseudo_r2()
        return found

    def _null(self, loss):
        """A function of a block and its number of rows: raw predictions of the null model of a loss, (n, m)."""
        if not self.fit_intercept:
            constant = np.zeros(loss.n_outputs + loss.n_constants)
        elif self.rows.offset is None:
            constant = loss.family.best_constant(*self.rows.targets)
        else:
            constant = loss.family.best_constant_beside(self.rows.offset, *self.rows.targets)
        return lambda block, n: constant_predictions(constant, n, block.offset)

    @cached_property
    def _targets(self):
        """Rows with the same targets, or with some that stand for all: rows of parts as well, where no others do.

        Without class weights, which leave no likelihood, the weights of the fit are those of the table.
        """
        return self.rows.standing_in(self.loss.quadratic)

    def _of_targets(self, function):
        """The weighted sums of ``function(block, y)``, (n,) or (n, k), over the rows."""
        fold = self._targets.fold
        return fold(lambda block, y, weight: (weight @ function(block, y),), width=4 * self.loss.n_outputs)[0]

    def _null_deviance(self):
        # a parameter of the loss is that of the fit in the null model too
        loss, rows = self.fitted.loss_of_predictions, self._targets
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self.fit_intercept and rows.in_memory:
                found = loss.family.null_deviance(rows.y, rows.weight, rows.offset)
            else:
                null = self._null(loss)
                found = self._of_targets(lambda block, y: loss.value(y, null(block, len(y))) - loss.saturated(y))
        return 2 * float(found) if np.isfinite(found) else None

    def _pseudo_r2(self):
        """McFadden's: one less the ratio of the log-likelihoods of the fit and of the null model."""
        within, own = self.curvature.weights.within, self.curvature.likelihood.log_likelihood
        if own is None:
            return None
        null, family = self._null(self.loss), self.loss.family

        def log_likelihood(block, y, weight):
            weights = within(block.part, y, weight)
            rows = family.log_likelihood(y, null(block, len(y)), 1 / weights.precision[:, None])
            return (np.sum(weights.counts @ rows),)

        value = float(self.rows.fold(log_likelihood, width=4 * self.loss.n_outputs)[0])
        return 1 - own / value if value < 0 else None

    def _least_squares(self, is_model_based):
        likelihood, null, pearson = self.curvature.likelihood, self._null(self.loss), self.loss.family.pearson
        n, df, left = self.curvature.weights.n_samples, likelihood.df_resid, likelihood.chi_square
        total = self._of_targets(lambda block, y: pearson(y, null(block, len(y))))
        if (total <= 0).any() or (df <= 0).any():
            return {}
        r2 = 1 - left / total
        found = {"r2": _scalar(r2), "adjusted_r2": _scalar(1 - (1 - r2) * (n - self.fit_intercept) / df)}
        found["r2_about"] = "the mean" if self.fit_intercept else "zero"
        slopes = n - df - self.fit_intercept
        if is_model_based and (slopes > 0).all() and (left > 0).all():
            statistic = (total - left) / slopes / (left / df)
            found["f_statistic"], found["f_df"] = _scalar(statistic), (_scalar(slopes), _scalar(df))
            found["f_p_value"] = _scalar(fisher.sf(statistic, slopes, df))
        return found


def _scalar(values):
    """An array of one value as a number."""
    return values if len(values) > 1 else float(values[0])
