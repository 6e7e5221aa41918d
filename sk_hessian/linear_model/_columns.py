"""The columns of a linear model: what their coefficients are called, and the penalty of each."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sk_hessian._penalties import check_penalty_matrix, check_penalty_weights, has_chosen_groups
from sk_hessian.categories import Categories


class Columned:
    """What linear models share that have a coefficient for each column of numbers and each level of a category."""

    penalty_weights: Any
    penalty_weights_: Any
    _matrix_factor: float
    _strength: Any
    encoding_: Any

    @property
    def _columns(self):
        """Names of the columns that have a coefficient, None where X has none, and how many they are."""
        fitted = vars(self)
        if "encoding_" in fitted:
            return fitted["encoding_"].names, fitted["encoding_"].n_columns
        return fitted.get("feature_names_in_"), fitted["n_features_in_"]

    @property
    def coef_names_(self):
        """What the coefficients are called, shape (n_coefficients,): columns of X, and levels such as "site[b]"."""
        check_is_fitted(self)
        names, p = self._columns
        return np.array([f"x{j}" for j in range(p)], dtype=object) if names is None else names

    @property
    def _has_penalty(self):
        """Whether coefficients have a penalty."""
        return bool(np.any(self._strength())) or getattr(self, "penalty_matrix", None) is not None

    def _for_zeros(self):
        """See `SolvedEstimator._for_zeros`."""
        there = copy.copy(self)
        if "encoding_" in vars(self):
            there.encoding_ = replace(self.encoding_, options=Categories(handle_unknown="ignore"))
        return there

    def _penalties(self, per_mean):
        """What `GLMObjective` takes of the penalty, in units of the estimator times ``per_mean``."""
        weights = self._column_weights()
        if "penalty_weights_" in vars(self) and has_chosen_groups(self.penalty_weights):
            weights = weights.weighted(self.penalty_weights_)
        names, p = self._columns
        matrix = check_penalty_matrix(getattr(self, "penalty_matrix", None), p, names)
        root, strength = weights.root, self._strength() * per_mean
        has_root = root is not None and np.any(strength)
        return {
            "penalty": weights.strengths[:, None] * strength,
            "penalty_matrix": None if matrix is None else matrix * (per_mean * self._matrix_factor),
            "penalty_root": root * np.sqrt(np.reshape(strength, (-1, 1, 1))) if has_root else None,
        }

    def _column_weights(self):
        """``penalty_weights`` as they are given, checked."""
        names, p = self._columns
        return check_penalty_weights(getattr(self, "penalty_weights", None), p, names)
