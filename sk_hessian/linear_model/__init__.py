"""Linear and generalized linear models, named and parametrised as in scikit-learn."""

from sk_hessian.linear_model._binomial import BinomialRegressor
from sk_hessian.linear_model._generalized import GeneralizedLinearRegressor
from sk_hessian.linear_model._glm import GammaRegressor, PoissonRegressor, TweedieRegressor
from sk_hessian.linear_model._huber import HuberRegressor
from sk_hessian.linear_model._least_squares import LinearRegression, Ridge
from sk_hessian.linear_model._logistic import LogisticRegression
from sk_hessian.linear_model._negative_binomial import NegativeBinomialRegressor
from sk_hessian.linear_model._ordinal import OrdinalClassifier
from sk_hessian.linear_model._quantile import QuantileRegressor

__all__ = [
    "BinomialRegressor",
    "GammaRegressor",
    "GeneralizedLinearRegressor",
    "HuberRegressor",
    "LinearRegression",
    "LogisticRegression",
    "NegativeBinomialRegressor",
    "OrdinalClassifier",
    "PoissonRegressor",
    "QuantileRegressor",
    "Ridge",
    "TweedieRegressor",
]
