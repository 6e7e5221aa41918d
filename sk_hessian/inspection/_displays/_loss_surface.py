"""The objective around a fit, in a plane, and the way of the solver there."""

from numbers import Integral, Real

import numpy as np
from scipy.linalg import eigh, lstsq
from scipy.sparse.linalg import LinearOperator, eigsh

from sk_hessian.inspection._displays._shared import COLOURS, axes, combination, pyplot
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.objectives import MLPObjective
from sk_hessian.solvers import minimize

#: up to so many parameters the Hessian is formed and the plane is that of its extremal eigenvectors
_MOST_DENSE = 1000

#: a direction is worth a picture where the objective rises by this share of its scale before it leaves its Taylor model
_VISIBLE = 0.05

#: the axes end where along one of them the objective departs from its Taylor model by this share of the model's rise
_DEPARTURE = 0.5

#: the least rise of the model at the end of an axis, as a share of the objective's scale
_LEAST_RISE = 2.0**-16

#: room beyond the path
_MARGIN = 1.15

#: a run that ends farther from the fit, in half the squared norm of the Hessian as a share of the scale, is another
_ELSEWHERE = 1e-3

#: contour lines; their values are those of circles of equally spaced radii around a quadratic minimum
_N_LEVELS = 8


class LossSurfaceDisplay:
    """The objective over a plane through a fit, its second-order Taylor model, and the way of the solver.

    The plane is theta = fit + a v + b w. By default v and w are eigenvectors of the exact Hessian in the coordinates
    of the standardised columns, so that it does not depend on their units: those of the largest eigenvalue, and of
    the smallest (most negative) along which predictions change and the objective rises or falls by a twentieth of its
    scale before it leaves the model. Lengths a, b are in these coordinates.

    Parameters
    ----------
    a, b : ndarray of shape (n_grid,)
        The grid; the fit is at (0, 0).
    objective : ndarray of shape (n_grid, n_grid)
        Rows are those of ``b``; +inf outside the domain.
    taylor : ndarray of shape (n_grid, n_grid)
        The model: value, gradient and exact Hessian at the fit.
    at_fit : float
        The objective at the fit.
    path : ndarray of shape (n_iter + 1, 2) or None
        The iterates, projected orthogonally in the coordinates of the standardised columns.
    labels : sequence of two str
        The directions in words.
    solver : str or None
        Whose path it is.

    Attributes
    ----------
    ax_, figure_
        Axes and figure of the latest plot.
    contours_ : matplotlib.contour.QuadContourSet
        The objective.
    taylor_contours_ : matplotlib.contour.QuadContourSet
        The model, at the same levels, dashed.
    lines_ : list of matplotlib.lines.Line2D
        The path, its start, and the fit; without a path only the fit.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sk_hessian.inspection import LossSurfaceDisplay
    >>> from sk_hessian.linear_model import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> display = LossSurfaceDisplay.from_estimator(LogisticRegression().fit(X, y), X, y)  # doctest: +SKIP
    """

    def __init__(self, a, b, objective, taylor, at_fit, *, path=None, labels=("a", "b"), solver=None):
        self.a, self.b, self.objective, self.taylor = a, b, objective, taylor
        self.at_fit, self.path, self.labels, self.solver = at_fit, path, labels, solver

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, sample_weight=None, directions=None, span=None, n_grid=41, path=True, **kwargs
    ):
        """Compute and plot the surface around a fitted estimator.

        Parameters
        ----------
        estimator : estimator of sk_hessian
        X, y, sample_weight
            The rows that it was fitted on.
        directions : pair of int or array-like of shape (2, n_parameters), optional
            Which eigenvectors, counted from the smallest eigenvalue (-1 is the largest), or two vectors in the user's
            parameters (see the objective's ``parameter_names``). Beyond 1000 parameters the default is the two
            eigenvalues of largest size, and pairs of int are not available.
        span : float or pair of float, optional
            How far the plane reaches on each side of the fit. By default as far as the Taylor model and the objective
            need to differ visibly, and it rises by the same along both axes, at the most by the null model's loss; and
            to all of the path.
        n_grid : int, default=41
            Points on each axis: the objective is evaluated on all rows ``n_grid**2`` times.
        path : bool, default=True
            Whether to run the estimator's solver again, from the start of the fit, for its path. A network needs an
            integer ``random_state`` for this.
        **kwargs : dict
            For `plot`: ``ax``, ``name`` and more.

        Returns
        -------
        LossSurfaceDisplay

        Raises
        ------
        TypeError, ValueError
            For bad arguments, a direction along which the objective is flat and no ``span``, or a run that does not end
            at the fit.
        """
        pyplot(cls.__name__)
        n_grid = _checked_grid(n_grid)
        fitted = Fitted(estimator, X, y, sample_weight)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            plane = _Plane(fitted, directions)
            points = plane.project(_run(fitted, plane)) if path else None
            a, b = (np.linspace(*ends, n_grid) for ends in plane.ends(span, points))
            values = np.array([[plane.value(i, j) for i in a] for j in b])
            taylor = plane.taylor(a[None, :], b[:, None])
        solver = type(estimator.solver_).__name__.lower() if path else None
        display = cls(a, b, values, taylor, plane.at_fit, path=points, labels=plane.labels(), solver=solver)
        return display.plot(**kwargs)

    def plot(self, ax=None, *, name=None, colorbar=True, **kwargs):
        """Plot the contours and the path.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default those of a new figure.
        name : str, optional
            Title of the legend.
        colorbar : bool, default=True
            Whether to add a colour bar.
        **kwargs : dict
            For `matplotlib.axes.Axes.contour`, of both.

        Returns
        -------
        LossSurfaceDisplay
        """
        self.ax_ = ax = axes(type(self).__name__, ax)
        self.figure_ = ax.figure
        style = {"levels": self._levels(), "cmap": "viridis_r", **kwargs}
        above = np.ma.masked_invalid(self.objective) - self.at_fit
        self.contours_ = ax.contour(self.a, self.b, above, **style)
        self.taylor_contours_ = ax.contour(self.a, self.b, self.taylor - self.at_fit, linestyles="dashed", **style)
        self.lines_ = self._draw_path()
        handles = [ax.plot([], [], color="0.4", linestyle=style, label=label)[0] for style, label in _KINDS]
        ax.set(xlabel=self.labels[0], ylabel=self.labels[1], xlim=self.a[[0, -1]], ylim=self.b[[0, -1]])
        ax.legend(handles=handles + self.lines_, title=name, loc="lower center", bbox_to_anchor=(0.5, 1.01), ncols=3)
        if colorbar:
            self.figure_.colorbar(self.contours_, ax=ax, format="%.4g", label=f"objective above {self.at_fit:.4g}")
        return self

    def _levels(self):
        """Values of the contours, the same for both: those of the model in the plane, and as many below the fit."""
        above, below = self.taylor.max() - self.at_fit, self.at_fit - min(self.taylor.min(), self.objective.min())
        steps = max(above, below) * (np.arange(1, _N_LEVELS + 1) / _N_LEVELS) ** 2
        return np.concatenate([-steps[steps < below][::-1], steps])

    def _draw_path(self):
        lines = []
        if self.path is not None:
            steps = len(self.path) - 1
            label = f"{self.solver}, {steps} iteration{'s' * (steps != 1)}"
            lines += self.ax_.plot(*self.path.T, color="black", marker=".", linewidth=1, label=label)
            lines += self.ax_.plot(
                *self.path[0], color=COLOURS[1], marker="s", linestyle="none", label="start", zorder=3
            )
        star = {"marker": "*", "markersize": 12, "linestyle": "none", "label": "fit", "zorder": 3}
        return lines + self.ax_.plot(0, 0, color=COLOURS[1], **star)


