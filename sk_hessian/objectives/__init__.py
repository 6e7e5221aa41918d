"""What is minimised: losses, and objectives of one flat parameter vector."""

from sk_hessian.objectives._layers import network_predictions
from sk_hessian.objectives.activations import ACTIVATIONS
from sk_hessian.objectives.contract import Objective
from sk_hessian.objectives.functions import FunctionObjective, LeastSquaresObjective
from sk_hessian.objectives.glm import GLMObjective
from sk_hessian.objectives.jeffreys import JeffreysObjective
from sk_hessian.objectives.losses import (
    LOSSES,
    BinaryCrossEntropy,
    HuberLoss,
    Loss,
    NegativeBinomialLoss,
    SoftmaxCrossEntropy,
    SquaredLoss,
    TweedieLoss,
)
from sk_hessian.objectives.mlp import MLPObjective

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "BinaryCrossEntropy",
    "FunctionObjective",
    "GLMObjective",
    "HuberLoss",
    "JeffreysObjective",
    "LeastSquaresObjective",
    "Loss",
    "MLPObjective",
    "NegativeBinomialLoss",
    "Objective",
    "SoftmaxCrossEntropy",
    "SquaredLoss",
    "TweedieLoss",
    "network_predictions",
]
