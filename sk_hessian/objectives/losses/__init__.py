"""Pointwise losses, one family a file, and what is made of them: likelihoods, null models, deviances.

To add one, derive from `Loss` in a file of its own and list an instance in `LOSSES`: the tests of every derivative then
apply to it.
"""

from sk_hessian.objectives.losses.binomial import BinomialLoss
from sk_hessian.objectives.losses.cross_entropy import BinaryCrossEntropy, SoftmaxCrossEntropy
from sk_hessian.objectives.losses.derivatives import check_derivatives
from sk_hessian.objectives.losses.deviance import deviance_sums, explained, explained_of_sums
from sk_hessian.objectives.losses.families import Family, constant_predictions
from sk_hessian.objectives.losses.huber import HuberLoss
from sk_hessian.objectives.losses.links import CUMULATIVE, LINKS, POWERS
from sk_hessian.objectives.losses.loss import Loss
from sk_hessian.objectives.losses.negative_binomial import NegativeBinomialLoss
from sk_hessian.objectives.losses.ordinal import OrdinalLoss
from sk_hessian.objectives.losses.pinball import PinballLoss
from sk_hessian.objectives.losses.squared import SquaredLoss
from sk_hessian.objectives.losses.tweedie import TweedieLoss

#: names of the links of probabilities, of those that ordered classes may have, and of means that are a power of the
#: raw prediction
BINARY_LINKS, ORDINAL_LINKS, POWER_LINKS = tuple(LINKS), tuple(CUMULATIVE), tuple(POWERS)

#: one instance of every loss, for the tests that hold for all of them
LOSSES = (
    SquaredLoss(),
    SquaredLoss(3),
    BinaryCrossEntropy(),
    BinaryCrossEntropy(3),
    SoftmaxCrossEntropy(3),
    TweedieLoss(0, "identity"),
    TweedieLoss(0, "log"),
    TweedieLoss(1, "log"),
    TweedieLoss(1, "identity"),
    TweedieLoss(1.5, "log"),
    TweedieLoss(1.5, "identity"),
    TweedieLoss(2, "log"),
    TweedieLoss(2, "identity"),
    TweedieLoss(3, "log"),
    TweedieLoss(3, "identity"),
    TweedieLoss(1, "sqrt"),
    TweedieLoss(1.5, "sqrt"),
    TweedieLoss(2, "inverse"),
    TweedieLoss(3, "inverse"),
    BinomialLoss("logit"),
    BinomialLoss("probit"),
    BinomialLoss("cloglog"),
    BinomialLoss("cauchit"),
    BinomialLoss("log"),
    OrdinalLoss(3, "logit"),
    OrdinalLoss(4, "probit"),
    OrdinalLoss(4, "cloglog"),
    OrdinalLoss(3, "cauchit"),
    OrdinalLoss(2, "cloglog"),
    HuberLoss(),
    NegativeBinomialLoss(),
    NegativeBinomialLoss(2.0),
    PinballLoss(0.5, 1.0),
    PinballLoss(0.8, 2.0),
)

__all__ = [
    "BINARY_LINKS",
    "LOSSES",
    "ORDINAL_LINKS",
    "POWER_LINKS",
    "BinaryCrossEntropy",
    "BinomialLoss",
    "Family",
    "HuberLoss",
    "Loss",
    "NegativeBinomialLoss",
    "OrdinalLoss",
    "PinballLoss",
    "SoftmaxCrossEntropy",
    "SquaredLoss",
    "TweedieLoss",
    "check_derivatives",
    "constant_predictions",
    "deviance_sums",
    "explained",
    "explained_of_sums",
]