#: style and label of the contours
_KINDS = (("-", "objective"), ("--", "Taylor model"))


class _Plane:
    """Two directions through a fit, with the value, gradient and Hessian of the objective there."""

    def __init__(self, fitted, directions):
        self.fitted, self.objective, self.theta = fitted, fitted.objective, fitted.theta
        #: theta = P u in the coordinates of the standardised columns
        self.P = self.objective.preconditioner(self.theta, "units").dense()
        self.eigenvalues = None
        self.at_fit, gradient = self.objective.value_and_gradient(self.theta)
        self.E = self._chosen(directions)
        self.V = self.P @ self.E
        self.hessian = self.objective.hessian(self.theta)
        self.H = self.V.T @ np.stack([self.hessian @ v for v in self.V.T], axis=1)
        self.slope = self.V.T @ gradient

    def _chosen(self, directions):
        """The directions in the coordinates u, shape (r, 2)."""
        if directions is None or _is_pair_of_int(directions):
            return self._eigenvectors(directions)
        V = np.asarray(directions, dtype=float)
        if V.shape != (2, self.theta.size) or not np.isfinite(V).all():
            raise ValueError(
                f"directions must be two integers or finite vectors of shape (2, {self.theta.size}), got {directions!r}"
            )
        E = lstsq(self.P, V.T)[0]
        if np.linalg.matrix_rank(E) < 2:
            raise ValueError("directions must be two that differ, and that move the predictions")
        return E

    def _eigenvectors(self, pair):
        r = self.P.shape[1]
        if r < 2:
            raise ValueError("a surface needs at least two parameters")
        if r > _MOST_DENSE:
            if pair is not None:
                raise ValueError(f"directions: eigenvectors by number need at most {_MOST_DENSE} parameters, not {r}")
            self.eigenvalues, vectors = self._largest(r)
            return vectors
        H = self.objective.hessian_matrix(self.theta, factor=self.objective.preconditioner(self.theta, "units"))
        values, vectors = eigh(H)
        pair = self._extremal(values, vectors) if pair is None else _checked_pair(pair, r)
        self.eigenvalues = values[pair]
        return vectors[:, pair]

    def _extremal(self, values, vectors):
        """The largest eigenvalue, and the smallest that can be seen, else the second largest."""
        last = len(values) - 1
        seen = (i for i in range(last) if self._is_visible(values[i], self.P @ vectors[:, i]))
        return [last, next(seen, last - 1)]

    def _is_visible(self, curvature, v):
        """Whether predictions depend on a direction, and the objective follows its model to a visible rise."""
        if curvature == 0 or np.linalg.norm(self.objective.canonical(v)) < 0.5 * np.linalg.norm(v):
            return False
        rises = _VISIBLE * self.objective.scale * np.sign(curvature) * np.array([1, 1 / 4, 1 / 16])
        lengths = np.sqrt(2 * rises / curvature)
        return all(self._follows(t * v, rise) for t, rise in zip(lengths, rises, strict=True))

    def _follows(self, step, rise):
        """Whether the objective rises on both sides nearly as a quadratic does."""
        values = [self.objective.value_and_gradient(theta)[0] for theta in (self.theta - step, self.theta + step)]
        return np.abs(np.array(values) - self.at_fit - rise).max() <= _DEPARTURE * abs(rise)

    def _largest(self, r):
        hessian = self.objective.hessian(self.theta)
        product = LinearOperator((r, r), matvec=lambda u: self.P.T @ (hessian @ (self.P @ np.ravel(u))), dtype=float)
        values, vectors = eigsh(product, k=2, which="LM", v0=np.random.default_rng(0).normal(size=r))
        order = np.argsort(-values)
        return values[order], vectors[:, order]

    def labels(self):
        """The two directions in words, with the parameters that lead."""
        heads = ["first direction", "second direction"]
        if self.eigenvalues is not None:
            heads = [f"eigenvector of eigenvalue {value:.2g}" for value in self.eigenvalues]
        names = self.fitted.parameter_names
        unit = self.E / np.linalg.norm(self.E, axis=0)
        return [f"{head}\n{combination(names, e)}" for head, e in zip(heads, unit.T, strict=True)]

    def value(self, a, b):
        """The objective at a point of the plane."""
        return self.objective.value_and_gradient(self.theta + self.V @ [a, b])[0]

    def taylor(self, a, b):
        """The Taylor model at points of the plane."""
        H = self.H
        square = H[0, 0] * a**2 + 2 * H[0, 1] * a * b + H[1, 1] * b**2
        return self.at_fit + self.slope[0] * a + self.slope[1] * b + 0.5 * square

    def project(self, thetas):
        """The nearest points of the plane, in the coordinates u; shape (n, 2)."""
        moved = lstsq(self.P, (thetas - self.theta).T)[0]
        return lstsq(self.E, moved)[0].T

    def ends(self, span, points):
        """The ends of both axes."""
        if span is not None:
            return [(-s, s) for s in _checked_span(span)]
        corners = np.zeros((1, 2)) if points is None else np.vstack([points, np.zeros(2)])
        low, high = _MARGIN * corners.min(axis=0), _MARGIN * corners.max(axis=0)
        return [(min(-span, a), max(span, b)) for span, a, b in zip(self._spans(), low, high, strict=True)]

    def _spans(self):
        """How far to follow the objective and its model, to the same rise, for them to differ visibly along an axis."""
        curvature = np.abs(self.H.diagonal())
        if not (curvature > 0).all():
            raise ValueError(f"directions: the objective is flat along one of the two ({curvature}); pass span")
        rise = _LEAST_RISE * self.objective.scale
        while rise < self.objective.scale:
            lengths = np.sqrt(2 * rise / curvature)
            if max(self._departure(axis, length) for axis, length in enumerate(lengths)) >= _DEPARTURE * rise:
                break
            rise *= 2
        return np.sqrt(2 * rise / curvature)

    def _departure(self, axis, length):
        """The largest difference of the objective and its model at both ends of an axis."""
        ends = length * np.array([-1, 1])
        points = [(end, 0.0) if axis == 0 else (0.0, end) for end in ends]
        return max(abs(self.value(*point) - self.taylor(*point)) for point in points)


