"""What is added to a mean loss beside the L2 penalty, as a sum over rows."""


class Term:
    """A part of an objective that is no loss of a row; `at` gives it at a point.

    A subclass says what it is by these facts, and its point has what `TermPoint` has.

    Attributes
    ----------
    name : str
        What a message calls it.
    prior : str or None
        The prior distribution of which it is the negative logarithm, where inspection knows that one.
    made_of : str
        See `Facts.made_of`.
    is_convex : bool
    is_exact : bool
        Whether its "expected" curvature is its second derivative.
    is_sum_over_rows : bool
        Whether it can be had of some rows, and is not changed by them.
    is_of_predictions : bool
        Whether it depends on the parameters through the rows' predictions alone: what is flat for these is flat.
    """

    name = "term"
    prior: str | None = None
    made_of = "columns"
    is_convex = True
    is_exact = True
    is_sum_over_rows = True
    is_of_predictions = False

    def at(self, here):
        """The term at the point of a `LinearEvaluation`, a `TermPoint`."""
        raise NotImplementedError

    def check(self, objective):
        """Raise a ValueError where it does not go with the objective that it is added to."""

    def check_sample(self):
        """Raise a ValueError where it cannot be had for a sample of the rows."""


class TermPoint:
    """A term at a point, as a sum over rows: an objective divides by their total weight.

    Attributes
    ----------
    value : float
    gradient : ndarray of shape (n_parameters,)
    """

    value: float
    gradient: object

    noise = 0.0  #: the rounding error of the value

    def product(self, v, kind):
        """The product of its Hessian with a direction, shape (n_parameters,)."""
        raise NotImplementedError

    def matrix(self, columns, kind):
        """Its Hessian in coordinates of the columns."""
        raise NotImplementedError
