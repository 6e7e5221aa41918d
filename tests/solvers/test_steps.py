from types import SimpleNamespace

import numpy as np
import pytest

from sk_hessian.solvers import steps


class Line:
    """A function of one number, as a line search sees a problem: a value and a slope at a point, and their count."""

    def __init__(self, fun, jac):
        self.fun, self.jac, self.evaluations = fun, jac, 0

    def evaluate(self, u):
        self.evaluations += 1
        value = self.fun(u[0])
        noise = np.finfo(float).eps * abs(value)
        return SimpleNamespace(u=u, value=value, slope=np.array([self.jac(u[0])]), noise=noise)

    def between(self, point, other, share):
        return self.evaluate(point.u + share * (other.u - point.u))


def line(fun, jac, start=0.0):
    """A one-dimensional problem and its starting point."""
    problem = Line(fun, jac)
    return problem, problem.evaluate(np.array([start]))


CURVES = {
    "near": (lambda x: (x - 1) ** 2, lambda x: 2 * (x - 1)),
    "far": (lambda x: (x - 1e6) ** 2, lambda x: 2 * (x - 1e6)),
    "tiny": (lambda x: (x - 1e-6) ** 2, lambda x: 2 * (x - 1e-6)),
    "wall": (lambda x: -np.log(1e-3 - x) - 1e4 * x if x < 1e-3 else np.inf, lambda x: 1 / (1e-3 - x) - 1e4),
    "quartic": (lambda x: (x - 3) ** 4, lambda x: 4 * (x - 3) ** 3),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("wolfe", [None, 0.9, 0.1])
def test_a_line_search_decreases_and_flattens(name, wolfe):
    fun, jac = CURVES[name]
    problem, point = line(fun, jac)
    direction = -np.sign(point.slope)
    search = steps.line_search(problem, point, direction, wolfe=wolfe, max_evaluations=60)
    first = point.slope @ direction
    assert search.point.value <= point.value + 1e-4 * search.size * first
    assert wolfe is None or abs(search.point.slope @ direction) <= -wolfe * first
    np.testing.assert_allclose(search.point.u, point.u + search.size * direction)
    assert problem.evaluations <= 61


def test_a_line_search_uphill_finds_nothing():
    problem, point = line(*CURVES["near"])
    assert not steps.line_search(problem, point, np.array([-1.0])).moved
