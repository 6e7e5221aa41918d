"""Displays of fitted estimators, in scikit-learn's form: computed once, plotted as often as wanted."""

from sk_hessian.inspection._displays._coefficients import CoefficientDisplay
from sk_hessian.inspection._displays._convergence import ConvergenceDisplay
from sk_hessian.inspection._displays._influence import InfluenceDisplay
from sk_hessian.inspection._displays._loss_surface import LossSurfaceDisplay
from sk_hessian.inspection._displays._spectrum import HessianSpectrumDisplay

__all__ = [
    "CoefficientDisplay",
    "ConvergenceDisplay",
    "HessianSpectrumDisplay",
    "InfluenceDisplay",
    "LossSurfaceDisplay",
]
