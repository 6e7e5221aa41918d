"""scikit-learn estimators that put the Hessian to work."""

from importlib.metadata import version

__version__ = version("sk-hessian")
