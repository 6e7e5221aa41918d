"""The covariance of the parameters of a stream, by what its memory holds: no row is needed."""

from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

from sk_hessian._selection import pearson_dispersion
from sk_hessian._text import listed
from sk_hessian.inspection._chain import Chain
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._likelihood import Dispersed
from sk_hessian.inspection._sandwich import Covariance
from sk_hessian.inspection._uncertainty import Uncertainty

#: share of the information along some direction that may be what a memory begins with, about 1e-12 rows
_MOST_ASSUMED = 1e-6

#: covariances that a memory has, by whether there is a penalty
_KINDS = {None: "expected", "normal": "laplace"}


class StreamFit(Fitted):
    """An estimator fitted by ``partial_fit``, with its ``memory`` in place of the rows."""

    is_stream = True

    def __init__(self, estimator, names=None):
        self.chain = Chain.of(estimator)
        self.estimator = self.chain.estimator
        if not hasattr(self.estimator, "fitted_memory"):
            raise ValueError("X and y are needed: the rows that the estimator was fitted on")
        self._index = self._rows = None, None
        self.fit_data = {}
        self.memory, self.objective, self.theta = self.estimator.fitted_memory()
        self._names = names
        self._name_columns(self.objective)
        self.total_weight = self.memory.total_weight

    @property
    def n_rows(self):
        """How many rows have come so far."""
        return self.memory.n_rows + self.n_kept

    @property
    def n_kept(self):
        """How many of them are kept as they are."""
        return 0 if self.memory.kept is None else self.memory.kept.n_rows


class StreamLikelihood(Dispersed):
    """The figures of a likelihood that a memory tells: a dispersion, and of squared loss the deviance."""

    log_likelihood = None

    @property
    def df_resid(self):
        """The weight that is remembered less effective parameters."""
        return self._fitted.total_weight - self.effective_df

    @cached_property
    def _deviance(self):
        fitted = self._fitted
        kept = 0.0 if not fitted.n_kept else fitted.objective.total * fitted.here.excess
        return 2 * float(fitted.memory.excess + kept)

    @property
    def deviance(self):
        """That of squared loss, which a memory knows exactly."""
        return self._deviance if self._fitted.loss.quadratic else None

    def _estimate(self):
        """See `Dispersed`: by the deviance."""
        n, least = self._fitted.total_weight, 2 * self._fitted.objective.resolution * self._fitted.total_weight
        return pearson_dispersion(self._what, np.array([self._deviance]), n, self.effective_df, least)

    def criterion(self, price):
        """None: it needs the log-likelihood of all rows."""
        return


class StreamCurvature:
    """What `Curvature` is for rows: the information that is remembered, with the penalty, by its inverse root."""

    groups = ()

    def __init__(self, fitted, choice):
        self.fitted, self.objective, self.loss, self.weights = fitted, fitted.objective, fitted.loss, self
        self.n_samples = fitted.total_weight
        #: of the sum over rows
        self.root = _inverse_root(fitted, choice.what)
        self.positions, self.knows_df = np.arange(len(self.root)), True
        self.likelihood = StreamLikelihood(fitted, self.effective_df, choice.dispersion, choice.what)

    @property
    def estimate(self):
        """The parameters, conventional where the data do not determine them."""
        return _conventional(self.objective, self.fitted.theta)

    @property
    def effective_df(self):
        """As of `Curvature`."""
        objective, loss = self.objective, self.loss
        free = len(self.root) - loss.shift_invariant * (objective.n_features + objective.fit_intercept)
        held = objective.l2.times(objective.total).trace_with(self.root)
        return np.array([free - held.sum()])

    def per_parameter(self, values):
        """One value as one for each parameter."""
        return np.resize(values, len(self.root))

    def of_parameters(self, covariance):
        """A `Covariance` as a matrix (n_parameters, n_parameters)."""
        return covariance.scale[0] * (self.root @ self.root.T)


def stream_uncertainty(estimator, choice, names, **row_data):
    """The `Uncertainty` of an estimator fitted by ``partial_fit``; a ValueError that says what it cannot have."""
    given = [name for name, value in row_data.items() if value is not None]
    if given:
        raise ValueError(f"{given[0]} belongs to rows, and X is None: a stream's memory has the weights of its rows")
    fitted = StreamFit(estimator, names)
    reason = _refusal(fitted, choice)
    if reason is not None:
        raise ValueError(f"{choice.what} of a stream's memory (X is None): {reason}")
    curvature = StreamCurvature(fitted, choice)
    convention = _convention(fitted, curvature.likelihood)
    covariance = Covariance(None, curvature.likelihood.dispersion, convention=convention)
    return Uncertainty(_KINDS[fitted.prior], curvature, covariance, fitted.estimator.convergence_.status)


