"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._coef_table import CoefTable, coef_table
from sk_hessian.inspection._displays import (
    CoefficientDisplay,
    ConvergenceDisplay,
    HessianSpectrumDisplay,
    InfluenceDisplay,
    LossSurfaceDisplay,
)

__all__ = [
    "CoefTable",
    "CoefficientDisplay",
    "ConvergenceDisplay",
    "HessianSpectrumDisplay",
    "InfluenceDisplay",
    "LossSurfaceDisplay",
    "coef_table",
]
