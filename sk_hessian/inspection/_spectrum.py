"""Eigenvalues of a Hessian, its condition, trace and spectral density; of large ones by products alone."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, aslinearoperator, eigsh

from sk_hessian._report import Report, number_text
from sk_hessian.inspection._checks import check_choice, check_count
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._hessian import KINDS, HessianOperator, combination
from sk_hessian.inspection._standardised import Standardised

#: up to so many parameters all eigenvalues are found, from the matrix
MAX_DENSE = 1000

#: eigenvalues at each end of a larger one
_ENDS = 6

#: products for the trace of a larger one: a third each for the sketch, its image and what is left
_TRACE_PRODUCTS = 60

#: random vectors and Lanczos steps for its density; their number beyond about 5 and 50 changes little (Ghorbani et al.)
_DENSITY_VECTORS, _DENSITY_STEPS = 5, 50

#: points of the grid of a density, and its kernel's width as a share of the range of the eigenvalues
_GRID, _KERNEL = 400, 0.015

#: Lanczos' relative accuracy, the vectors that it keeps and how often it restarts: about 2000 products at the most
_LANCZOS_TOL, _LANCZOS_BASIS, _LANCZOS_RESTARTS = 1e-8, 100, 20

#: difference of u'Hv and v'Hu, as a share of their size, up to which an operator counts as symmetric
_SYMMETRY = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Report):
    """Eigenvalues of a symmetric matrix.

    Attributes
    ----------
    values : ndarray
        The eigenvalues that are known, ascending: all, or those at both ends.
    size : int
        Rows of the matrix.
    is_exact : bool
        Whether all eigenvalues are known.
    n_lowest : int
        How many of ``values`` are the lowest: none where they are so close to each other beside the largest that
        Lanczos does not find them.
    units : {"raw", "standardised"}
        The coordinates of the matrix.
    trace : float
        The sum of all eigenvalues.
    trace_error : float
        Standard error of the trace; zero where it is exact.
    density : (ndarray, ndarray)
        A grid and the share of eigenvalues per unit there, smoothed by a Gaussian kernel; its integral is one.
    n_products : int
        Products with the matrix that were used; zero where it was formed.
    eigenvectors : ndarray of shape (size, n_values) or None
        One column for each value, in the coordinates of ``units``, where asked for.
    parameter_names : list of str or None
        What the rows of the matrix belong to, where that is known.
    """

    values: np.ndarray
    size: int
    is_exact: bool
    n_lowest: int
    units: str
    trace: float
    trace_error: float
    density: tuple = field(repr=False)
    n_products: int
    eigenvectors: np.ndarray | None = field(default=None, repr=False)
    parameter_names: list | None = field(default=None, repr=False)

    @property
    def rounding(self) -> float:
        """Eigenvalues up to this size are zero to working precision: size eps times the largest."""
        return self.size * np.finfo(float).eps * np.abs(self.values).max(initial=0.0)

    @property
    def n_flat(self) -> int:
        """How many of ``values`` are zero to working precision."""
        return int((np.abs(self.values) <= self.rounding).sum())

    @property
    def n_negative(self) -> int:
        """How many of ``values`` are negative."""
        return int((self.values < -self.rounding).sum())

    @property
    def condition_number(self) -> float:
        """Largest over smallest absolute eigenvalue of those that are not zero to working precision.

        nan where that one is not among ``values``: no lowest ones are known, or they are zeros, or negative.
        """
        size = np.abs(self.values[np.abs(self.values) > self.rounding])
        is_known = self.is_exact or (self.n_lowest and not self.n_negative and not self.n_flat)
        return float(size.max() / size.min()) if is_known and size.size else np.nan

    def direction(self, index: int) -> str:
        """An eigenvector in words: its largest entries, the first positive, such as ``"0.71 age - 0.71 income"``.

        Parameters
        ----------
        index : int
            Of ``values``; 0 is the lowest, -1 the highest.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            Where no eigenvectors were asked for.
        """
        if self.eigenvectors is None:
            raise ValueError("no eigenvectors are known: use spectrum(..., eigenvectors=True)")
        names = self.parameter_names or [f"[{i}]" for i in range(self.size)]
        vector = self.eigenvectors[:, index]
        return combination(names, vector * np.sign(vector[np.argmax(np.abs(vector))]))

    def _header(self):
        n = len(self.values)
        known = "all" if self.is_exact else f"the {self.n_lowest} lowest and {n - self.n_lowest} highest of"
        uncertain = "" if self.is_exact else f" +- {self.trace_error:.2g}"
        return [
            ("eigenvalues", f"{known} {self.size}, in {self.units} units"),
            ("range", f"{self.values[0]:.4g} to {self.values[-1]:.4g}"),
            ("condition number", "not known" if np.isnan(self.condition_number) else f"{self.condition_number:.4g}"),
            ("negative, zero", f"{self.n_negative}, {self.n_flat}"),
            ("trace", f"{self.trace:.4g}{uncertain}"),
            ("products", number_text(self.n_products)),
        ]

    def _rows(self):
        """The eigenvalues at both ends, with their directions where these are known."""
        n, has_directions = len(self.values), self.eigenvectors is not None
        shown = [i for i in range(n) if min(i, n - 1 - i) < _ENDS]
        rows = [[str(i), f"{self.values[i]:#.4g}", *([self.direction(i)] if has_directions else [])] for i in shown]
        return [["", "eigenvalue", "direction"][: 2 + has_directions], *rows]


class _Counted(LinearOperator):
    """A symmetric matrix by its products, which it counts, and by ``toarray`` as an array when that is asked for."""

    def __init__(self, operator, toarray=None, names=None):
        self._operator, self.n_products, self.names = operator, 0, names
        self.toarray = toarray or (lambda: self.matmat(np.eye(operator.shape[0])))
        super().__init__(dtype=float, shape=operator.shape)

    def _matvec(self, v):
        self.n_products += 1
        return self._operator.matvec(v)

    def _matmat(self, V):
        self.n_products += V.shape[1]
        return self._operator.matmat(V)

    def _adjoint(self):
        return self


def spectrum(
    estimator: Any,
    X: Any = None,
    y: ArrayLike | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    kind: str = "observed",
    units: str = "raw",
    k: int | None = None,
    eigenvectors: bool = False,
    random_state: int | np.random.Generator | None = 0,
    **fit_data: ArrayLike | None,
) -> Spectrum:
    """The spectrum of a fitted estimator's Hessian, or of any symmetric matrix or operator.

    Up to 1000 parameters all eigenvalues come from the matrix. Beyond, or with ``k``, nothing of that size squared is
    formed: Lanczos finds ``k`` eigenvalues at each end, the trace is Hutch++'s estimate [1]_ with its standard error,
    and the density comes from stochastic Lanczos quadrature [2]_ [3]_.

    Parameters
    ----------
    estimator : fitted estimator of sk_hessian, array, sparse matrix or LinearOperator
        Of an estimator it is the Hessian of the weighted mean loss plus half the L2 penalty, see `hessian`.
    X, y, sample_weight
        The rows, for an estimator.
    kind : {"observed", "expected", "gauss-newton"}, default="observed"
        For an estimator, see `hessian`.
    units : {"raw", "standardised"}, default="raw"
        "raw": the Hessian in the user's parameters, whose condition number depends on the units of the columns.
        "standardised": each column centred, and each coordinate in the unit in which its expected curvature is one,
        as a correlation matrix has a unit diagonal (of a matrix: divided by the roots of its absolute diagonal).
    k : int, optional
        Eigenvalues wanted at each end, by Lanczos. By default all up to 1000 parameters, and 6 beyond.
    eigenvectors : bool, default=False
        Whether to keep the eigenvectors.
    random_state : int, Generator or None, default=0
        For Lanczos' start, the trace and the density of large matrices.
    **fit_data
        What else the fit was given for each row: ``offset``, of shape (n_samples,) or (n_samples, n_outputs). And
        ``names`` (sequence of str): what the columns are called, for an X without names.

    Returns
    -------
    Spectrum

    Raises
    ------
    ValueError, TypeError
        For unknown options, and for a matrix that is not square, finite and symmetric.

    References
    ----------
    .. [1] R. Meyer, C. Musco, C. Musco, D. Woodruff, "Hutch++: optimal stochastic trace estimation", SOSA 2021.
    .. [2] S. Ubaru, J. Chen, Y. Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", SIAM Journal on
       Matrix Analysis and Applications 38(4), 2017.
    .. [3] B. Ghorbani, S. Krishnan, Y. Xiao, "An investigation into neural net optimization via Hessian eigenvalue
       density", ICML 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> found = spectrum(LogisticRegression(C=10).fit(X, y == 2), X, y == 2, units="standardised", eigenvectors=True)
    >>> found.values.round(3)
    array([0.036, 0.116, 0.463, 0.868, 3.518])
    >>> found.direction(0)
    '0.734 petal length (cm) - 0.67 intercept - 0.106 sepal length (cm)'
    """
    check_choice("kind", kind, KINDS)
    check_choice("units", units, ("raw", "standardised"))
    if hasattr(estimator, "fit"):
        operator = _of_estimator(Fitted(estimator, X, y, sample_weight, **fit_data), kind, units)
    else:
        given = [n for n, v in {"X": X, "y": y, "sample_weight": sample_weight, **fit_data}.items() if v is not None]
        if given:
            raise ValueError(f"{given[0]} is for a fitted estimator of sk_hessian, got {type(estimator).__name__}")
        operator = _of_matrix(estimator, units)
    size = operator.shape[0]
    if k is not None:
        check_count("k", k, otherwise=", or None")
        if 2 * k >= size:
            raise ValueError(f"k={k} at each end is no less than all {size} eigenvalues: use k=None")
    generator = np.random.default_rng(random_state)
    found = _exact(operator) if k is None and size <= MAX_DENSE else _by_products(operator, k, generator)
    vectors = found.pop("vectors")
    return Spectrum(
        **found,
        size=size,
        units=units,
        n_products=operator.n_products,
        eigenvectors=vectors if eigenvectors else None,
        parameter_names=operator.names,
    )


def _of_estimator(fitted, kind, units):
    objective, theta = fitted.objective, fitted.theta
    if units == "raw":
        H = HessianOperator(objective, theta, kind)
        return _Counted(H, H.toarray, H.parameter_names)
    unit = Standardised(objective, theta)
    return _Counted(unit.operator(KINDS[kind]), lambda: unit.matrix(KINDS[kind]), fitted.parameter_names)


def _of_matrix(H, units):
    names = getattr(H, "parameter_names", None)
    if not (sparse.issparse(H) or isinstance(H, LinearOperator)):
        H = _as_array(H)
    if H.ndim != 2 or H.shape[0] != H.shape[1] or H.shape[0] == 0:
        raise ValueError(f"the matrix must be square and not empty, got shape {H.shape}")
    toarray = H.copy if isinstance(H, np.ndarray) else getattr(H, "toarray", None)
    operator = _Counted(aslinearoperator(H), toarray, names)
    _check_symmetric(operator)
    return operator if units == "raw" else _unit_diagonal(H, operator)


def _as_array(H):
    try:
        return np.asarray(H, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(
            "estimator must be a fitted one of sk_hessian, a square matrix of numbers or a LinearOperator, "
            f"got {type(H).__name__}"
        ) from None


def _unit_diagonal(H, operator):
    """The same with its rows and columns divided by the roots of the absolute diagonal."""
    if isinstance(H, LinearOperator) and H.shape[0] > MAX_DENSE:
        raise ValueError(
            'units="standardised" needs the diagonal, which an operator does not tell: pass a matrix, or the estimator'
        )
    matrix = operator.toarray()
    diagonal = np.abs(matrix.diagonal() if isinstance(H, LinearOperator) else H.diagonal())
    unit = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = LinearOperator(H.shape, matvec=lambda v: unit * operator.matvec(unit * np.ravel(v)), dtype=float)
    return _Counted(scaled, lambda: unit[:, None] * matrix * unit, operator.names)


def _check_symmetric(operator):
    u, v = np.random.default_rng(0).normal(size=(2, operator.shape[0]))
    Hu, Hv = operator.matvec(u), operator.matvec(v)
    size = np.linalg.norm(u) * np.linalg.norm(Hv) + np.linalg.norm(v) * np.linalg.norm(Hu)
    if not np.isfinite(size):
        raise ValueError("the matrix must be finite: a product with it is not")
    if abs(u @ Hv - v @ Hu) > _SYMMETRY * size:
        raise ValueError("the matrix must be symmetric: u'Hv and v'Hu differ; use (H + H') / 2")


def _exact(operator):
    H = operator.toarray()
    if not np.isfinite(H).all():
        raise ValueError("the Hessian is not finite")
    values, vectors = np.linalg.eigh(0.5 * (H + H.T))
    density = _smoothed(values, np.full(len(values), 1 / len(values)))
    found = {"is_exact": True, "n_lowest": len(values), "trace": float(np.trace(H)), "trace_error": 0.0}
    return found | {"values": values, "vectors": vectors, "density": density}


def _by_products(operator, k, generator):
    size = operator.shape[0]
    values, vectors, n_lowest = _ends(operator, k or _ENDS, generator)
    trace, error = hutch_plus_plus(operator, _TRACE_PRODUCTS, generator)
    density = _smoothed(*lanczos_quadrature(operator, _DENSITY_VECTORS, min(_DENSITY_STEPS, size), generator))
    found = {"is_exact": False, "n_lowest": n_lowest, "trace": trace, "trace_error": error}
    return found | {"values": values, "vectors": vectors, "density": density}


def _ends(operator, k, generator):
    """The k lowest eigenpairs, or none where Lanczos does not tell them apart, and the k highest."""
    start = generator.normal(size=operator.shape[0])
    pairs = [_end(operator, k, which, start) for which in ("SA", "LA")]
    if pairs[1] is None:
        raise ValueError(
            f"Lanczos did not find the {k} largest eigenvalues in {operator.n_products} products: they are too close "
            "to each other; use a smaller k"
        )
    pairs = [pair for pair in pairs if pair is not None]
    values, vectors = np.concatenate([pair[0] for pair in pairs]), np.hstack([pair[1] for pair in pairs])
    order = np.argsort(values)
    return values[order], vectors[:, order], k if len(pairs) == 2 else 0


def _end(operator, k, which, start):
    basis = min(operator.shape[0], max(_LANCZOS_BASIS, 4 * k))
    try:
        return eigsh(operator, k, which=which, tol=_LANCZOS_TOL, v0=start, ncv=basis, maxiter=_LANCZOS_RESTARTS)
    except ArpackNoConvergence:
        return None


def hutch_plus_plus(operator, n_products, generator):
    """The trace of a symmetric operator and its standard error, exact on a subspace of its largest part (Hutch++)."""
    size = operator.shape[0]
    third = min(n_products // 3, size)
    Q = np.linalg.qr(operator.matmat(generator.choice([-1.0, 1.0], size=(size, third))))[0]
    trace = np.sum(Q * operator.matmat(Q))
    if third == size:
        return float(trace), 0.0
    G = generator.choice([-1.0, 1.0], size=(size, third))
    G -= Q @ (Q.T @ G)
    samples = np.sum(G * operator.matmat(G), axis=0)
    return float(trace + samples.mean()), float(samples.std(ddof=1) / np.sqrt(third))


def lanczos_quadrature(operator, n_vectors, n_steps, generator):
    """Nodes and weights, which sum to one: their sum of f approximates the mean of f over the eigenvalues.

    Lanczos' tridiagonal matrix of a random start has the Gaussian quadrature of that start's spectral measure: its
    eigenvalues are the nodes, the squared first entries of its eigenvectors the weights (Ubaru, Chen & Saad, 2017).
    """
    nodes, weights = [], []
    for _ in range(n_vectors):
        start = generator.choice([-1.0, 1.0], size=operator.shape[0])
        values, vectors = eigh_tridiagonal(*_tridiagonal(operator, start, n_steps))
        nodes.append(values)
        weights.append(vectors[0] ** 2 / n_vectors)
    return np.concatenate(nodes), np.concatenate(weights)


def _tridiagonal(operator, start, n_steps):
    """Diagonal and off-diagonal of Lanczos' matrix, its basis orthogonalised in full twice (Golub & Van Loan, 10.3)."""
    basis = np.empty((n_steps, start.size))
    basis[0] = start / np.linalg.norm(start)
    alphas: list[np.floating] = []
    betas: list[np.floating] = []
    for j in range(n_steps):
        bent = operator.matvec(basis[j])
        alphas.append(basis[j] @ bent)
        if j + 1 == n_steps:
            break
        for _ in range(2):
            bent = bent - basis[: j + 1].T @ (basis[: j + 1] @ bent)
        beta = np.linalg.norm(bent)
        if beta <= np.finfo(float).eps * start.size * max(map(abs, alphas + betas)):
            break
        betas.append(beta)
        basis[j + 1] = bent / beta
    return np.array(alphas), np.array(betas)


def _smoothed(nodes, weights):
    """A density on a grid: the nodes with their weights under a Gaussian kernel."""
    spread, largest = np.ptp(nodes), np.abs(nodes).max()
    width = _KERNEL * (spread if spread > np.finfo(float).eps * largest else largest) or 1.0
    grid = np.linspace(nodes.min() - 4 * width, nodes.max() + 4 * width, _GRID)
    kernels = np.exp(-0.5 * ((grid[:, None] - nodes) / width) ** 2) / (np.sqrt(2 * np.pi) * width)
    return grid, kernels @ weights
