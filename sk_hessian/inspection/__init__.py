"""What the Hessian of a fitted estimator knows: read-only functions and displays."""

from sk_hessian.inspection._influence import Influence, influence
from sk_hessian.inspection._leave_one_out import LeaveOneOut, LeaveOneOutPath, leave_one_out, leave_one_out_path

__all__ = ["Influence", "LeaveOneOut", "LeaveOneOutPath", "influence", "leave_one_out", "leave_one_out_path"]
