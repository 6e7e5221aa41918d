"""What is minimised: losses, and objectives of one flat parameter vector."""

from sk_hessian.objectives.contract import Objective
from sk_hessian.objectives.functions import FunctionObjective
from sk_hessian.objectives.glm import GLMObjective
from sk_hessian.objectives.losses import (
    LOSSES,
    BinaryCrossEntropy,
    HuberLoss,
    Loss,
    SoftmaxCrossEntropy,
    SquaredLoss,
    TweedieLoss,
)

__all__ = [
    "LOSSES",
    "BinaryCrossEntropy",
    "FunctionObjective",
    "GLMObjective",
    "HuberLoss",
    "Loss",
    "Objective",
    "SoftmaxCrossEntropy",
    "SquaredLoss",
    "TweedieLoss",
]
