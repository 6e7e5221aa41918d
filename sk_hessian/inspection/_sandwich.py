"""The second moment of the scores in a sandwich: of rows, of rows by their leverage, of groups, of rows in time.

Each function takes a `Curvature` and returns the `Covariance` of the parameters.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import eigh

from sk_hessian._text import listed
from sk_hessian.inspection._alone import followed_groups, followed_rows, of_ones, sole
from sk_hessian.inspection._leverages import NOTHING_LEFT, GroupLeverages, Leverages, information_of
from sk_hessian.inspection._row_labels import row_names

#: numbers that the leverages of groups may be, 64 MB
_MOST_NUMBERS = 2**23

#: negative eigenvalues below this share of the largest are rounding
_ROUNDING = 1e-12

#: rows for which the rule of Newey and West takes so many lags, and the power that it goes by
_RULE_ROWS, _RULE_LAGS, _RULE_POWER = 100, 4, 2 / 9


@dataclass(frozen=True)
class Covariance:
    """D R M R' D, with R the root of a `Curvature` and D diagonal, the same for all parameters of a target.

    ``moment`` is M (r, r), None for the identity, ``scale`` the squares of D (1,) or (n_targets,), ``beside`` what is
    added to it (n_parameters, n_parameters), or None. ``convention`` says which of several ways was taken, or is None.
    ``freedom`` is a `GroupLeverages` where each combination of the parameters has degrees of freedom of its own;
    ``untold`` (m, r) are directions along which it says nothing, see `followed_groups`.
    """

    moment: Any
    scale: np.ndarray
    beside: Any = None
    convention: str | None = None
    freedom: Any = None
    untold: Any = None


def of_rows(curvature, convention=None):
    """HC0: the scores are independent, and their squares estimate their variances."""
    rows, weights, total = curvature.single_rows, curvature.weights, curvature.objective.total
    if not curvature.may_follow_rows:
        moment = rows.score_moment(lambda *block: weights.within(*block).moment) / weights.score_total**2
        return Covariance(moment, np.ones(1), convention=convention)

    def of_block(terms):
        mine, score = weights.within(terms.part, terms.y, terms.share * total), terms.score
        return score.T @ (score * mine.moment[:, None]), sole(terms, mine.counts)

    moment, followed = rows.reduce(of_block)
    untold = of_ones(followed[None])
    return Covariance(moment / weights.score_total**2, np.ones(1), convention=convention, untold=untold)


def hc0(curvature):
    """The same with Fisher's information."""
    return of_rows(curvature, "HC0: no correction for small samples, Fisher's information on either side")


def hc1(curvature):
    """HC0 times n / (n - k)."""
    found, n = of_rows(curvature), curvature.weights.n_samples
    df = _require_freedom("cov='HC1'", n, curvature.effective_df)
    return replace(found, scale=n / df, convention="HC1: HC0 times n / (n - k)")


def hc2(curvature):
    """The squares of the scores over what the leverages leave."""
    return _leveraged(curvature, "HC2", 1, "HC2: squared scores over 1 - leverage")


def hc3(curvature):
    """The same, squared: nearly the jackknife."""
    return _leveraged(curvature, "HC3", 2, "HC3: squared scores over (1 - leverage)^2")


def _leveraged(curvature, name, power, convention):
    weights, rows = curvature.weights, curvature.single_rows
    _require_leverages(curvature, name)
    counts, squares = weights.counts, weights.moment

    def moment(terms):
        slope = Leverages.of(terms, counts[terms.part]).corrected(terms.slope, power / 2)
        score = np.einsum("nmr,nm->nr", terms.along, slope)
        return (score.T @ (score * squares[terms.part][:, None]),)

    return Covariance(rows.reduce(moment)[0] / weights.score_total**2, np.ones(1), convention=convention)


