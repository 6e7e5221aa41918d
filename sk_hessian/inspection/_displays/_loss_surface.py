"""The objective around a fit, in a plane, and the way of the solver there."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian.inspection._chain import Chain
from sk_hessian.inspection._checks import check_count
from sk_hessian.inspection._displays._shared import COLOURS, axes, direction, few_ticks, pyplot
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._spectrum import spectrum
from sk_hessian.inspection._standardised import Standardised
from sk_hessian.inspection._taylor import taylor_model
from sk_hessian.solvers import minimize

#: a direction is worth a picture where the objective rises by this share of its scale before it leaves its Taylor model
_VISIBLE = 0.02

#: the axes end where along one of them the objective departs from its Taylor model by this share of the model's rise
_DEPARTURE = 0.5

#: the least rise of the model at the end of an axis, as a share of the objective's scale
_LEAST_RISE = 2.0**-16

#: room beyond the path
_MARGIN = 1.15

#: a run that ends farther from the fit, in half the squared norm of the Hessian as a share of the scale, is another
_ELSEWHERE = 1e-3

#: share of the objective up to which its changes are rounding
_ROUNDING = 1e-12

#: contour lines; their values are those of circles of equally spaced radii around a quadratic minimum
_N_LEVELS = 8

#: how much of the colours before the first contour is left out, beside what is used
_PALE = 0.35


class LossSurfaceDisplay:
    """The objective over a plane through a fit, its second-order Taylor model, and the way of the solver.

    The plane is theta = fit + a v + b w. By default v and w are eigenvectors of the exact Hessian in standardised
    coordinates (see `sk_hessian.inspection.spectrum`), so that units do not matter: those of the largest eigenvalue,
    and of the smallest (most negative) along which predictions change and the objective rises or falls by a fiftieth
    of its scale before it leaves the model. Lengths a, b are in these coordinates.

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
    path : ndarray of shape (n_points, 2) or None
        The iterates, each at the nearest point of the plane in the norm of the Hessian: orthogonally projected in the
        standardised coordinates.
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
    >>> display = LossSurfaceDisplay.from_estimator(LogisticRegression().fit(X, y), X, y)
    """

    def __init__(self, a, b, objective, taylor, at_fit, *, path=None, labels=("a", "b"), solver=None):
        self.a, self.b, self.objective, self.taylor = a, b, objective, taylor
        self.at_fit, self.path, self.labels, self.solver = at_fit, path, labels, solver

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None,
        *,
        sample_weight: ArrayLike | None = None,
        directions: Any = None,
        span: Any = None,
        n_grid: int = 41,
        path: bool = True,
        **kwargs: Any,
    ) -> "LossSurfaceDisplay":
        """Compute and plot the surface around a fitted estimator.

        Parameters
        ----------
        estimator : estimator of sk_hessian
        X, y, sample_weight
            The rows that it was fitted on.
        directions : pair of int or array-like of shape (2, n_parameters), optional
            Which eigenvectors of ``spectrum(estimator, X, y, units="standardised")``, 0 being that of the smallest
            eigenvalue and -1 of the largest (beyond 1000 parameters out of the few at both ends that are known); or two
            vectors in the user's parameters, as `hessian` orders them.
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
            For `plot`: ``ax``, ``name`` and more; and ``offset``, where the fit had one.

        Returns
        -------
        LossSurfaceDisplay

        Raises
        ------
        TypeError, ValueError
            For bad arguments, a direction along which the objective is flat, or a run that does not end at the fit.
        """
        pyplot(cls.__name__)
        check_count("n_grid", n_grid, least=3)
        span = None if span is None else _checked_span(span)
        fit_data = {"sample_weight": sample_weight, "offset": kwargs.pop("offset", None)}
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            plane, model = _Plane(estimator, X, y, directions, fit_data), Chain.of(estimator).estimator
            points = plane.project(_run(model, plane.model)) if path else None
            a, b = (np.linspace(low, high, n_grid) for low, high in plane.ends(span, points))
            values = np.array([[plane.value(i, j) for i in a] for j in b])
            taylor = plane.taylor(a[None, :], b[:, None])
        solver = type(model.solver_).__name__.lower() if path else None
        display = cls(a, b, values, taylor, plane.model.value, path=points, labels=plane.labels, solver=solver)
        return display.plot(**kwargs)

    def plot(
        self, ax: Any = None, *, name: str | None = None, colorbar: bool = True, **kwargs: Any
    ) -> "LossSurfaceDisplay":
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
            For `matplotlib.axes.Axes.contour`, of both; not ``linestyles``, which tell them apart.

        Returns
        -------
        LossSurfaceDisplay
        """
        self.ax_ = ax = axes(type(self).__name__, ax)
        self.figure_ = ax.figure
        style = self._style(kwargs)
        above = np.ma.masked_invalid(self.objective) - self.at_fit
        self.contours_ = ax.contour(self.a, self.b, above, **style, linestyles="solid")
        self.taylor_contours_ = ax.contour(self.a, self.b, self.taylor - self.at_fit, **style, linestyles="dashed")
        self.lines_ = self._draw_path()
        handles = [ax.plot([], [], color="0.4", linestyle=style, label=label)[0] for style, label in _KINDS]
        outside = np.isinf(self.objective)
        if outside.any():
            ax.contourf(self.a, self.b, outside, levels=[0.5, 1.5], colors=_OUTSIDE)
            handles += ax.fill([], [], color=_OUTSIDE, label="outside the domain")
        ax.set(xlabel=self.labels[0], ylabel=self.labels[1], xlim=self.a[[0, -1]], ylim=self.b[[0, -1]])
        few_ticks(ax)
        ax.legend(handles=handles + self.lines_, title=name, loc="lower center", bbox_to_anchor=(0.5, 1.01), ncols=3)
        if colorbar:
            self.figure_.colorbar(self.contours_, ax=ax, format="%.2g", label=f"objective above {self.at_fit:.4g}")
        return self

    def _style(self, given):
        """Levels and colours of the contours; the palest colours would not be seen."""
        levels = self._levels()
        if {"colors", "norm"} & given.keys():
            return {"levels": levels, **given}
        lowest = levels[0] - _PALE * (levels[-1] - levels[0])
        return {"levels": levels, "cmap": "viridis_r", "vmin": lowest, **given}

    def _levels(self):
        """Values of the contours, the same for both: those of the model in the plane, and as many below the fit."""
        above, below = self.taylor.max() - self.at_fit, self.at_fit - min(self.taylor.min(), self.objective.min())
        if not max(above, below) > _ROUNDING * abs(self.at_fit):
            raise ValueError(
                "the objective does not change in this plane beyond rounding, so that there are no contours: pass a "
                "larger span, or other directions"
            )
        steps = max(above, below) * (np.arange(1, _N_LEVELS + 1) / _N_LEVELS) ** 2
        return np.concatenate([-steps[steps < below][::-1], steps])

    def _draw_path(self):
        lines = []
        if self.path is not None:
            label = "path" if self.solver is None else f"path of {self.solver}"
            square = {"marker": "s", "linestyle": "none", "label": "start", "zorder": 3}
            lines += self.ax_.plot(*self.path.T, color="black", marker=".", linewidth=1, label=label)
            lines += self.ax_.plot(*self.path[0], color=COLOURS[1], **square)
        star = {"marker": "*", "markersize": 12, "linestyle": "none", "label": "fit", "zorder": 3}
        return lines + self.ax_.plot(0, 0, color=COLOURS[1], **star)


