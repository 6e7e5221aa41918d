"""The collections of nonlinear problems say what they hold: Jacobians, minima, certified values."""

import numpy as np
import pytest

from tests.nonlinear_problems import more_garbow_hillstrom, nist

COLLECTION, NIST = more_garbow_hillstrom(), nist()
PROBLEMS = [*COLLECTION.values(), *NIST.values()]


def complex_step(problem, theta):
    """Derivatives without a difference: the imaginary part of the residuals at theta + i h e_j, over h."""
    columns = []
    for j in range(problem.n):
        moved, h = theta.astype(complex), 1e-30 * max(abs(theta[j]), 1e-3)
        moved[j] += 1j * h
        columns.append(problem.residuals(moved).imag / h)
    return np.stack(columns, axis=1)


def test_the_collections_are_whole():
    assert len(COLLECTION) == 35 + 6  # Watson and Chebyquad in three sizes, each penalty in two
    assert len(NIST) == 27
    assert sum(len(problem.starts) for problem in NIST.values()) == 54


def test_jacobians(rng):
    for problem in PROBLEMS:
        for start in problem.starts:
            near = start * (1 + 0.1 * rng.normal(size=problem.n)) + (1e-3 if problem.name in COLLECTION else 0)
            for theta in (start, near):
                jac, right = problem.jacobian(theta), complex_step(problem, theta)
                assert jac.shape == (problem.m, problem.n), problem.name
                assert problem.residuals(theta).shape == (problem.m,), problem.name
                worst = np.max(np.abs(jac - right) / np.maximum(np.max(np.abs(right), axis=0), 1e-300))
                assert worst < 1e-10, problem.name


def test_the_lowest_minimum_is_attained_at_the_point_given():
    for problem in [problem for problem in PROBLEMS if problem.at is not None]:
        # Lanczos1 has residuals of 1e-13, its parameters 11 digits: these alone leave a sum of squares of 4e-21
        floor = 1e-20 if problem.name == "Lanczos1" else 1e-29
        assert problem.sum_of_squares(problem.at) == pytest.approx(problem.minima[0], rel=1e-9, abs=floor), problem.name
