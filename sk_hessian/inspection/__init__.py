"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._coef_table import CoefTable, coef_table
from sk_hessian.inspection._displays import (
    CoefficientDisplay,
    ConvergenceDisplay,
    HessianSpectrumDisplay,
    InfluenceDisplay,
    LossSurfaceDisplay,
)
from sk_hessian.inspection._hessian import HessianOperator, hessian
from sk_hessian.inspection._influence import Influence, influence
from sk_hessian.inspection._leave_one_out import LeaveOneOut, LeaveOneOutPath, leave_one_out, leave_one_out_path
from sk_hessian.inspection._spectrum import Spectrum, spectrum

__all__ = [
    "CoefTable",
    "CoefficientDisplay",
    "ConvergenceDisplay",
    "HessianOperator",
    "HessianSpectrumDisplay",
    "Influence",
    "InfluenceDisplay",
    "LeaveOneOut",
    "LeaveOneOutPath",
    "LossSurfaceDisplay",
    "Spectrum",
    "coef_table",
    "hessian",
    "influence",
    "leave_one_out",
    "leave_one_out_path",
    "spectrum",
]
