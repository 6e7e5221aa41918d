"""What predicts: parameters to raw predictions, and back."""

from sk_hessian.objectives.models.activations import ACTIVATIONS
from sk_hessian.objectives.models.linear import Linear
from sk_hessian.objectives.models.network import Forward, Network, network_predictions

__all__ = ["ACTIVATIONS", "Forward", "Linear", "Network", "network_predictions"]
