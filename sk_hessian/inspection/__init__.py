"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

__all__ = []
