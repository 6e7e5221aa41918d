"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._evidence import TunedPenalty, tune_alpha
from sk_hessian.inspection._laplace import LaplacePosterior, laplace

__all__ = ["LaplacePosterior", "TunedPenalty", "laplace", "tune_alpha"]
