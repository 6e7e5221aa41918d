"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._profile import ProfileIntervals, profile_intervals

__all__ = ["ProfileIntervals", "profile_intervals"]
