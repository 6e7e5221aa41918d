"""The distribution behind a loss: its likelihood and its moments.

Where there is one, a loss is a negative log-likelihood times a dispersion, but for terms of y alone. What inspection
asks of the distribution stands here and, for each family, beside its loss.
"""

import numpy as np


class Family:
    """A family of distributions, for ``n`` rows and ``m`` raw columns; this one has no likelihood.

    Parameters
    ----------
    loss : Loss

    Attributes
    ----------
    has_dispersion : bool
        True when the loss is a negative log-likelihood times a dispersion that the data must tell.
    has_likelihood : bool
        True when `log_likelihood` is that of a distribution.
    """

    has_dispersion: bool = False
    has_likelihood: bool = False

    def __init__(self, loss):
        self.loss = loss

    def log_likelihood(self, y: np.ndarray, raw: np.ndarray, dispersion: float = 1.0) -> np.ndarray:
        """Logarithm of the density of each row, its constants included, shape (n,).

        By default the loss with the opposite sign, for losses without terms of y alone.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, k)
        raw : ndarray of shape (n, m)
        dispersion : float, or array that broadcasts to (n, n_outputs)
            What the variance function is multiplied with; of a family whose dispersion is one, what the logarithm is
            divided by (a quasi-likelihood).
        """
        return -self.loss.value(y, raw) / np.ravel(dispersion)

    def dispersion(self, excess: float, constants: np.ndarray) -> float:
        """A rough estimate of the dispersion, the unit of twice the loss, from no more than a point's value.

        Parameters
        ----------
        excess : float
            The mean loss above that of the saturated model.
        constants : ndarray of shape (n_constants,)

        Returns
        -------
        float
            The mean deviance of an output, 1 where the family has no dispersion. The mean deviance of a Gamma
            distribution is at most twice its dispersion.
        """
        return 2 * excess / self.loss.n_outputs if self.has_dispersion else 1.0

    def pearson(self, y: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """Squared residuals over the variance function, shape (n, n_outputs); their mean estimates the dispersion.

        By default the squared gradient over the expected curvature. For exponential families and any link that is the
        same: the gradient is (mean - y) mean' / variance, the expected curvature mean'^2 / variance.
        """
        k = self.loss.n_outputs
        slope = self.loss.value_and_gradient(y, raw)[1][:, :k]
        bend = np.einsum("nkk->nk", self.loss.hessian(y, raw, "expected"))[:, :k]
        return np.divide(slope**2, bend, out=np.zeros_like(slope), where=slope != 0)

    def response_moments(self, raw, variance, dispersion):
        """Moments of the target for normal raw predictions, each of shape (n, n_outputs).

        Parameters
        ----------
        raw, variance : ndarray of shape (n, n_outputs)
            Mean and variance of the raw prediction.
        dispersion : float

        Returns
        -------
        mean : ndarray
            Expectation of the target's mean, the inverse link of the raw prediction.
        spread : ndarray
            Variance of that mean.
        noise : ndarray
            Expectation of the target's variance about it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no moments of targets: define response_moments")
