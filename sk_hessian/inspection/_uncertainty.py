"""The covariance that a user chose for a fitted linear model: what it may be, and the checks before it."""

from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian._text import listed, suggestion
from sk_hessian.inspection._alone import involved, text_of
from sk_hessian.inspection._checks import check_choice, check_count
from sk_hessian.inspection._chosen import KINDS as WITHOUT_FACTOR
from sk_hessian.inspection._chosen import ChosenCurvature, needs_products
from sk_hessian.inspection._covariance import KINDS, Curvature, Kind
from sk_hessian.inspection._fitted import NEAR, Fitted
from sk_hessian.inspection._likelihood import weights_of
from sk_hessian.inspection._sandwich import Covariance

#: prior -> covariances that "auto" tries, in this order
_AUTO = {
    None: ("expected", "observed", "sandwich"),
    "normal": ("sandwich",),
    "jeffreys": ("profile",),
}

#: covariances that need rows one by one, or many rounds over them, and what to use instead
_OF_SINGLE_ROWS = {"HC2": "HC1", "HC3": "HC1", "CR2": "HC1", "HAC": "sandwich", "profile": "expected"}

#: covariances in which a dispersion that the user chooses has a place
_OF_A_DISPERSION = ("expected", "observed")


class FurtherOptions(TypedDict, total=False):
    """Options of a covariance that few kinds have; see `coef_table`."""

    lags: int | None
    dispersion: str | float | None
    features: ArrayLike | None


class CovarianceOptions(FurtherOptions, total=False):
    """All options of a covariance, see `coef_table`."""

    cov: str
    weights: str
    cov_groups: ArrayLike | None


@dataclass(frozen=True)
class CovarianceChoice:
    """The options of a covariance, checked as far as they can be without rows; ``what`` was asked for one."""

    what: str
    cov: str = "auto"
    weights: str = "frequency"
    cov_groups: Any = None
    lags: int | None = None
    dispersion: str | float | None = None
    features: Any = None

    @classmethod
    def of(cls, what, **options):
        """From keywords; a TypeError for one that is not known."""
        known = sorted(CovarianceOptions.__annotations__)
        for name in options.keys() - set(known):
            raise TypeError(f"{what} has no argument {name!r}.{suggestion(name, known)}")
        return cls(what, **options)

    def __post_init__(self):
        check_choice("cov", self.cov, ("auto", *KINDS))
        check_choice("weights", self.weights, ("frequency", "analytic"))
        if self.lags is not None:
            check_count("lags", self.lags, 0)
        given = self.dispersion
        is_name = isinstance(given, str) and given in ("pearson", "deviance")
        is_number = isinstance(given, Real) and not isinstance(given, bool) and 0 < float(given) < np.inf
        if not (given is None or is_name or is_number):
            raise ValueError(f'dispersion must be "pearson", "deviance", a positive number or None, got {given!r}')

    def resolved(self, fitted, kinds):
        """The name of the covariance, one of ``kinds``: what "auto" takes, or what was asked for if there is one."""
        names = self._automatic(fitted, kinds) if self.cov == "auto" else [self.cov]
        reasons = {name: self._refusal(name, fitted, kinds) for name in names}
        found = next((name for name, reason in reasons.items() if reason is None), None)
        if found is None:
            raise ValueError(f"{self.what}: cov={names[-1]!r} {reasons[names[-1]]}")
        return found

    def _automatic(self, fitted, kinds):
        """What "auto" tries, in this order."""
        # where a profile has no place, its standard errors have
        names = [name for name in _AUTO[fitted.prior] if name in kinds] or ["expected"]
        if not fitted.objective.rows.in_memory:
            names = [_OF_SINGLE_ROWS.get(name, name) for name in names]
        of_a_dispersion = [name for name in names if name in _OF_A_DISPERSION]
        return of_a_dispersion or names if self.dispersion is not None else names

    def _refusal(self, name, fitted, kinds):
        """Why there is no such covariance here, None where there is one."""
        if name not in kinds:
            instead = "sandwich" if fitted.prior == "normal" else "expected"
            return f"has no intervals of such predictions here: use cov={instead!r}"
        if self.cov_groups is not None and name not in ("sandwich", "CR2"):
            return "has no clustered version: use cov='sandwich' with cov_groups, or 'CR2' for few groups"
        if self.lags is not None and name != "HAC":
            return "has no lags: they are for cov='HAC'"
        reason = KINDS[name].refuse(fitted)
        is_of_rows = name in _OF_SINGLE_ROWS and (name != "CR2" or self.cov_groups is None)
        if reason is None and is_of_rows and not fitted.objective.rows.in_memory:
            what = "takes many rounds" if name == "profile" else "needs all rows in memory"
            also = ", or profile_intervals, which takes them" if name == "profile" else ""
            return f"{what}, and these come in parts: use cov={_OF_SINGLE_ROWS[name]!r}{also}"
        if reason is None and self.dispersion is not None:
            return self._refusal_of_dispersion(name, fitted)
        return reason

    def _refusal_of_dispersion(self, name, fitted):
        if name not in _OF_A_DISPERSION:
            also = " A posterior takes it in inspection.laplace(dispersion=)." if name == "laplace" else ""
            return f"takes no dispersion: leave it out, or use cov='expected' for a fit without a penalty.{also}"
        if fitted.prior == "jeffreys":
            return "takes no dispersion beside Jeffreys' prior, which is that of a likelihood: leave it out"
        if fitted.loss.shift_invariant and isinstance(self.dispersion, str):
            return (
                f"takes no dispersion={self.dispersion!r} of several classes: a row has one label, whose residual "
                "tells nothing of a variance. Give a number, or leave it out"
            )
        return None


