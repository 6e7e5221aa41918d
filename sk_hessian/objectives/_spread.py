"""Curvature as if the columns, about their means, were uncorrelated: what fits where a matrix does not."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sk_hessian.objectives.factors import Factor


@dataclass(frozen=True)
class Spread:
    """A Hessian of sum_o [sum_j squares_jo coef_jo^2 + level_o (intercept_o + mean_o'coef_o)^2] + constants' squares.

    In raw coordinates a column far from zero is nearly a multiple of the intercept, and a diagonal would hold both
    where they are; about its mean it is not.
    """

    squares: np.ndarray  #: curvature along each coefficient, (p, k), the columns about their means
    level: np.ndarray  #: curvature along each intercept, (k,); (0,) without one
    mean: np.ndarray  #: mean of each column, (p, k), weighted by the curvature
    constants: np.ndarray  #: curvature along the loss's constants, (m,)

    def _split(self, v):
        """Coefficients (p, k), intercepts and constants of parameters (n_parameters,)."""
        size = self.squares.size
        return v[:size].reshape(self.squares.shape), v[size : size + len(self.level)], v[size + len(self.level) :]

    @cached_property
    def _roots(self):
        return np.sqrt(self.squares), np.sqrt(self.level), np.sqrt(self.constants)

    def apply(self, v):
        """R v, of a square R with R'R the Hessian."""
        coef, intercept, constants = self._split(v)
        roots = self._roots
        level = intercept + (self.mean * coef).sum(axis=0) if len(self.level) else intercept
        return np.concatenate([(roots[0] * coef).ravel(), roots[1] * level, roots[2] * constants])

    def transpose(self, v):
        """R'v."""
        parts = zip(self._roots, self._split(v), strict=True)
        coef, intercept, constants = (root * part for root, part in parts)
        coef = coef + self.mean * intercept if len(self.level) else coef
        return np.concatenate([coef.ravel(), intercept, constants])

    def diagonal(self):
        """The diagonal of the Hessian, shape (n_parameters,)."""
        squares = self.squares + self.level * self.mean**2 if len(self.level) else self.squares
        return np.concatenate([squares.ravel(), self.level, self.constants])

    def rows(self):
        """R as a matrix, without rows of zeros."""
        R = np.diag(np.concatenate([root.ravel() for root in self._roots]))
        k, size = len(self.level), self.squares.size
        for output in range(k):
            R[size + output, output:size:k] = np.sqrt(self.level[output]) * self.mean[:, output]
        return R[np.concatenate([self.squares.ravel(), self.level, self.constants]) > 0]

    def times(self, factor):
        """The same Hessian times a number."""
        return Spread(factor * self.squares, factor * self.level, self.mean, factor * self.constants)

    def rescaled(self, ratio):
        """The same with the curvature along coefficients and intercepts times a number."""
        return replace(self, squares=ratio * self.squares, level=ratio * self.level)

    def plus(self, other):
        """The sum of both, the columns about their common mean (Chan, Golub & LeVeque, 1983)."""
        squares, constants = self.squares + other.squares, self.constants + other.constants
        if not len(self.level):
            return Spread(squares, self.level, self.mean, constants)
        level = self.level + other.level
        share = np.divide(other.level, level, out=np.zeros_like(level), where=level > 0)
        apart = other.mean - self.mean
        return Spread(squares + self.level * share * apart**2, level, self.mean + share * apart, constants)

    def plus_diagonal(self, diagonal):
        """The sum with a diagonal Hessian (n_parameters,) that has nothing along the intercepts."""
        coef, _, constants = self._split(diagonal)
        return replace(self, squares=self.squares + coef, constants=self.constants + constants)

    def without(self, known):
        """The same Hessian, the columns about their means, without the parameters of a mask (n_parameters,)."""
        parts = zip((self.squares, self.level, self.constants), self._split(known), strict=True)
        squares, level, constants = (np.where(of, 0.0, part) for part, of in parts)
        return Spread(squares, level, self.mean, constants)

    @classmethod
    def of_rows(cls, R, like):
        """That of the Hessian R'R, shaped as the spread ``like``."""
        size, k = like.squares.size, len(like.level)
        coef, intercepts, constants = R[:, :size], R[:, size : size + k], R[:, size + k :]
        squares, mean = np.zeros(like.squares.shape), like.mean.copy()
        for output in range(like.squares.shape[1]):
            columns = coef[:, output :: like.squares.shape[1]]
            if k:
                ones = intercepts[:, output]
                weight = ones @ ones
                mean[:, output] = ones @ columns / weight if weight > 0 else 0.0
                columns = columns - np.outer(ones, mean[:, output])
            squares[:, output] = np.einsum("mp,mp->p", columns, columns)
        return cls(squares, np.einsum("mk,mk->k", intercepts, intercepts), mean, (constants**2).sum(axis=0))


class SpreadFactor(Factor):
    """P = R^-1 for the R of a `Spread`; a parameter without curvature keeps its own unit."""

    def __init__(self, spread):
        self._roots = tuple(np.where(root > 0, root, 1.0) for root in spread._roots)
        self.spread = spread
        size = spread.squares.size + len(spread.level) + len(spread.constants)
        self.shape = (size, size)

    def apply(self, u):
        """P u."""
        parts = zip(self.spread._split(u), self._roots, strict=True)
        coef, intercept, constants = (part / root for part, root in parts)
        if len(intercept):
            intercept = intercept - (self.spread.mean * coef).sum(axis=0)
        return np.concatenate([coef.ravel(), intercept, constants])

    def transpose(self, g):
        """P'g."""
        coef, intercept, constants = self.spread._split(g)
        coef = coef - self.spread.mean * intercept if len(intercept) else coef
        parts = zip((coef, intercept, constants), self._roots, strict=True)
        return np.concatenate([(part / root).ravel() for part, root in parts])

    def dense(self):
        """P as a matrix."""
        return np.stack([self.apply(e) for e in np.eye(self.shape[0])], axis=1)

    def diagonal_of(self, spread):
        """The diagonal of P'H P for the Hessian of another spread."""
        moved = Spread(spread.squares, spread.level, spread.mean - self.spread.mean, spread.constants)
        squares = np.concatenate([root.ravel() ** 2 for root in self._roots])
        return moved.diagonal() / squares
