"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._influence import Influence, influence

__all__ = ["Influence", "influence"]
