"""Least squares with the digits that sums in double precision lose: Newton steps from residuals of more digits."""

import numpy as np

#: multiplications in extended precision, which no BLAS does, up to which a pass of them takes no time
MOST_WORK = 1e6

#: most passes; where columns are not dependent to rounding two are enough
_MOST_PASSES = 5

#: a step that is not below this share of the one before is rounding
_FALL = 0.5


def refined(objective, theta, factor):
    """The parameters of least squares after a few Newton steps, with slopes of extended precision, and the passes.

    Ill-conditioned columns cost a gradient its digits and not the factor: with residuals and sums of more digits the
    same factor restores the parameters to about the last one (Golub & Wilkinson, "Note on the iterative refinement of
    least squares solution", 1966; A. Björck, "Iterative refinement of linear least squares solutions", 1967). Where
    numpy's longdouble is a double, a step still leaves the error that its rounding makes. The objective is of a squared
    loss, without a penalty, and of few rows; ``theta`` is near the optimum; the factor is of the exact Hessian.
    """
    slope, before, passes = _extended_slope(objective, factor.outer.columns), np.inf, 0
    with np.errstate(over="ignore", invalid="ignore"):
        while passes < _MOST_PASSES and np.finfo(float).eps < before:
            step, passes = factor.newton_within(slope(theta))[1].theta, passes + 1
            # each parameter beside its own size: of those that the others leave hardly determined digits count too
            size = np.abs(step / np.where(theta == 0, 1.0, theta)).max()
            if not size < _FALL * before:
                break
            theta, before = theta + step, size
    return theta, passes


def _extended_slope(objective, columns):
    """A function from theta to the gradient in the coordinates ``columns``, rounded only at its end: one round."""
    k, p, total = objective.loss.n_outputs, objective.n_features, objective.rows.total_weight
    basis = None if columns.basis is None else np.asarray(columns.basis, dtype=np.longdouble)

    def slope(theta):
        W = theta.reshape(-1, k).astype(np.longdouble)

        def of_block(block, y, weight):
            X, y = block.dense().astype(np.longdouble), y.reshape(len(y), k)
            residual = X @ W[:p] + W[p:].sum(axis=0) - y + (0.0 if block.offset is None else block.offset)
            Z = (X - columns.shift) / columns.scale
            Z = np.hstack([Z, np.ones((len(X), 1))]) if columns.fit_intercept else Z
            Z = Z if basis is None else Z @ basis
            return (Z.T @ (residual * (weight / total)[:, None]),)

        return objective.rows.fold(of_block)[0].astype(float).ravel()

    return slope
