"""Linear predictors: parameters to raw predictions, and back."""

import numpy as np

from sk_hessian.objectives.rows import Columns

#: outputs from which raw predictions, and gradients in them, are kept output by output: products take half the time
#: with 10,000 x 784 and 10 outputs, two thirds with 16,384 x 54 and 7, a third more with 2
_MANY_OUTPUTS = 3


class Linear:
    """A linear predictor: raw = [X, 1] W for a block of rows, and back; the constants of the loss beside the outputs.

    Parameters
    ----------
    n_features : int
    fit_intercept : bool
    loss : Loss
    """

    is_linear = True

    pass_width = 0  #: numbers per row that a pass needs beside those of X

    def __init__(self, n_features, fit_intercept, loss):
        self.n_features, self.fit_intercept = n_features, fit_intercept
        self.n_outputs, self.n_constants = loss.n_outputs, loss.n_constants
        self.n_weights = (n_features + fit_intercept) * loss.n_outputs
        self.n_parameters = self.n_weights + loss.n_constants
        #: where weights (rows, outputs) are among the parameters, and their shape
        self.layers = [(slice(0, self.n_weights), (n_features + fit_intercept, loss.n_outputs))]

    def names(self, features, outputs=None):
        """What each weight is called: features and the intercept, of several outputs with the output's name."""
        names = [*features, *["intercept"] * self.fit_intercept]
        if self.n_outputs == 1:
            return names
        outputs = range(self.n_outputs) if outputs is None else outputs
        return [f"{name} [{output}]" for name in names for output in outputs]

    def raw_units(self):
        """The columns as they are, as coordinates."""
        return Columns.raw(self.n_features, self.fit_intercept)

    def unpack(self, theta):
        """Coefficients (p, k), intercepts (k,) and constants of ``theta``."""
        W = theta[: self.n_weights].reshape(-1, self.n_outputs)
        intercept = W[self.n_features] if self.fit_intercept else np.zeros(self.n_outputs)
        return W[: self.n_features], intercept, theta[self.n_weights :]

    def pack(self, coef, intercept, constants=()):
        """The inverse of `unpack`."""
        parts = (coef, intercept, constants) if self.fit_intercept else (coef, constants)
        return np.concatenate([np.asarray(part, dtype=float).reshape(-1) for part in parts])

    def raw(self, block, parameters):
        """Raw predictions of the rows of a block, the offset included, shape (n, outputs + constants)."""
        return self.change(block, parameters, block.offset)

    def change(self, block, parameters, offset=None):
        """What raw predictions change by when the parameters change by these: the same without the offset."""
        coef, intercept, constants = parameters
        is_null = not np.logical_or.reduce(coef, axis=None)
        if self.n_outputs >= _MANY_OUTPUTS:
            coef = np.asfortranarray(coef)
        raw = np.zeros((self.n_outputs, block.n_rows)).T if is_null else block.forward(coef)
        if self.fit_intercept:
            raw += intercept
        if offset is not None:
            raw += offset
        if self.n_constants:
            raw = np.concatenate((raw, np.broadcast_to(constants, (len(raw), len(constants)))), axis=1)
        return raw

    def adjoint(self, block, R):
        """[X, 1]'R for the outputs and the sum of R for the constants: a gradient in theta from one in raw."""
        k = self.n_outputs
        if not (self.fit_intercept or self.n_constants):
            return block.adjoint(R).ravel()
        sums = np.add.reduce(R, axis=0)
        return np.concatenate((block.adjoint(R[:, :k]).ravel(), sums if self.fit_intercept else sums[k:]))

    def pulled(self, block, parameters, S):
        """Gradients in theta of each row's raw predictions, combined by ``S`` (n, m, r): shape (n, r, n_parameters)."""
        k, Z = self.n_outputs, block.dense()
        Z = np.hstack((Z, np.ones((len(Z), 1)))) if self.fit_intercept else Z
        weights = np.einsum("nar,nj->nrja", S[:, :k], Z).reshape(len(Z), S.shape[2], self.n_weights)
        return np.concatenate((weights, S[:, k:].transpose(0, 2, 1)), axis=2) if self.n_constants else weights
