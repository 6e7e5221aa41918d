"""What the Hessian of a fitted estimator knows: read-only functions and displays.

============================================================== =====================================================
question                                                       answer
============================================================== =====================================================
How sure are the coefficients?                                 `coef_table`, `profile_intervals`, `CoefficientDisplay`
Do several coefficients, or a larger model, matter?            methods of `CoefTable`, `compare_models`, `score_test`
How far do columns inflate each other's errors?                `variance_inflation`
What does a change of a column do to the mean?                 `marginal_effects`
Does the model fit its rows?                                   `residuals`, `ResidualDisplay`
How sure are the parameters of a curve or a likelihood?        `curve_table`
How sure are the predictions?                                  `prediction_table`, `PredictionDisplay`, `laplace`
Which penalty is best?                                         `tune_alpha`, `PenaltyPathDisplay`
What did single rows do to the fit?                            `influence`, `influential_rows`, `InfluenceDisplay`
How good is it on rows that it has not seen?                   `leave_one_out`, `leave_one_out_path`
Do ordered classes have the same slopes throughout?            `parallel_slopes`
Which parameters do the data not determine?                    `flat_directions`
Is this a minimum?                                             `stationary_point`
How is the objective curved?                                   `hessian`, `spectrum`, `HessianSpectrumDisplay`
What does Newton's method see?                                 `taylor_model`, `LossSurfaceDisplay`
How good is an approximation of the Hessian?                   `hessian_accuracy`
How did the fit get there?                                     `ConvergenceDisplay`
============================================================== =====================================================

All take a fitted estimator and the rows of its fit, ``(estimator, X, y, *, sample_weight=None, offset=None, ...)``; the
display of the convergence takes the estimator alone, and `curve_table` a result of `minimize`. `tune_alpha` and
`leave_one_out_path` take one that is not fitted too. The estimator may be a pipeline whose last step is one of ours:
the steps before it then transform X. No function modifies anything.
"""

from sk_hessian._selection import PenaltyPath
from sk_hessian.inspection._accuracy import Approximation, HessianAccuracy, hessian_accuracy
from sk_hessian.inspection._coef_table import CoefTable, coef_table
from sk_hessian.inspection._comparison import ModelComparison, compare_models
from sk_hessian.inspection._curve_table import CurveTable, curve_table
from sk_hessian.inspection._displays._coefficients import CoefficientDisplay
from sk_hessian.inspection._displays._convergence import ConvergenceDisplay
from sk_hessian.inspection._displays._influence import InfluenceDisplay
from sk_hessian.inspection._displays._loss_surface import LossSurfaceDisplay
from sk_hessian.inspection._displays._penalty_path import PenaltyPathDisplay
from sk_hessian.inspection._displays._predictions import PredictionDisplay
from sk_hessian.inspection._displays._residuals import ResidualDisplay
from sk_hessian.inspection._displays._spectrum import HessianSpectrumDisplay
from sk_hessian.inspection._evidence import TunedPenalty, tune_alpha
from sk_hessian.inspection._flat_directions import FlatDirection, flat_directions
from sk_hessian.inspection._hessian import HessianOperator, hessian
from sk_hessian.inspection._hypotheses import ContrastTable, RatioTable
from sk_hessian.inspection._hypothesis_test import HypothesisTest
from sk_hessian.inspection._influence import Influence, influence
from sk_hessian.inspection._influential_rows import influential_rows
from sk_hessian.inspection._laplace import LaplacePosterior, laplace
from sk_hessian.inspection._leave_one_out import LeaveOneOut, leave_one_out
from sk_hessian.inspection._marginal_effects import MarginalEffects, marginal_effects
from sk_hessian.inspection._parallel_slopes import ParallelSlopes, parallel_slopes
from sk_hessian.inspection._penalty_path import LeaveOneOutPath, leave_one_out_path
from sk_hessian.inspection._predictions import PredictionTable, prediction_table
from sk_hessian.inspection._profile import ProfileIntervals, profile_intervals
from sk_hessian.inspection._residuals import residuals
from sk_hessian.inspection._score_test import ScoreTest, score_test
from sk_hessian.inspection._spectrum import Spectrum, spectrum
from sk_hessian.inspection._stationary_point import StationaryPoint, stationary_point
from sk_hessian.inspection._taylor import TaylorModel, taylor_model
from sk_hessian.inspection._variance_inflation import VarianceInflation, variance_inflation

__all__ = [
    "Approximation",
    "CoefTable",
    "CoefficientDisplay",
    "ContrastTable",
    "ConvergenceDisplay",
    "CurveTable",
    "FlatDirection",
    "HessianAccuracy",
    "HessianOperator",
    "HessianSpectrumDisplay",
    "HypothesisTest",
    "Influence",
    "InfluenceDisplay",
    "LaplacePosterior",
    "LeaveOneOut",
    "LeaveOneOutPath",
    "LossSurfaceDisplay",
    "MarginalEffects",
    "ModelComparison",
    "ParallelSlopes",
    "PenaltyPath",
    "PenaltyPathDisplay",
    "PredictionDisplay",
    "PredictionTable",
    "ProfileIntervals",
    "RatioTable",
    "ResidualDisplay",
    "ScoreTest",
    "Spectrum",
    "StationaryPoint",
    "TaylorModel",
    "TunedPenalty",
    "VarianceInflation",
    "coef_table",
    "compare_models",
    "curve_table",
    "flat_directions",
    "hessian",
    "hessian_accuracy",
    "influence",
    "influential_rows",
    "laplace",
    "leave_one_out",
    "leave_one_out_path",
    "marginal_effects",
    "parallel_slopes",
    "prediction_table",
    "profile_intervals",
    "residuals",
    "score_test",
    "spectrum",
    "stationary_point",
    "taylor_model",
    "tune_alpha",
    "variance_inflation",
]
