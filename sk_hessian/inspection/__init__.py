"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._hessian import HessianOperator, hessian
from sk_hessian.inspection._spectrum import Spectrum, spectrum

__all__ = ["HessianOperator", "Spectrum", "hessian", "spectrum"]
