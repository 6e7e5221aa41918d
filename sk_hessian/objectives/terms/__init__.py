"""What is added to a mean loss: penalties, and what a stream remembers."""

from sk_hessian.objectives.terms.jeffreys import Jeffreys
from sk_hessian.objectives.terms.l1 import L1
from sk_hessian.objectives.terms.l2 import L2, root_of
from sk_hessian.objectives.terms.memory import Memory, first_memory
from sk_hessian.objectives.terms.term import Term, TermPoint

__all__ = ["L1", "L2", "Jeffreys", "Memory", "Term", "TermPoint", "first_memory", "root_of"]