def _require_leverages(curvature, name):
    """Refuse rows that the fit goes through whatever their targets."""
    weights = curvature.weights
    _require_freedom(f"cov={name!r}", weights.n_samples, curvature.effective_df)
    largest = curvature.single_rows.gather(lambda terms: Leverages.of(terms, weights.counts[terms.part]).largest)
    full = np.flatnonzero(1 - largest <= NOTHING_LEFT)
    if full.size:
        labels = curvature.fitted.row_labels(weights.n_passed)
        raise ValueError(
            f"cov={name!r}: the leverage of {len(full)} rows is 1 ({listed(row_names(labels, weights.position[full]))})"
            f". The fit goes through such a row whatever its y, so that its residual says nothing of its variance. Use "
            "cov='HC1', or leave these rows out, with the columns that they alone determine"
        )


def cr2(curvature):
    """The sandwich of groups, or of single rows, that has no bias if the model's variances are true.

    Sources: R. Bell, D. McCaffrey, "Bias reduction in standard errors for linear regression with multi-stage samples",
    Survey Methodology 28, 2002; G. Imbens, M. Kolesar, "Robust standard errors in small samples: some practical
    advice", Review of Economics and Statistics 98, 2016; J. Pustejovsky, E. Tipton, "Small-sample methods for
    cluster-robust variance estimation and hypothesis testing in fixed effects models", Journal of Business & Economic
    Statistics 36, 2018. Within the columns in place of a group's rows: A. Niccodemi, R. Alessie, V. Angelini, J.
    Mierau, T. Wansbeek, "Refining clustered standard errors with few clusters", University of Groningen, 2020.
    """
    if not curvature.groups:
        return _of_single_rows(curvature)
    _require_freedom("cov='CR2'", curvature.weights.n_samples, curvature.effective_df)
    groups = curvature.groups[0]
    found = _group_leverages(curvature, groups, int(groups.max()) + 1)
    weights = curvature.weights
    sums, untold = _sums_of_groups(curvature, groups)
    corrected = found.corrected(sums / weights.score_total)
    text = f"CR2: {len(sums)} groups, scores over the roots of what their leverages leave; {_OWN_DF}"
    return Covariance(corrected.T @ corrected, np.ones(1), convention=text, freedom=found, untold=untold)


_OWN_DF = "Satterthwaite's degrees of freedom, of each coefficient its own"


def _of_single_rows(curvature):
    """HC2, with the degrees of freedom of `cr2`."""
    weights, root = curvature.weights, curvature.shown(curvature.root)
    _require_room(root.shape[1] * weights.n_passed * curvature.loss.n_outputs)
    found, counts = hc2(curvature), weights.counts

    def of_rows(terms):
        mine = counts[terms.part]
        return (Leverages.of(terms, mine).directions(terms, mine),)

    directions = curvature.single_rows.gather(of_rows)[0]
    first = np.arange(len(directions)) * directions.shape[1]
    directions = directions.reshape(-1, directions.shape[2])
    values = np.einsum("nr,nr->n", directions, directions)
    freedom = GroupLeverages(directions, values, first, counts, root)
    text = f"CR2 of rows, each a group of its own: the squared scores of HC2; {_OWN_DF}"
    return Covariance(found.moment, found.scale, convention=text, freedom=freedom)


def _group_leverages(curvature, groups, n_groups):
    """The `GroupLeverages` of groups of rows, each a number from 0 on; one round."""
    root = curvature.shown(curvature.root)
    _require_room(n_groups * root.shape[1] ** 2)
    information = curvature.single_rows.reduce(information_of(groups, n_groups))[0]
    return GroupLeverages.of_information(information, root)


def _require_room(numbers):
    if numbers > _MOST_NUMBERS:
        raise ValueError(
            "cov='CR2' is for small samples: here its leverages would take more than "
            f"{8 * _MOST_NUMBERS // 10**6} MB, and groups or rows are many. Use cov='sandwich' with cov_groups, or "
            "cov='HC2' for rows without groups"
        )