#: colour of what is outside the domain
_OUTSIDE = "0.9"

#: style and label of the contours
_KINDS = (("-", "objective"), ("--", "Taylor model"))


class _Plane:
    """Two directions through a fit, with the gradient and the Hessian of the objective along them."""

    def __init__(self, estimator, X, y, directions, fit_data):
        fitted = Fitted(estimator, X, y, **fit_data)
        self.model = taylor_model(fitted.objective, theta=fitted.theta)
        self.objective, self.theta = fitted.objective, fitted.theta
        if directions is None or _is_pair_of_int(directions):
            found = spectrum(estimator, X, y, units="standardised", eigenvectors=True, **fit_data)
            self.V, self.labels = self._eigenvectors(found, directions)
        else:
            self.V = _checked_vectors(directions, self.theta.size)
            names = [direction(self.model.parameter_names, v) for v in self.V.T]
            self.labels = [f"first direction\n{names[0]}", f"second direction\n{names[1]}"]
        self.HV = self.model.hessian @ self.V
        self.H, self.slope = self.V.T @ self.HV, self.V.T @ self.model.gradient
        # relative to what the parameters would have one by one
        size = self.objective.hessian_diagonal(self.theta, "expected") @ self.V**2
        if not (np.abs(self.H.diagonal()) > self.theta.size * np.finfo(float).eps * size).all():
            raise ValueError("directions: the objective does not depend on one of them")

    def _eigenvectors(self, found, pair):
        """Two eigenvectors as changes of theta, shape (n_parameters, 2), and their names."""
        coordinates, values = Standardised(self.objective, self.theta), found.values
        vectors = _positive(found.eigenvectors)
        if len(values) < 2:
            raise ValueError("a surface needs at least two parameters")
        if pair is None:
            last = len(values) - 1
            seen = (i for i in range(last) if self._is_visible(values[i], coordinates.to_theta(vectors[:, i])))
            pair = [last, next(seen, last - 1)]
        pair = _checked_pair(pair, len(values))
        labels = [
            f"eigenvector of eigenvalue {values[i]:.2g}\n{direction(self.model.parameter_names, vectors[:, i])}"
            for i in pair
        ]
        return np.column_stack([coordinates.to_theta(vectors[:, i]) for i in pair]), labels

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
        return np.abs(np.array(values) - self.model.value - rise).max() <= _DEPARTURE * abs(rise)

    def value(self, a, b):
        """The objective at a point of the plane."""
        return self.objective.value_and_gradient(self.theta + self.V @ [a, b])[0]

    def taylor(self, a, b):
        """The Taylor model at points of the plane."""
        H = self.H
        square = H[0, 0] * a**2 + 2 * H[0, 1] * a * b + H[1, 1] * b**2
        return self.model.value + self.slope[0] * a + self.slope[1] * b + 0.5 * square

    def project(self, thetas):
        """The nearest points of the plane in the norm of the Hessian, shape (n, 2)."""
        return np.linalg.solve(self.H, self.HV.T @ (thetas - self.theta).T).T

    def ends(self, span, points):
        """The ends of both axes; ``span`` is a pair or None."""
        if span is not None:
            return [(-end, end) for end in span]
        corners = np.zeros((1, 2)) if points is None else np.vstack([points, np.zeros(2)])
        low, high = _MARGIN * corners.min(axis=0), _MARGIN * corners.max(axis=0)
        return [(min(-span, a), max(span, b)) for span, a, b in zip(self._spans(), low, high, strict=True)]

    def _spans(self):
        """How far to follow the objective and its model, to the same rise, for them to differ visibly along an axis."""
        curvature = np.abs(self.H.diagonal())
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


