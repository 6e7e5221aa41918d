"""The dispersion of a fit, from its residuals."""

import numpy as np

#: share of the observations below which what a fit has left is rounding
_NOTHING_LEFT = 1e-9


def pearson_dispersion(what, chi_square, n, effective_df, least, hint=""):
    """Pearson's chi-square over what the effective parameters leave of the observations, for each target.

    The one estimate of a dispersion in this package. What differs is what goes in: `coef_table` has one for each
    target, with weights as frequencies or as precisions; `influence` one target, `laplace` all targets together, both
    with weights as frequencies. A chi-square up to ``least`` is rounding; ``hint`` is what an error says of ``n``.
    """
    df = np.max(effective_df)
    if n - df <= _NOTHING_LEFT * n:
        raise ValueError(
            f"{what}: {n:.10g} observations{hint} for {df:.10g} effective parameters leave none to estimate the "
            "dispersion: more rows are needed, fewer columns, or a penalty"
        )
    if np.any(chi_square <= least):
        raise ValueError(f"{what}: the fit is perfect: the residuals, and with them the dispersion, are rounding")
    return chi_square / (n - effective_df)
