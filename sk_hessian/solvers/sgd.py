"""Stochastic gradient descent."""

from sk_hessian.solvers.first_order import FirstOrder


class SGD(FirstOrder):
    """Stochastic gradient descent: theta - eta g.

    Parameters
    ----------
    learning_rate : "auto" or float, default="auto"
        "auto": the Barzilai-Borwein step under a line search on the full batch, and on minibatches a step that the
        batch's curvature allows, one over one plus parameters per row.
    schedule : {"constant", "invscaling", "inverse"} or callable, default="constant"
        Factor of the learning rate in epoch t: 1, 1/sqrt(t), 1/t, or ``schedule(t)``.
    batch_size : "auto", int or None, default="auto"
        Rows of a minibatch; None is the full batch, plain gradient descent. "auto" begins with minibatches where
        there are many rows and lets them grow to the full batch once an epoch no longer gains on their noise.
    average : bool, default=False
        End each epoch at the mean of its iterates, and begin the next one there (Hazan & Kale, "Beyond the regret
        minimization barrier", 2014).
    precondition : "auto", None, "diagonal", "full" or "kronecker", default="auto"
        The change of variables it runs in. None with a float ``learning_rate`` is the textbook formula.
    """
