"""How good approximations of the Hessian are at a fit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian._report import Report, column, number_text
from sk_hessian.inspection._checks import check_count, finite
from sk_hessian.inspection._displays._shared import COLOURS, axes
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._spectrum import MAX_DENSE
from sk_hessian.inspection._standardised import Standardised
from sk_hessian.solvers import LBFGS, minimize

#: what is compared by default, where the model has it
DEFAULT_KINDS = ("subsampled", "diagonal", "kronecker", "gauss-newton", "lbfgs")

#: eigenvalues of the exact Hessian up to this share of the largest are left out, and of an approximation are zero
_ZERO = 1e-8
_SINGULAR = 1e-12

#: random displacements over which the share of the decrement is averaged
_DISPLACEMENTS = 200

#: displacement of the start of the run of L-BFGS from the fit, in standardised units
_DISTANCE = 0.3

#: its most iterations
_MOST_ITERATIONS = 200

_COLUMNS = ("spectral_error", "lowest", "highest", "condition_number", "decrement_share")


@dataclass(frozen=True, repr=False)
class Approximation(Report):
    """An approximation B of the Hessian H against H itself.

    Attributes
    ----------
    spectral_error : float
        ``|B - H| / |H|`` in the spectral norm, in standardised units.
    lowest, highest : float
        The extreme eigenvalues of B^-1 H, both one for B = H; of a singular B its pseudo-inverse is taken, and the
        lowest one is zero.
    decrement_share : float
        The share of the Newton decrement that a step along -B^-1 g captures, at its best length; the mean over random
        points around the fit.
    """

    spectral_error: float
    lowest: float
    highest: float
    decrement_share: float

    @property
    def condition_number(self) -> float:
        """That of B^-1 H: what preconditioned gradient methods converge by."""
        return self.highest / self.lowest if self.lowest > 0 else np.inf

    def _header(self):
        return [(name.replace("_", " "), number_text(getattr(self, name))) for name in _COLUMNS]


@dataclass(frozen=True, repr=False)
class HessianAccuracy(Report):
    """Approximations of a Hessian by kind; ``accuracy["diagonal"]`` is an `Approximation`.

    Attributes
    ----------
    approximations : dict of str to Approximation
    n_parameters : int
    n_left_out : int
        Directions without positive curvature of the exact Hessian, that are not compared.
    """

    approximations: dict = field(repr=False)
    n_parameters: int
    n_left_out: int

    def __getitem__(self, kind):
        return self.approximations[kind]

    def to_frame(self) -> Any:
        """The numbers as a table, one row for each kind.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        rows = [[getattr(of, name) for name in _COLUMNS] for of in self.approximations.values()]
        return pd.DataFrame(rows, index=pd.Index(self.approximations, name="kind"), columns=list(_COLUMNS))

    def _title(self):
        left_out = f", {self.n_left_out} without positive curvature left out" if self.n_left_out else ""
        return f"Approximations of a Hessian of {self.n_parameters} parameters{left_out}"

    def _rows(self):
        """One line for each approximation, headings first."""
        columns = [column([getattr(of, name) for of in self.approximations.values()]) for name in _COLUMNS[:3]]
        shares = [f"{of.decrement_share:.3f}" for of in self.approximations.values()]
        headings = ["kind", "|B-H|/|H|", "B^-1 H from", "to", "decrement share"]
        return [headings, *zip(self.approximations, *columns, shares, strict=True)]

    def plot(self, ax: Any = None) -> Any:
        """Bars of the decrement shares, with the condition number of B^-1 H beside each.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default new ones.

        Returns
        -------
        matplotlib.axes.Axes
        """
        ax = axes(type(self).__name__, ax)
        kinds = list(self.approximations)
        shares = [self[kind].decrement_share for kind in kinds]
        bars = ax.barh(kinds, shares, color=COLOURS[0])
        ax.bar_label(bars, [f"condition {self[kind].condition_number:.3g}" for kind in kinds], padding=3)
        ax.set_xlim(0, 1.35)  # room for the labels
        ax.set_xticks(np.linspace(0, 1, 6))
        ax.set_xlabel("share of the Newton decrement that a step captures")
        ax.set_ylabel("approximation of the Hessian")
        ax.invert_yaxis()
        return ax


