"""An estimator of sk_hessian, by itself or as the last step of a pipeline."""

import copy
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

#: class -> where it is; a table, because inspection does not load the models
MODELS = {
    "BinomialRegressor": "linear_model",
    "GammaRegressor": "linear_model",
    "GeneralizedLinearRegressor": "linear_model",
    "HuberRegressor": "linear_model",
    "LinearRegression": "linear_model",
    "LogisticRegression": "linear_model",
    "MLPClassifier": "neural_network",
    "MLPRegressor": "neural_network",
    "NegativeBinomialRegressor": "linear_model",
    "OrdinalClassifier": "linear_model",
    "PoissonRegressor": "linear_model",
    "QuantileRegressor": "linear_model",
    "Ridge": "linear_model",
    "TweedieRegressor": "linear_model",
}


@dataclass(frozen=True)
class Chain:
    """An estimator of sk_hessian, and the pipeline ``before`` it that transforms X, or None."""

    estimator: Any
    before: Any = None

    @classmethod
    def of(cls, estimator: Any, rule: str = "estimator must be one of sk_hessian") -> "Chain":
        """Take a pipeline, or an estimator alone, apart; anything else is a TypeError that begins with ``rule``."""
        if isinstance(estimator, cls):
            return estimator
        if not _is_pipeline(estimator):
            _require_ours(estimator, f"{rule}, got ")
            return cls(estimator)
        name, last = estimator.steps[-1]
        _require_ours(last, f"the last step of a pipeline must be an estimator of sk_hessian, but {name!r} is ")
        return cls(last, estimator[:-1] if len(estimator.steps) > 1 else None)

    def transformed(self, X: Any) -> Any:
        """X as the estimator gets it."""
        return X if self.before is None else self.before.transform(X)

    @property
    def feature_names(self) -> list[str] | None:
        """What the columns of the transformed X are called, None where a step does not say."""
        if self.before is None:
            return None
        try:
            return list(self.before.get_feature_names_out())
        except AttributeError:
            # a pipeline says so that one of its steps has no names for its columns
            return None

    def with_params(self, **params: Any) -> "Chain":
        """The same with other parameters of the estimator, which is copied."""
        return replace(self, estimator=copy.copy(self.estimator).set_params(**params))

    def fresh(self, X: Any, y: Any) -> "Chain":
        """A copy whose estimator is not fitted, and whose steps before it are fitted to X and y."""
        estimator = type(self.estimator)(**copy.deepcopy(self.estimator.get_params(deep=False)))
        if self.before is None:
            return Chain(estimator)
        return Chain(estimator, copy.deepcopy(self.before).fit(X, y))

    def inserted(self, original: Any) -> Any:
        """The estimator, in a copy of the pipeline that it comes from."""
        if not _is_pipeline(original):
            return self.estimator
        whole = copy.copy(original)
        before = [] if self.before is None else list(self.before.steps)
        whole.steps = [*before, (original.steps[-1][0], self.estimator)]
        return whole


def _is_pipeline(estimator):
    return hasattr(estimator, "named_steps") and hasattr(estimator, "steps")


def _require_ours(estimator, text):
    """Refuse what is no estimator of sk_hessian, and say what to use instead."""
    if isinstance(estimator, type):
        raise TypeError(f"{text}the class {estimator.__name__}: make an estimator of it, and fit that")
    if hasattr(estimator, "fitted_objective"):
        return
    name, module = type(estimator).__name__, type(estimator).__module__
    # scikit-learn has private modules in public ones, which nobody imports from
    public = ".".join(takewhile(lambda part: not part.startswith("_"), module.split(".")))
    text += name if module == "builtins" else f"{name} of {public}"
    if hasattr(estimator, "best_estimator_"):
        text += ". Pass its best_estimator_, if that is one of sk_hessian"
    elif name in MODELS:
        text += f". Use the class of the same name: from sk_hessian.{MODELS[name]} import {name}"
    else:
        text += f". The estimators of sk_hessian are {', '.join(MODELS)}"
    raise TypeError(text)
