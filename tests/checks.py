"""scikit-learn's checks of estimators: all of them, or those whose outcome depends on the solver."""

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

#: minibatches draw other rows from repeated rows than from weighted ones: the two fits are equal on average only
WEIGHTS = {"check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"}

#: the checks that a solver can fail. The others end before the solver, or look at what is the same code for each of
#: them: parameters, tags, what is refused, predictions of rows in another order, inputs that only validation sees
OF_SOLVERS = WEIGHTS | {
    "check_class_weight_classifiers", "check_classifiers_classes",
    "check_classifiers_multilabel_representation_invariance", "check_classifiers_train",
    "check_decision_proba_consistency", "check_estimators_dtypes", "check_estimators_overwrite_params",
    "check_estimators_partial_fit_n_features", "check_estimators_pickle", "check_f_contiguous_array_estimator",
    "check_fit2d_1feature", "check_fit2d_1sample", "check_fit_idempotent", "check_non_transformer_estimators_n_iter",
    "check_readonly_memmap_input", "check_regressor_multioutput", "check_regressors_int", "check_regressors_train",
    "check_sample_weights_not_overwritten",
}  # fmt: skip


def _name(check):
    """With the options of the check, such as ``readonly_memmap``."""
    options = (str(getattr(value, "__name__", value)) for value in check.keywords.values())
    return "-".join([check.func.__name__.removeprefix("check_"), *options])


def checks(models, only=None, without=frozenset(), failing=None):
    """Parametrise a test by each estimator of ``models`` and each check.

    ``only`` are names of checks, which are taken without their variants for memory maps and float32; those of
    ``without`` do not apply; ``failing`` says of a model which checks fail, and why.
    """
    found = []
    for name, model in models.items():
        reasons = (failing or {}).get(name, {})
        for estimator, check in estimator_checks_generator(model):
            key = check.func.__name__
            if key in without or (only is not None and (key not in only or check.keywords)):
                continue
            marks = [pytest.mark.xfail(reason=reasons[key])] if key in reasons else []
            found.append(pytest.param(estimator, check, id=f"{name}-{_name(check)}", marks=marks))
    return pytest.mark.parametrize(("estimator", "check"), found)
