"""What predicts: parameters to raw predictions, and back."""

from sk_hessian.objectives.models.activations import ACTIVATIONS
from sk_hessian.objectives.models.linear import Linear
from sk_hessian.objectives.models.network import Network, network_predictions, with_constants

__all__ = ["ACTIVATIONS", "Linear", "Network", "network_predictions", "with_constants"]
