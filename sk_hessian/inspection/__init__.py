"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._coef_table import CoefTable, coef_table

__all__ = ["CoefTable", "coef_table"]
