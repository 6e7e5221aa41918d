import numpy as np
import pytest
from sklearn.datasets import load_iris


@pytest.fixture
def rng():
    return np.random.default_rng(20_240_607)


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)