@dataclass(frozen=True)
class Uncertainty:
    """A covariance of a fit: its ``name`` in `KINDS`, the curvature behind it, and the verdict on the fit.

    That is a `Curvature`, or a `StreamCurvature`.
    """

    name: str
    curvature: Any
    covariance: Covariance
    verdict: str

    @classmethod
    def of(cls, fitted, sample_weight, choice, kinds=tuple(KINDS)):
        """That of a `CovarianceChoice`, one of ``kinds``; a ValueError where there is none."""
        by_products = needs_products(fitted, choice.features)
        _require_table(fitted, choice.what, by_products)
        weights = weights_of(fitted, sample_weight, choice.weights)
        groups = () if choice.cov_groups is None else _groups(choice.cov_groups, weights, fitted.objective.rows)
        name = choice.resolved(fitted, kinds)
        if choice.features is not None:
            _check_features(name, choice, by_products)
        if name == "CR2" and len(groups) > 1:
            raise ValueError(f"{choice.what}: cov='CR2' is for groups of one kind: use cov='sandwich' for two")
        kind = ChosenCurvature if by_products else Curvature
        curvature = kind(fitted, weights, KINDS[name].curvature, choice, groups)
        covariance = _with_untold(curvature, curvature.found(KINDS[name].covariance), choice.what)
        distance = curvature.distance(np.sqrt(curvature.variances(covariance)))
        return cls(name, curvature, covariance, _verdict(fitted, distance))

    @cached_property
    def matrix(self):
        """The covariance of the chosen parameters."""
        return self.curvature.of_parameters(self.covariance)

    @property
    def kind(self) -> Kind:
        """What the covariance is."""
        return KINDS[self.name]

    @property
    def std_error(self):
        """The standard errors of the parameters."""
        return np.sqrt(np.diag(self.matrix))

    @property
    def target(self):
        """What intervals are about."""
        return self.kind.target[self.curvature.fitted.prior]

    @property
    def df(self):
        """Degrees of freedom of Student's t, (1,) or (n_targets,); inf for the normal distribution.

        Of each chosen parameter (m,), where each has its own.
        """
        curvature = self.curvature
        if self.covariance.freedom is not None:
            return np.where(np.isnan(self.std_error), np.nan, self.covariance.freedom.df_of_each())
        if curvature.groups:
            return np.array([min(index.max() for index in curvature.groups)])
        if self.kind.by_t and curvature.likelihood.estimates_dispersion:
            return curvature.likelihood.df_resid
        return np.array([np.inf])


