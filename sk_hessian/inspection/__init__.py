"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._coef_table import CoefTable, coef_table
from sk_hessian.inspection._displays import (
    CoefficientDisplay,
    ConvergenceDisplay,
    HessianSpectrumDisplay,
    InfluenceDisplay,
    LossSurfaceDisplay,
)
from sk_hessian.inspection._influence import Influence, influence

__all__ = [
    "CoefTable",
    "CoefficientDisplay",
    "ConvergenceDisplay",
    "HessianSpectrumDisplay",
    "Influence",
    "InfluenceDisplay",
    "LossSurfaceDisplay",
    "coef_table",
    "influence",
]
