"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._displays._convergence import ConvergenceDisplay
from sk_hessian.inspection._displays._loss_surface import LossSurfaceDisplay

__all__ = ["ConvergenceDisplay", "LossSurfaceDisplay"]
