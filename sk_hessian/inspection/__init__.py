"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._displays._convergence import ConvergenceDisplay

__all__ = ["ConvergenceDisplay"]
