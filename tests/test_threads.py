"""Passes on the threads that BLAS may have."""

import os
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sk_hessian.linear_model import LogisticRegression, PoissonRegressor


def blas_threads():
    return sorted(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 20)) * np.logspace(-1, 2, 20) + 5
    raw = (X - 5) @ (rng.normal(size=20) / np.logspace(-1, 2, 20)) / 3
    return X, raw + rng.logistic(size=len(X)) > 0


def test_the_same_threads_give_the_same_bits_and_others_the_same_fit(data):
    X, y = data
    fits = {}
    for n_threads in (1, 2, 1, 2):
        with threadpool_limits(n_threads):
            model = LogisticRegression().fit(X, y)
        fits.setdefault(n_threads, []).append(model)
    for one, again in fits.values():
        np.testing.assert_array_equal(one.coef_, again.coef_)
        assert one.convergence_ == again.convergence_
    (one, _), (two, _) = fits.values()
    assert one.convergence_.objective == pytest.approx(two.convergence_.objective, rel=1e-12)
    np.testing.assert_allclose(one.coef_, two.coef_, rtol=1e-6)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has no second thread to hold")
def test_a_fit_holds_blas_and_gives_it_back(data):
    X, y = data
    with threadpool_limits(2):
        before, during = blas_threads(), []

        class Watched(PoissonRegressor):
            def _learn(self, *arguments):
                during.append(blas_threads())
                return super()._learn(*arguments)

        Watched(alpha=1.0).fit(X / 100, y)
        assert blas_threads() == before
        Watched(alpha=1.0).fit(X[:3000] / 100, y[:3000])
        # of many columns it has more to do than the passes
        Watched(alpha=1.0).fit(np.tile(X[:50] / 100, 30), y[:50])
        with pytest.raises(ValueError, match="contains NaN"):
            Watched().fit(np.where(X > 1e3, X, np.nan), y)
        assert blas_threads() == before
    assert during[2] == before
    assert {*during[0], *during[1], *during[3]} == {1}


def test_a_fit_in_another_thread_takes_no_threads_of_its_own(data):
    X, y = data
    fits, seen = [], []

    def fit():
        fits.append(LogisticRegression().fit(X, y))
        seen.append(blas_threads())

    with threadpool_limits(2):
        before = blas_threads()
        other = threading.Thread(target=fit)
        other.start()
        other.join()
        assert seen == [before]
    with threadpool_limits(1):
        fit()
    np.testing.assert_array_equal(fits[0].coef_, fits[1].coef_)
