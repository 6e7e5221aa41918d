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
def rows(name, rng):
    """Raw columns, and a target for the estimator of `ESTIMATORS` that the test has by name."""
    X = raw_table(rng)
    return X, target(name, X, rng)


@pytest.fixture
def X(rows):
    return rows[0]


@pytest.fixture
def y(rows):
    return rows[1]
