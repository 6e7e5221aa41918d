import numpy as np
import pytest
from sklearn.datasets import load_iris

from tests.estimators import raw_table, target


@pytest.fixture
def rng():
    return np.random.default_rng(20_240_607)


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture
def X(rng):
    return raw_table(rng)


@pytest.fixture
def y(name, X, rng):
    """A target for the estimator of `ESTIMATORS` that the test has by name."""
    return target(name, X, rng)