def _refusal(fitted, choice):
    """Why there is no such table, None where there is one."""
    verdict, loss, name = fitted.estimator.convergence_, fitted.loss, _KINDS.get(fitted.prior)
    pass_rows = "pass the rows as X and y"
    if verdict.status != "optimal":
        return f'it needs a fit with the verdict "optimal". This one: {verdict.message}'
    if not fitted.memory.is_matrix:
        return f"it remembers columns without their correlations, which errors need: {pass_rows}"
    if name is None or loss.n_constants or (loss.n_outputs > 1 and loss.quadratic):
        return f"it has no errors of several targets, nor of a loss with parameters of its own or a prior: {pass_rows}"
    if fitted.likelihood_refusal is not None:
        return f"cov={name!r} {fitted.likelihood_refusal}: {pass_rows}, with cov='sandwich'"
    if choice.cov_groups is not None or choice.lags is not None:
        return f"cov_groups and lags need single rows, which it has not: {pass_rows}"
    if choice.weights != "frequency":
        return f"its weights are frequencies: {pass_rows} for weights={choice.weights!r}"
    if choice.cov == "auto" and name == "laplace":
        return (
            "under a penalty the default is cov='sandwich', which needs the scores of single rows. Use cov='laplace', "
            f"a posterior whose prior is the penalty, fit with none, or {pass_rows}"
        )
    if choice.cov not in ("auto", name):
        return f"it has cov={name!r} only, and cov={choice.cov!r} needs the rows: {pass_rows}"
    by_pearson = choice.dispersion == "pearson" or (choice.dispersion is None and loss.family.has_dispersion)
    if by_pearson and not loss.quadratic:
        return (
            "a dispersion is by Pearson's residuals, and it has none: take dispersion='deviance', which may differ by "
            f"some per cent, or a number, or {pass_rows}"
        )
    if choice.features is not None:
        return "features is for models of many columns, and it has all coefficients: leave it out"
    return None


def _convention(fitted, likelihood):
    """What the header says of the memory."""
    kept, exact = fitted.n_kept, fitted.loss.quadratic
    text = f"the stream's memory of {fitted.n_rows} rows: " + (
        "their information" if exact else f"the latest {kept} as they are, of the others the information as they came"
    )
    if likelihood.estimates_dispersion:
        text += "; dispersion: the deviance that is remembered over n - k"
    return text


def _conventional(objective, theta):
    """Softmax parameters that sum to zero over the classes; of columns nothing is left to convention."""
    if not objective.loss.shift_invariant:
        return theta
    W = theta.reshape(-1, objective.loss.n_outputs)
    return (W - W.mean(axis=1, keepdims=True)).ravel()


def _inverse_root(fitted, what):
    """S with S S' the inverse of the summed information and the penalty, (n_parameters, n_parameters)."""
    memory, objective = fitted.memory, fitted.objective
    curvature = memory.curvature_of(objective, [fitted.theta]) if fitted.n_kept else memory.curvature
    R, names = curvature.root, np.array(fitted.parameter_names)
    size = np.sqrt(curvature.diagonal())
    untold = (memory.prior.diagonal() == 0) | (size == 0)
    if untold.any():
        raise ValueError(f"{what}: no row of the stream has told of {listed(names[untold].tolist(), ', ')}")
    held = objective.l2.times(objective.total).root()
    extra = [np.pad(held, ((0, 0), (0, len(size) - held.shape[1])))]
    if fitted.loss.shift_invariant:
        # a common shift of the classes changes nothing: with curvature there the others stay as they are
        k = fitted.loss.n_outputs
        units = size.reshape(-1, k).mean(axis=1) / np.sqrt(k)
        extra.append(np.kron(np.diag(units), np.ones((1, k))))
    triangle = np.linalg.qr(np.vstack([R, *extra]) / size, mode="r")
    inverse = solve_triangular(triangle, np.eye(len(size))) / size[:, None]
    values, directions = np.linalg.svd(memory.prior.rows() @ inverse, full_matrices=False)[1:]
    if values[0] ** 2 > _MOST_ASSUMED:
        along = np.abs(inverse @ directions[0]) * size
        which = names[along > 0.1 * along.max()].tolist()
        raise ValueError(
            f"{what}: the rows of the stream do not determine every coefficient: {listed(which, ', ')}. Drop columns, "
            "or add a penalty"
        )
    return np.stack([_conventional(objective, column) for column in inverse.T], axis=1)
