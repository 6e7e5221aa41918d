"""What an unknown keyword is told: what replaces it here, or the known names that are close."""

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypeVar

from sk_hessian._text import suggestion

Function = TypeVar("Function", bound=Callable[..., Any])

#: parameters of scikit-learn's class of the same name, and of other libraries, that do not exist here: their names, the
#: classes (or a base class that stands for all of its subclasses), and what to use instead. The docs show the same
PARAMETERS = (
    ("penalty", "LogisticRegression", "the penalty is always L2; `C=np.inf` for none"),
    ("l1_ratio", "LogisticRegression", "the penalty is always L2; for sparse coefficients stay with scikit-learn"),
    ("alpha", "LogisticRegression", "`C`, its inverse"),
    (
        "C",
        "Ridge PoissonRegressor GammaRegressor TweedieRegressor GeneralizedLinearRegressor BinomialRegressor "
        "OrdinalClassifier",
        "`alpha`, the strength itself",
    ),
    ("family", "GeneralizedLinearRegressor", "`loss`, an object of `sk_hessian.objectives`"),
    (
        "multi_class",
        "LogisticRegression",
        "leave it out: two classes are binary, more are one softmax model (or scikit-learn's `OneVsRestClassifier`)",
    ),
    ("dual", "LogisticRegression", "leave it out, because wide data (more columns than rows) are handled without it"),
    ("intercept_scaling", "LogisticRegression", "leave it out, because the intercept is never penalised"),
    (
        "n_jobs",
        "SolvedEstimator",
        "leave it out, because a fit uses the threads of the linear algebra library; a grid search has `n_jobs`",
    ),
    ("copy_X", "LinearRegression Ridge", "leave it out, because X is never copied as a whole and never changed"),
    ("normalize", "LinearRegression Ridge", "a `StandardScaler` before it in a pipeline"),
    ("solver_options", "QuantileRegressor", 'the options of a solver object, such as `solver=Newton(hessian="exact")`'),
    (
        "learning_rate_init",
        "_Network",
        "`learning_rate` of the solver object, such as `solver=Momentum(learning_rate=0.01)`",
    ),
    (
        "learning_rate batch_size",
        "SolvedEstimator",
        "an option of the solver object, such as `solver=SGD(learning_rate=0.1, batch_size=200)`; scikit-learn's "
        '`learning_rate="invscaling"` is `SGD(schedule="invscaling")`',
    ),
    ("power_t", "_Network", "`solver=SGD(schedule=...)`, a name or a function of the epoch"),
    ("shuffle", "_Network", "leave it out, because minibatches are always drawn from shuffled rows"),
    (
        "momentum nesterovs_momentum",
        "_Network",
        "options of the solver object: `solver=Momentum(momentum=0.9, nesterov=True)`",
    ),
    (
        "beta_1 beta_2 epsilon",
        "_Network",
        "Adam is `solver=Momentum(0.001, momentum=0.9, squares=0.999, batch_size=200, precondition=None)`",
    ),
    ("max_fun", "_Network", "`max_iter`"),
    ("lr eta eta0", "Solver", "`learning_rate`"),
    ("beta beta_1", "Momentum", "`momentum`"),
    ("beta_2", "Momentum", "`squares`"),
)

#: the same for arguments of ``fit`` and ``partial_fit``
FIT_ARGUMENTS = (
    (
        "coef_init intercept_init",
        "LinearModel",
        "`warm_start=True` of the estimator: a fit then starts from its former `coef_` and `intercept_`",
    ),
    ("offset", "_Network", "a network has no offset"),
    (
        "exposure",
        "PoissonRegressor GammaRegressor TweedieRegressor NegativeBinomialRegressor GeneralizedLinearRegressor",
        "`offset=np.log(exposure)`, where the link is a logarithm",
    ),
    (
        "classes",
        "LogisticRegression MLPClassifier",
        "leave it out, because `fit` finds the classes in y; `partial_fit` takes `classes`",
    ),
    ("weights freq_weights var_weights", "SolvedEstimator", "`sample_weight`"),
    (
        "eval_set validation_data",
        "_Network",
        "`early_stopping=True` of the estimator, which holds out `validation_fraction` of the rows",
    ),
)

#: method -> its table, and what its arguments are called
_OF_METHODS = {
    "__init__": (PARAMETERS, "parameters"),
    "fit": (FIT_ARGUMENTS, "arguments"),
    "partial_fit": (FIT_ARGUMENTS, "arguments"),
}


def advice_on(owner: type, method: str, name: str, known: Iterable[str]) -> str:
    """What to use instead of an unknown keyword ``name`` of a class's ``method``, else the ``known`` ones."""
    table, noun = _OF_METHODS[method]
    known = list(known)
    for base in owner.__mro__:
        for names, owners, instead in table:
            if name in names.split() and base.__name__ in owners.split():
                return f"Instead: {instead.replace('`', '')}."
    return f"{suggestion(name, known)} Its {noun} are {', '.join(known)}.".strip()


def with_advice(method: Function) -> Function:
    """A method whose TypeError for an unknown keyword says what to use instead; scikit-learn reads its signature."""
    parameters = signature(method).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return method
    known = list(parameters)[1:]

    @wraps(method)
    def checked(self, *args, **kwargs):
        if not kwargs.keys() <= parameters.keys():
            unknown = next(keyword for keyword in kwargs if keyword not in parameters)
            owner, name = type(self), method.__name__
            called = owner.__name__ if name == "__init__" else f"{owner.__name__}.{name}"
            advice = advice_on(owner, name, unknown, known)
            raise TypeError(f"{called}() got an unexpected keyword argument {unknown!r}. {advice}")
        return method(self, *args, **kwargs)

    return checked  # type: ignore[return-value]