def _run(estimator, model):
    """The iterates of the fit, by running it again, shape (n_points, n_parameters)."""
    objective, generator = model.objective, None
    if hasattr(estimator, "active_constraints_"):
        raise ValueError("path is not there for fits with constraints, which the plane does not show: use path=False")
    if isinstance(estimator.random_state, Integral):
        # the first draw of scikit-learn's random state is the seed of a fit
        seed = np.random.RandomState(int(estimator.random_state)).randint(2**32, dtype=np.uint64)
        generator = np.random.default_rng(seed)
    start = objective.start(generator)
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
    missed = result.x - model.theta0
    if not 0.5 * abs(missed @ (model.hessian @ missed)) <= _ELSEWHERE * objective.scale:
        raise ValueError(
            "path: the run of the solver on these rows does not end at the fit. Pass the rows and weights of the fit, "
            "of a network give random_state an integer and fit it from one start without early stopping, or pass "
            "path=False"
        )
    path = np.array([objective.canonical(theta) for theta in iterates])
    # a run that ends without an optimum goes back to its best iterate
    return path if np.array_equal(path[-1], result.x) else np.vstack([path, result.x])


def _positive(vectors):
    """Of each column and its negative the one whose largest entry is positive."""
    largest = np.abs(vectors).argmax(axis=0)
    return vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])


def _is_pair_of_int(directions):
    return np.ndim(directions) == 1 and len(directions) == 2 and all(isinstance(i, Integral) for i in directions)


def _checked_pair(pair, n):
    if not all(-n <= i < n for i in pair) or pair[0] % n == pair[1] % n:
        raise ValueError(f"directions must be two different eigenvectors out of {n}, got {tuple(pair)}")
    return [int(i) for i in pair]


def _checked_vectors(directions, size):
    V = _finite(directions).T
    if V.shape != (size, 2) or np.linalg.matrix_rank(V / (np.abs(V).max() or 1.0)) < 2:
        raise ValueError(
            f"directions must be two integers, or two different vectors of finite numbers of shape (2, {size}), "
            f"got {directions!r}"
        )
    return V


def _checked_span(span):
    spans = _finite(span)
    if spans.shape not in ((), (2,)) or not (spans > 0).all():
        raise ValueError(f"span must be a positive number or two, got {span!r}")
    return np.broadcast_to(spans, 2)


def _finite(values):
    """An array of finite numbers, or an empty one where that is none."""
    try:
        values = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        return np.zeros(0)
    return values if np.isfinite(values).all() else np.zeros(0)
