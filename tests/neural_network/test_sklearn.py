"""scikit-learn's own checks of both networks with every solver."""

import pytest

from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.solvers import SGD, Clip, Momentum, Newton
from tests.checks import OF_SOLVERS, WEIGHTS, checks

KINDS = (MLPRegressor, MLPClassifier)
SPECS = ["newton", Newton(hessian="exact"), "lbfgs"] + [kind(batch_size=None) for kind in (SGD, Momentum, Clip)]

#: the checks compare fits of repeated and of weighted rows at rtol 1e-7: the networks are small and tightly penalised
SMALL = {"hidden_layer_sizes": (3,), "activation": "tanh", "alpha": 30.0, "tol": 1e-8, "max_iter": 300}
MINIBATCH = {"solver": SGD(batch_size=8), "hidden_layer_sizes": (5,), "activation": "tanh", "max_iter": 30}

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@checks({kind.__name__: kind(**SMALL) for kind in KINDS})
@quiet
def test_scikit_learn_checks(estimator, check):
    """The checks' tiny, partly degenerate data rightly bring verdicts other than optimal."""
    check(estimator)


@checks({f"{kind.__name__}-{solver}": kind(solver=solver, **SMALL) for kind in KINDS for solver in SPECS}, OF_SOLVERS)
@quiet
def test_scikit_learn_checks_with_every_other_solver(estimator, check):
    check(estimator)


@checks({kind.__name__: kind(**MINIBATCH) for kind in KINDS}, OF_SOLVERS, without=WEIGHTS)
@quiet
def test_scikit_learn_checks_with_minibatches(estimator, check):
    check(estimator)
