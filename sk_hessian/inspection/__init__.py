"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._laplace import LaplacePosterior, laplace

__all__ = ["LaplacePosterior", "laplace"]