def hessian_accuracy(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    kinds: Sequence[str] | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    share: float = 0.1,
    memory: int = 10,
    random_state: int | np.random.Generator | None = 0,
    **fit_data: ArrayLike | None,
) -> HessianAccuracy:
    """Approximations of the Hessian against the exact one, at a fit.

    All matrices are in standardised units (columns centred, unit expected curvature, see `spectrum`), the L2 penalty
    included. Directions in which the exact Hessian has no positive curvature (the common shift of softmax outputs,
    dependent columns, a network's flat and negative ones) are left out. Those of a network that are nearly flat are
    not, and no quadratic model holds far along them: there all kinds do badly.

    The decrement share of an approximation B is that of the exact quadratic model,

        (g'B^-1 g)^2 / (g'B^-1 H B^-1 g  g'H^-1 g),

    what the best step along -B^-1 g gains of what Newton's step gains, between 0 and 1; a mean over 200 random points,
    normal with the covariance H^-1 around the fit, as estimates are.

    Parameters
    ----------
    estimator : fitted estimator of sk_hessian
    X, y
        The rows that it was fitted on.
    kinds : sequence of str, optional
        Of "subsampled" (expected curvature of a random sample of the rows, as of ``Newton(hessian="subsampled")``),
        "diagonal" (of the expected curvature, in standardised units), "kronecker" (features x outputs of a softmax or
        multi-output model, or one per layer of a network [1]_, as preconditioners take it), "gauss-newton" (the
        expected curvature), "lbfgs" (the matrix of the last pairs of a run of L-BFGS [2]_, started about 0.3
        standardised units from the fit and preconditioned by a diagonal) and "exact". By default the first five, but
        for what the model does not have.
    sample_weight : array-like of shape (n_samples,), optional
        That of the fit.
    share : float, default=0.1
        Share of the rows of "subsampled".
    memory : int, default=10
        Pairs of "lbfgs".
    random_state : int, Generator or None, default=0
        For the sample, the start of L-BFGS and the random points.
    **fit_data
        What else the fit was given for each row: ``offset``, of shape (n_samples,) or (n_samples, n_outputs). And
        ``names`` (sequence of str): what the columns are called, for an X without names.

    Returns
    -------
    HessianAccuracy

    Raises
    ------
    ValueError, TypeError
        For unknown kinds and kinds that the model does not have, naming the others; for more than 1000 parameters, a
        Hessian without positive curvature, and bad rows or options.

    References
    ----------
    .. [1] J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", 2015.
    .. [2] J. Nocedal, S. Wright, "Numerical Optimization", 2nd ed., 2006, chapters 6 and 7.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> accuracy = hessian_accuracy(LogisticRegression().fit(X, y), X, y, kinds=["diagonal", "gauss-newton"])
    >>> round(accuracy["diagonal"].decrement_share, 2), round(accuracy["gauss-newton"].decrement_share, 2)
    (0.41, 1.0)
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share!r}")
    check_count("memory", memory)
    fitted = Fitted(estimator, X, y, sample_weight, **fit_data)
    if fitted.theta.size > MAX_DENSE:
        raise ValueError(
            f"matrices are compared up to {MAX_DENSE} parameters, this {fitted.name} has {fitted.theta.size}"
        )
    kinds = _checked(kinds, fitted)
    comparison = _Comparison(fitted, share, memory, np.random.default_rng(random_state))
    found = {kind: comparison.of(kind) for kind in kinds}
    return HessianAccuracy(found, fitted.theta.size, fitted.theta.size - len(comparison.values))


def _checked(kinds, fitted):
    """The kinds to compare; errors name those that the model has."""
    facts = fitted.objective.facts
    has = {"kronecker": "kronecker" in facts.kinds, "subsampled": facts.is_sum_over_rows}
    known = tuple(kind for kind in ("exact", *DEFAULT_KINDS) if has.get(kind, True))
    if kinds is None:
        return [kind for kind in DEFAULT_KINDS if kind in known]
    if isinstance(kinds, str):
        raise TypeError(f"kinds must be a sequence of names, such as [{kinds!r}]")
    for kind in kinds:
        if kind not in known:
            raise ValueError(f"kind={kind!r} is not available for this {fitted.name}: choose from {known}")
    return list(kinds)


class _Comparison:
    """The exact Hessian where its curvature is positive, in standardised units, and approximations of it.

    Gradients are those of random points around its minimum.
    """

    def __init__(self, fitted, share, memory, generator):
        self._fitted, self._share, self._memory, self._generator = fitted, share, memory, generator
        self._units = Standardised(fitted.objective, fitted.theta)
        self._all = self._units.matrix("observed")
        values, vectors = np.linalg.eigh(finite(self._all))
        keep = values > _ZERO * np.abs(values).max()
        if not keep.any():
            raise ValueError("the Hessian has no positive curvature here: there is nothing to compare")
        self.values, self._vectors = values[keep], vectors[:, keep]
        self._matrix = (self._vectors * self.values) @ self._vectors.T
        displacements = generator.normal(size=(len(self.values), _DISPLACEMENTS))
        self._gradients = self._vectors @ (np.sqrt(self.values)[:, None] * displacements)
        self._decrements = np.sum(displacements**2, axis=0)

    def of(self, kind):
        """The `Approximation` of a kind."""
        B, P = self._approximation(kind)
        step = P @ (P.T @ self._gradients)
        gain, curvature = np.sum(self._gradients * step, axis=0), np.sum(step * (self._matrix @ step), axis=0)
        share = np.divide(gain**2, curvature * self._decrements, out=np.zeros_like(gain), where=curvature > 0)
        # by Cauchy and Schwarz at most one; rounding knows no such bound
        share = np.minimum(share, 1.0)
        ratios = np.linalg.eigvalsh(P.T @ self._matrix @ P)[::-1][: len(self.values)]
        # a root of fewer columns leaves some directions as they are
        lowest = ratios[-1] if len(ratios) == len(self.values) else 0.0
        lowest = lowest if lowest > _SINGULAR * ratios[0] else 0.0
        error = np.linalg.norm(B - self._all, 2) / np.linalg.norm(self._all, 2)
        return Approximation(float(error), float(lowest), float(ratios[0]), float(share.mean()))

    def _approximation(self, kind):
        """B and a root of its (pseudo-)inverse."""
        if kind == "exact":
            return self._all, self._vectors / np.sqrt(self.values)
        if kind == "subsampled":
            return _with_root(self._sampled())
        if kind in ("gauss-newton", "diagonal"):
            B = self._units.matrix("expected")
            return _with_root(B if kind == "gauss-newton" else np.diag(np.diag(B)))
        P = self._kronecker_root() if kind == "kronecker" else self._secant_root()
        return np.linalg.pinv(P @ P.T, rcond=_SINGULAR, hermitian=True), P

    def _sampled(self):
        n_rows = self._fitted.objective.n_rows
        size = max(1, round(self._share * n_rows))
        rows = np.sort(self._generator.choice(n_rows, size, replace=False))
        return self._units.seen_by(self._fitted.objective.sample(rows)).matrix("expected")

    def _kronecker_root(self):
        factor = self._fitted.objective.preconditioner(self._fitted.theta, "kronecker", "expected")
        P = self._units.from_theta(factor.dense())
        # constant columns, which factors leave out, have their penalty: one in these units
        constant = self._units.constant
        P[constant] = 0.0
        return np.hstack([P, np.eye(len(P))[:, constant]])

    def _secant_root(self):
        """A root of the inverse that L-BFGS has after a run, from its last pairs of steps and gradient changes."""
        size, pairs = self._fitted.theta.size, self._pairs()
        M = np.eye(size)
        if pairs:
            s, y = pairs[-1]
            M *= (s @ y) / (y @ y)
        for s, y in pairs:
            left = np.eye(size) - np.outer(s, y) / (s @ y)
            M = left @ M @ left.T + np.outer(s, s) / (s @ y)
        values, vectors = np.linalg.eigh(M)
        return vectors * np.sqrt(np.maximum(values, 0.0))

    def _pairs(self):
        objective, points = self._fitted.objective, []
        displacement = _DISTANCE * self._generator.normal(size=self._fitted.theta.size)
        start = self._fitted.theta + self._units.to_theta(displacement)
        with np.errstate(over="ignore", invalid="ignore"):
            value, slope = objective.value_and_gradient(start)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            raise ValueError(
                f'kind="lbfgs" has no start: {_DISTANCE} standardised units from this {self._fitted.name} '
                f'(verdict "{self._fitted.estimator.convergence_.status}") the objective is not finite; use other kinds'
            )
        solver = LBFGS(memory=self._memory, subsample=None, precondition="diagonal")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            minimize(objective, start, solver, max_iter=_MOST_ITERATIONS, callback=lambda s: points.append(s.x.copy()))
            slopes = [self._units.transpose(objective.value_and_gradient(x)[1]) for x in [start, *points]]
        steps = self._units.from_theta(np.diff([start, *points], axis=0).T).T
        pairs = list(zip(steps, np.diff(slopes, axis=0), strict=True))
        eps = np.finfo(float).eps
        return [(s, y) for s, y in pairs if s @ y > eps * np.linalg.norm(s) * np.linalg.norm(y)][-self._memory :]


def _with_root(B):
    """B and a root of its pseudo-inverse."""
    values, vectors = np.linalg.eigh(finite(B))
    keep = values > _SINGULAR * values.max()
    return B, vectors[:, keep] / np.sqrt(values[keep])