def _with_untold(curvature, covariance, what):
    """A covariance that says which parameters one row, or one group, alone determines."""
    directions, convention = covariance.untold, covariance.convention
    if directions is None or not len(directions):
        return replace(covariance, untold=None)
    is_grouped, root = bool(curvature.groups), curvature.shown(curvature.root)
    nothing = involved(root, directions)
    names = [curvature.fitted.reported[0][j] for j in curvature.positions[nothing]]
    text = text_of(names, is_grouped)
    if nothing.all() or what != "coef_table":
        raise ValueError(
            f"{what}: the fit follows the targets of one {'group' if is_grouped else 'row'} or of several, whatever "
            f"they are, so that residuals tell nothing of their errors ({listed(names, ', ')}). Use cov='expected', or "
            "leave out the columns that they alone determine"
        )
    return replace(covariance, convention=f"{convention}; {text}" if convention else text)


def _check_features(name, choice, by_products):
    """Refuse a choice of features where all parameters are needed."""
    if choice.what != "coef_table":
        raise ValueError(f"features is for coef_table: {choice.what} needs all columns, and no matrix of their size")
    if name in ("laplace", "profile"):
        raise ValueError(f"features is not for cov={name!r}, which is of all parameters together: use another cov")
    if by_products and (name not in WITHOUT_FACTOR or np.ndim(choice.cov_groups) > 1):
        what = "two kinds of groups" if name in WITHOUT_FACTOR else f"cov={name!r}"
        raise ValueError(
            f"{choice.what}: {what} would need a factor of the curvature, which has too many columns here. There are "
            f"{listed(list(WITHOUT_FACTOR), ', ')}, and cov_groups of one kind"
        )


def _require_table(fitted: Fitted, what, by_products=False):
    """Refuse what has no covariance of parameters."""
    if not fitted.objective.model.is_linear:
        raise TypeError(
            f"{what} is for linear models, not for {fitted.name}: single weights of a network are not identified. "
            "Use inspection.laplace for the uncertainty of its predictions"
        )
    if not by_products:
        fitted.require_factor()
    fitted.require_optimum(what)
    edge, flat = fitted.here.remarks(), fitted.objective.flat_directions()
    if edge:
        raise ValueError(f"{what}: there are no standard errors for this {fitted.name}. {' '.join(edge)}")
    if flat:
        raise ValueError(
            f"{what}: the data do not determine every coefficient of this {fitted.name}: {listed(flat)}. "
            "Drop these columns, or add a penalty"
        )


def _verdict(fitted, distance):
    status = fitted.estimator.convergence_.status
    if distance <= NEAR:
        return status
    return (
        f"{status}; its tol={fitted.estimator.tol:g} left estimates up to {distance:.2g} std. errors from the "
        "optimum: fit with a smaller tol"
    )


def _groups(labels, weights, rows):
    """The group of each row of positive weight, from 0 on, for each of one or two kinds of groups."""
    labels = labels if rows.in_memory else _labels_of_parts(labels)
    if hasattr(labels, "columns"):
        # columns of a data frame may have labels of different kinds
        columns = [np.asarray(labels[name]) for name in labels.columns]
        shape = labels.shape
    else:
        labels = np.asarray(labels)
        shape, columns = labels.shape, list(labels.T) if labels.ndim == 2 else [labels]
    if shape not in ((weights.n_passed,), (weights.n_passed, 1), (weights.n_passed, 2)):
        of_positive = "" if rows.in_memory else " of positive weight, one part after the other"
        raise ValueError(
            f"cov_groups must have one label for each of the {weights.n_passed} rows{of_positive}, got shape {shape}; "
            "labels in two columns are two ways of grouping"
        )
    return tuple(_group_indices(column, weights.position) for column in columns)


def _labels_of_parts(labels):
    """Labels of rows in parts, as those of rows in memory: an array, a dask collection, or an array for each part."""
    if hasattr(labels, "to_delayed"):
        return labels.compute()
    if hasattr(labels, "columns") or hasattr(labels, "shape"):
        return labels
    parts = list(labels() if callable(labels) else labels)
    is_for_each = len(parts) > 0 and all(hasattr(part, "shape") for part in parts)
    return np.concatenate([np.asarray(part) for part in parts]) if is_for_each else parts


def _group_indices(labels, position):
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError("cov_groups must not be nan: give those rows a group of their own, or drop them")
    try:
        present, indices = np.unique(labels[position], return_inverse=True)
    except TypeError as error:
        raise TypeError("cov_groups must hold labels of one kind, such as all integers or all strings") from error
    if len(present) < 2:
        raise ValueError(f"cov_groups must have at least two groups, got only {present.tolist()[0]!r}")
    return indices
