"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._accuracy import Approximation, HessianAccuracy, hessian_accuracy
from sk_hessian.inspection._coef_table import CoefTable, coef_table
from sk_hessian.inspection._displays import (
    CoefficientDisplay,
    ConvergenceDisplay,
    HessianSpectrumDisplay,
    InfluenceDisplay,
    LossSurfaceDisplay,
)
from sk_hessian.inspection._evidence import TunedPenalty, tune_alpha
from sk_hessian.inspection._flat_directions import FlatDirection, flat_directions
from sk_hessian.inspection._hessian import HessianOperator, hessian
from sk_hessian.inspection._influence import Influence, influence
from sk_hessian.inspection._laplace import LaplacePosterior, laplace
from sk_hessian.inspection._leave_one_out import LeaveOneOut, LeaveOneOutPath, leave_one_out, leave_one_out_path
from sk_hessian.inspection._profile import ProfileIntervals, profile_intervals
from sk_hessian.inspection._spectrum import Spectrum, spectrum
from sk_hessian.inspection._stationary_point import StationaryPoint, stationary_point
from sk_hessian.inspection._taylor import TaylorModel, taylor_model

__all__ = [
    "Approximation",
    "CoefTable",
    "CoefficientDisplay",
    "ConvergenceDisplay",
    "FlatDirection",
    "HessianAccuracy",
    "HessianOperator",
    "HessianSpectrumDisplay",
    "Influence",
    "InfluenceDisplay",
    "LaplacePosterior",
    "LeaveOneOut",
    "LeaveOneOutPath",
    "LossSurfaceDisplay",
    "ProfileIntervals",
    "Spectrum",
    "StationaryPoint",
    "TaylorModel",
    "TunedPenalty",
    "coef_table",
    "flat_directions",
    "hessian",
    "hessian_accuracy",
    "influence",
    "laplace",
    "leave_one_out",
    "leave_one_out_path",
    "profile_intervals",
    "spectrum",
    "stationary_point",
    "taylor_model",
    "tune_alpha",
]