def _run(fitted, plane):
    """The iterates of the fit, by running it again, shape (n_iter + 1, n_parameters)."""
    estimator, objective, generator = fitted.estimator, fitted.objective, None
    if isinstance(estimator.random_state, Integral):
        # the first draw of scikit-learn's random state is the seed of a fit
        seed = np.random.RandomState(estimator.random_state).randint(2**32, dtype=np.uint64)
        generator = np.random.default_rng(seed)
    start = objective.start(generator) if isinstance(objective, MLPObjective) else objective.start()
    iterates = [start]
    result = minimize(
        objective,
        start,
        estimator.solver_,
        tol=estimator.tol,
        max_iter=estimator.max_iter,
        callback=lambda state: iterates.append(state.x),
        random_state=generator,
    )
    missed = result.x - fitted.theta
    if not 0.5 * abs(missed @ (plane.hessian @ missed)) <= _ELSEWHERE * objective.scale:
        raise ValueError(
            "path: the run of the solver on these rows does not end at the fit. Pass the rows and weights of the fit, "
            "of a network give random_state an integer and fit it from one start without early stopping, or pass "
            "path=False"
        )
    return np.array([objective.canonical(theta) for theta in [*iterates[:-1], result.x]])


def _is_pair_of_int(directions):
    return np.ndim(directions) == 1 and len(directions) == 2 and all(isinstance(i, Integral) for i in directions)


def _checked_pair(pair, r):
    if not all(-r <= i < r for i in pair) or pair[0] % r == pair[1] % r:
        raise ValueError(f"directions must be two different eigenvectors out of {r}, got {tuple(pair)}")
    return [int(i) for i in pair]


def _checked_span(span):
    spans = np.broadcast_to(np.asarray(span, dtype=float), (2,)) if np.size(span) in (1, 2) else np.zeros(2)
    if not (np.isfinite(spans).all() and (spans > 0).all()):
        raise ValueError(f"span must be a positive number or two, got {span!r}")
    return spans


def _checked_grid(n_grid):
    if isinstance(n_grid, bool) or not isinstance(n_grid, Integral | Real) or n_grid != int(n_grid) or n_grid < 3:
        raise ValueError(f"n_grid must be an integer of at least 3, got {n_grid!r}")
    return int(n_grid)
