"""scikit-learn's own checks of both networks with every solver."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.solvers import SGD, Clip, Momentum, Newton

SPECS = [
    "auto",
    "newton",
    Newton(hessian="exact"),
    "lbfgs",
    SGD(batch_size=None),
    Momentum(batch_size=None),
    Clip(batch_size=None),
]

#: the checks compare fits of repeated and of weighted rows at rtol 1e-7: the networks are small and tightly penalised
SMALL = {"hidden_layer_sizes": (3,), "activation": "tanh", "alpha": 30.0, "tol": 1e-8, "max_iter": 300}

#: minibatches draw other rows from repeated rows than from weighted ones
EQUIVALENCE = dict.fromkeys(
    ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
    "equal on average only",
)


@parametrize_with_checks([kind(solver=solver, **SMALL) for kind in (MLPRegressor, MLPClassifier) for solver in SPECS])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    """The checks' tiny, partly degenerate data rightly bring verdicts other than optimal."""
    check(estimator)


@parametrize_with_checks(
    [
        kind(solver=SGD(batch_size=8), hidden_layer_sizes=(5,), activation="tanh", max_iter=60)
        for kind in (MLPRegressor, MLPClassifier)
    ],
    expected_failed_checks=lambda estimator: EQUIVALENCE,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks_with_minibatches(estimator, check):
    check(estimator)
