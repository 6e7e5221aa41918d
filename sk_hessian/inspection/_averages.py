"""Means of the predictions of all rows, one column of theirs at a value, with intervals."""

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t as student

from sk_hessian.inspection._new_rows import NewRows


class Averages:
    """The weighted averages of the predictions of many sets of rows at the fit of an `Uncertainty`.

    ``sets`` gives X of each set, all with rows of the same weights (n,). Arrays have the shape (n_sets, n_outputs). A
    row's offset is zero. Errors are by the delta method; the weights of the rows, and their other columns, are taken as
    they are.
    """

    def __init__(self, found, sets, weight):
        self._found, self._weight = found, weight / weight.sum()
        means, variances, outputs = zip(*map(self._average, sets), strict=True)
        self.mean, self.outputs = np.stack(means), outputs[0]
        self.std_error = np.sqrt(np.maximum(np.stack(variances), 0.0))

    def _average(self, X):
        rows = NewRows(self._found, X, _zero_offset(self._found, X))

        def slopes(part):
            return rows.slopes(part) * self._weight[part, None, None]

        variance = self._found.curvature.of_a_sum(self._found.covariance, rows.checked, slopes)
        return self._weight @ rows.mean, variance, rows.outputs

    def limits(self, level):
        """Ends of the intervals, made on a scale that keeps them in the range of the mean: log odds, or logarithms."""
        fitted, reach = self._found.curvature.fitted, student.isf((1 - level) / 2, self._found.df) * self.std_error
        mean = self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            if hasattr(fitted.estimator, "classes_"):
                reach = reach / (mean * (1 - mean))
                return expit(logit(mean) - reach), expit(logit(mean) + reach)
            if (mean > 0).all() and not fitted.loss.in_range(np.array([-1.0]))[0]:
                return mean * np.exp(-reach / mean), mean * np.exp(reach / mean)
        return mean - reach, mean + reach


def _zero_offset(found, X):
    """An offset of zero for each row, None where the fit had none."""
    fitted = found.curvature.fitted
    if not getattr(fitted.estimator, "has_offset_", False):
        return None
    k = fitted.loss.n_outputs
    return np.zeros((X.shape[0], k) if k > 1 else X.shape[0])
