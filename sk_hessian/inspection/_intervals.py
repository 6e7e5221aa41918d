"""Tests and intervals of estimates by their standard errors."""

import numpy as np
from scipy.stats import t as student


def intervals_and_tests(estimate, error, df, level, value=0.0, *, has_tests=True):
    """Wald's tests of ``value`` and symmetric intervals, as columns of a table: a dict of arrays.

    By Student's t with ``df`` degrees of freedom, inf for the normal distribution. Without tests, as of a posterior,
    statistics and p-values are nan.
    """
    reach = student.isf((1 - level) / 2, df) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (estimate - value) / error if has_tests else np.full(np.shape(estimate), np.nan)
    p_value = 2 * student.sf(np.abs(statistic), df)
    return {"statistic": statistic, "p_value": p_value, "lower": estimate - reach, "upper": estimate + reach}
