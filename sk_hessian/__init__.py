"""scikit-learn estimators that put the Hessian to work.

The submodules are loaded when they are first used, as in scikit-learn and scipy: ``import sk_hessian`` alone loads
neither numpy nor scikit-learn.
"""

import importlib as _importlib
from importlib.metadata import version as _version

__version__ = _version("sk-hessian")

_SUBMODULES = ("categories", "inspection", "linear_model", "neural_network", "objectives", "penalties", "solvers")

__all__ = [
    "__version__",
    "categories",
    "inspection",
    "linear_model",
    "neural_network",
    "objectives",
    "penalties",
    "solvers",
]


def __dir__():
    return __all__


def __getattr__(name):
    if name in _SUBMODULES:
        return _importlib.import_module(f"sk_hessian.{name}")
    raise AttributeError(f"module 'sk_hessian' has no attribute {name!r}; it has {', '.join(__all__)}")
