"""What the page *coming from scikit-learn* calls equal: classes that do not exist here, and what to write instead."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    BayesianRidge,
    LogisticRegressionCV,
    RidgeClassifier,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.linear_model import Ridge as TheirRidge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler, label_binarize

from sk_hessian.inspection import laplace
from sk_hessian.linear_model import LogisticRegression, Ridge


@pytest.fixture
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def test_a_ridge_classifier_is_a_ridge_on_signs():
    X, y = load_iris(return_X_y=True)
    signs = label_binarize(y, classes=[0, 1, 2], neg_label=-1)
    np.testing.assert_array_equal(
        Ridge(2.0).fit(X, signs).predict(X).argmax(axis=1), RidgeClassifier(2.0).fit(X, y).predict(X)
    )
    X, y = load_breast_cancer(return_X_y=True)
    theirs = RidgeClassifier(2.0, solver="svd").fit(X, y)
    np.testing.assert_allclose(Ridge(2.0).fit(X, 2 * y - 1).predict(X), theirs.decision_function(X), atol=1e-6)


def test_leave_one_out_of_a_ridge_is_that_of_ridge_cv(diabetes):
    X, y = diabetes
    model = Ridge("loo").fit(X, y)
    theirs = RidgeCV(model.alpha_ * np.array([0.01, 0.5, 1.0, 2.0, 100.0])).fit(X, y)
    assert theirs.alpha_ == model.alpha_
    np.testing.assert_allclose(model.coef_, theirs.coef_, rtol=1e-5)
    # theirs is the mean square, ours the loss
    assert model.penalty_path_.score.min() == pytest.approx(-theirs.best_score_ / 2, rel=1e-4)


def test_logistic_regression_cv_is_a_grid():
    X, y = load_breast_cancer(return_X_y=True)
    X, C = StandardScaler().fit_transform(X)[::4], [0.01, 1.0]
    options = {"cv": 3, "scoring": "neg_log_loss"}
    theirs = LogisticRegressionCV(Cs=C, l1_ratios=(0,), use_legacy_attributes=False, tol=1e-8, **options)
    theirs.fit(X, y[::4])
    ours = GridSearchCV(LogisticRegression(), {"C": C}, **options).fit(X, y[::4])
    assert ours.best_params_["C"] == theirs.C_
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)


def test_stochastic_gradients_have_the_same_objective(diabetes):
    X, y = diabetes
    n, alpha = len(y), 0.05
    options = {"alpha": alpha, "max_iter": 400, "tol": None, "average": 100 * n, "random_state": 0}
    ours = Ridge(alpha * n).fit(X, y)
    np.testing.assert_allclose(
        ours.predict(X), SGDRegressor(eta0=0.002, **options).fit(X, y).predict(X), atol=0.01 * np.ptp(y)
    )
    ours = LogisticRegression(1 / (alpha * n)).fit(X, y > 140)
    theirs = SGDClassifier("log_loss", **options).fit(X, y > 140)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=0.01)


def test_bayesian_ridge_is_the_evidence(diabetes):
    X, y = diabetes
    y = y - y.mean()
    ours = Ridge("evidence", fit_intercept=False).fit(X, y)
    theirs = BayesianRidge(fit_intercept=False, tol=1e-8, max_iter=1000).fit(X, y)
    assert ours.alpha_ == pytest.approx(theirs.lambda_ / theirs.alpha_, rel=1e-3)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-3, atol=1e-3)
    posterior = laplace(ours, X, y, dispersion="evidence")
    std = np.sqrt(posterior.predict(X)[1] ** 2 + posterior.dispersion)
    np.testing.assert_allclose(std, theirs.predict(X, return_std=True)[1], rtol=1e-3)


@pytest.mark.parametrize(
    "around",
    [
        lambda model: TransformedTargetRegressor(model, func=np.log, inverse_func=np.exp),
        lambda model: make_pipeline(SplineTransformer(), model),
    ],
    ids=["target", "splines"],
)
def test_tools_take_the_estimators_of_here_as_theirs(around, diabetes):
    X, y = diabetes
    ours, theirs = around(Ridge(2.0)), around(TheirRidge(2.0, solver="svd"))
    np.testing.assert_allclose(clone(ours).fit(X, y).predict(X), theirs.fit(X, y).predict(X), rtol=1e-5)


def test_kernel_ridge_is_a_ridge_on_all_rows(diabetes):
    X, y = (part[:100] for part in diabetes)
    kernel = {"kernel": "rbf", "gamma": 0.01}
    ours = make_pipeline(Nystroem(n_components=100, **kernel), Ridge(0.5, fit_intercept=False)).fit(X, y)
    np.testing.assert_allclose(ours.predict(X), KernelRidge(alpha=0.5, **kernel).fit(X, y).predict(X), rtol=1e-4)
