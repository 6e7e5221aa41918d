"""What is minimised: losses, and objectives of one flat parameter vector.

``LOSSES`` has an instance of every loss, ``ACTIVATIONS`` maps the names of activations to theirs.
"""

from sk_hessian.objectives._domain import start_within as start_within
from sk_hessian.objectives._domain import within_domain as within_domain
from sk_hessian.objectives.contract import Objective
from sk_hessian.objectives.coordinates import PointFactor, Subspace
from sk_hessian.objectives.directions import Directions, ScoresAlong
from sk_hessian.objectives.evaluation import Evaluation
from sk_hessian.objectives.feasible import FeasibleSet
from sk_hessian.objectives.functions import FunctionObjective
from sk_hessian.objectives.glm import GLMObjective, at_constants
from sk_hessian.objectives.linearised import Linearised
from sk_hessian.objectives.losses import (
    BINARY_LINKS,
    LOSSES,
    ORDINAL_LINKS,
    POWER_LINKS,
    BinaryCrossEntropy,
    BinomialLoss,
    Family,
    HuberLoss,
    Loss,
    NegativeBinomialLoss,
    OrdinalLoss,
    PinballLoss,
    SoftmaxCrossEntropy,
    SquaredLoss,
    TweedieLoss,
    check_derivatives,
    deviance_sums,
    explained,
    explained_of_sums,
)
from sk_hessian.objectives.losses import constant_predictions as constant_predictions
from sk_hessian.objectives.mlp import MLPObjective
from sk_hessian.objectives.models import ACTIVATIONS, network_predictions
from sk_hessian.objectives.residuals import LeastSquaresObjective
from sk_hessian.objectives.restricted import FreeObjective as FreeObjective
from sk_hessian.objectives.restricted import RestrictedObjective
from sk_hessian.objectives.rows import (
    Blocks,
    Changed,
    PartedRows,
    Parts,
    Scan,
    Tally,
    held_for,
    is_distributed,
    map_distributed,
    named,
    parts_of,
    row_products,
)
from sk_hessian.objectives.rows import CodeTable as CodeTable
from sk_hessian.objectives.rows import Layout as Layout
from sk_hessian.objectives.single_rows import SingleRows
from sk_hessian.objectives.stream import StreamObjective
from sk_hessian.objectives.terms import L1, L2, Jeffreys, Memory, Term, TermPoint, first_memory, root_of

__all__ = [
    "ACTIVATIONS",
    "BINARY_LINKS",
    "L1",
    "L2",
    "LOSSES",
    "ORDINAL_LINKS",
    "POWER_LINKS",
    "BinaryCrossEntropy",
    "BinomialLoss",
    "Blocks",
    "Changed",
    "Directions",
    "Evaluation",
    "Family",
    "FeasibleSet",
    "FunctionObjective",
    "GLMObjective",
    "HuberLoss",
    "Jeffreys",
    "LeastSquaresObjective",
    "Linearised",
    "Loss",
    "MLPObjective",
    "Memory",
    "NegativeBinomialLoss",
    "Objective",
    "OrdinalLoss",
    "PartedRows",
    "Parts",
    "PinballLoss",
    "PointFactor",
    "RestrictedObjective",
    "Scan",
    "ScoresAlong",
    "SingleRows",
    "SoftmaxCrossEntropy",
    "SquaredLoss",
    "StreamObjective",
    "Subspace",
    "Tally",
    "Term",
    "TermPoint",
    "TweedieLoss",
    "at_constants",
    "check_derivatives",
    "deviance_sums",
    "explained",
    "explained_of_sums",
    "first_memory",
    "held_for",
    "is_distributed",
    "map_distributed",
    "named",
    "network_predictions",
    "parts_of",
    "root_of",
    "row_products",
]
