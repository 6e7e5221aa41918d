"""Fully connected networks, with scikit-learn's names and parameters."""

from sk_hessian.neural_network._mlp import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