def of_groups(curvature):
    """Scores are independent between groups; of two ways of grouping V1 + V2 - V12."""
    weights, groups = curvature.weights, curvature.groups
    scale, small = np.ones(1), "G / (G - 1)"
    if curvature.knows_df:
        left = _require_freedom("cov_groups", weights.n_samples, curvature.effective_df)
        scale, small = (weights.n_samples - 1) / left, f"{small} (n - 1) / (n - k)"
    rows, total, counts = curvature.single_rows, weights.score_total, [int(index.max()) + 1 for index in groups]
    of_rows = weights.all_counts(curvature.objective.rows)
    if max(counts) == len(of_rows) and (of_rows == 1).all():
        raise ValueError(
            "cov_groups: every row is a group of its own, so that no row depends on another. Use cov='HC1', which is "
            "that matrix, or labels that rows share"
        )
    moments, untold = [], []
    for index in groups:
        sums, followed = _sums_of_groups(curvature, index)
        untold.append(followed)
        moments.append(len(sums) / (len(sums) - 1) * (sums.T @ sums) / total**2)
    is_known = all(followed is not None for followed in untold)
    alone_determined = np.vstack(untold) if is_known else None
    if not is_known:
        small += "; that one group alone determines a coefficient was not looked for, they are too many"
    if len(groups) == 2:
        sums = rows.score_sums(lambda *block: weights.within(*block).score, _together(*groups)) / total
        moments.append(len(sums) / (len(sums) - 1) * (sums.T @ sums))
    if len(groups) == 1:
        alone = int((np.bincount(groups[0], of_rows) == 1).sum())
        single = f", {alone} of them of one row" if alone else ""
        return Covariance(
            moments[0], scale, convention=f"{counts[0]} groups{single}, times {small}", untold=alone_determined
        )
    moment, mended = _without_negative(moments[0] + moments[1] - moments[2])
    text = f"groups of two kinds, {counts[0]} and {counts[1]}: V1 + V2 - V12, each times {small}"
    return Covariance(moment, scale, convention=text + mended, untold=alone_determined)


def _sums_of_groups(curvature, index):
    """Sums of the scores of groups (G, r), and what these alone determine, see `followed_groups`."""
    rows, weights = curvature.single_rows, curvature.weights

    def score(*block):
        return weights.within(*block).score

    if not curvature.may_follow_rows:
        return rows.score_sums(score, index), np.zeros((0, curvature.root.shape[1]))
    sums, leverages = rows.score_sums(score, index, with_leverages=True)
    return sums, followed_groups(curvature, index, leverages)


def of_times(curvature):
    """Newey and West's: rows in the order of time, of which near ones may depend on each other."""
    weights = curvature.weights
    if (weights.counts != 1).any():
        raise ValueError(
            "cov='HAC' needs one row for each time: frequencies other than 1 have no order. Use weights='analytic', or "
            "repeat the rows in their order"
        )
    lags, n = curvature.lags, weights.n_passed
    if lags is None:
        rule = int(_RULE_LAGS * (weights.n_samples / _RULE_ROWS) ** _RULE_POWER)
        lags, source = min(rule, n - 1), f"{_RULE_LAGS} (n / {_RULE_ROWS})^(2/9), rounded down"
    else:
        source = "given"
    if lags >= n:
        raise ValueError(f"lags must be below the number of rows, {n}, got {lags}")
    scale = weights.n_samples / _require_freedom("cov='HAC'", weights.n_samples, curvature.effective_df)
    moment = curvature.single_rows.serial_moment(weights.score, weights.position, lags)
    text = (
        f"Newey-West, Bartlett's kernel with {lags} lags ({source}), rows in the order of time, times n / (n - k), "
        "statsmodels' use_correction=True"
    )
    untold = followed_rows(curvature) if curvature.may_follow_rows else None
    return Covariance(moment / weights.score_total**2, scale, convention=text, untold=untold)


def _require_freedom(what, n, df):
    """What is left of n rows, refused where that is nothing."""
    if n <= df.max():
        raise ValueError(
            f"{what}: {n:.10g} rows are too few for {df.max():.10g} effective parameters (frequencies count as rows)"
        )
    return n - df


def _together(first, second):
    """The groups of rows that share both groups, from 0 on."""
    return np.unique(first * (int(second.max()) + 1) + second, return_inverse=True)[1]


def _without_negative(moment):
    """A symmetric matrix, its negative eigenvalues taken as zero, and a text that says so where there are any."""
    values, vectors = eigh(moment)
    if values[0] >= -_ROUNDING * values[-1]:
        return moment, ""
    half = vectors * np.sqrt(np.maximum(values, 0.0))
    return half @ half.T, "; that is not positive definite, so that its negative eigenvalues are taken as zero"
