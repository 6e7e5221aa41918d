"""An unknown keyword says what to use instead, and the docs say the same."""

import inspect
import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model
import sklearn.neural_network
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sk_hessian import linear_model, neural_network, solvers
from sk_hessian._keywords import FIT_ARGUMENTS, PARAMETERS
from sk_hessian.objectives import Blocks
from tests.estimators import ESTIMATORS, assert_refused, convergence_warnings, raw_table, target

PAGE = (Path(__file__).parents[1] / "docs" / "coming_from_scikit_learn.md").read_text(encoding="utf-8")
CLASSES = {name: getattr(room, name) for room in (linear_model, neural_network) for name in room.__all__}
THEIRS = vars(sklearn.linear_model) | vars(sklearn.neural_network)

#: what the docs call a base class
GROUPS = {
    "SolvedEstimator": "every estimator",
    "LinearModel": "linear models",
    "_Network": "networks",
    "Solver": "solver objects",
}

LACKING = [
    (name, parameter)
    for name, ours in CLASSES.items()
    if name in THEIRS
    for parameter in THEIRS[name]().get_params()
    if parameter not in ours().get_params()
]


@pytest.mark.parametrize("table", [PARAMETERS, FIT_ARGUMENTS], ids=["parameters", "fit"])
def test_the_docs_show_the_table(table):
    for names, owners, instead in table:
        called = ", ".join(GROUPS.get(owner, f"`{owner}`") for owner in owners.split())
        assert f"| {', '.join(f'`{name}`' for name in names.split())} | {called} | {instead} |" in PAGE


def test_the_docs_have_no_other_rows():
    assert len(LACKING) > 20
    rows = re.findall(r"^\| `.*\|.*\|.*\|$", PAGE.split("## Names of solvers")[0], re.MULTILINE)
    assert len(rows) == len(PARAMETERS) + len(FIT_ARGUMENTS)


@pytest.mark.parametrize(("name", "parameter"), LACKING)
def test_every_parameter_that_scikit_learn_has_is_explained(name, parameter):
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument '{parameter}'\. Instead: "):
        CLASSES[name](**{parameter: 1})
    with pytest.raises(ValueError, match=rf"^Invalid parameter '{parameter}' for estimator {name}\. Instead: "):
        CLASSES[name]().set_params(**{parameter: 1})


def test_the_solvers_of_the_table_exist():
    """What the advice writes as ``solver=...`` can be made."""
    calls = re.findall(r"`(?:solver=)?((?:SGD|Momentum|Clip)\([^`]*\))`", str(PARAMETERS))
    assert len(calls) >= 5
    for call in calls:
        # the dots stand for a name of the user's choice
        solver = eval(call.replace("...", '"inverse"'), vars(solvers))
        solvers.check_solver(solver)


@pytest.mark.parametrize("name", CLASSES)
def test_another_unknown_parameter_lists_the_known_ones(name):
    with pytest.raises(TypeError, match=r"'max_iters'\. Did you mean 'max_iter'\? Its parameters are .*max_iter"):
        CLASSES[name](max_iters=3)
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'qqqq'\. Its parameters are"):
        CLASSES[name](qqqq=3)
    assert_refused(r"'max_iters' .* Did you mean 'max_iter'\?", CLASSES[name]().set_params, max_iters=3)


@pytest.mark.parametrize("name", [n for n, s in solvers.SOLVERS.items() if "learning_rate" in s().get_params()])
def test_unknown_options_of_solver_objects(name):
    solver = solvers.SOLVERS[name]
    message = r"'learningrate'\. Did you mean 'learning_rate'\? Its parameters are .*learning_rate"
    assert_refused(message, solver, learningrate=0.1, error=TypeError)
    assert_refused(r"'lr'\. Instead: learning_rate\.", solver, lr=0.1, error=TypeError)
    assert clone(solver(precondition=None)).get_params() == solver(precondition=None).get_params()
    assert set(inspect.signature(solver).parameters) == set(solver().get_params())


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_unknown_argument_of_fit_names_the_class(name, method):
    model = CLASSES[name](theta=1.0) if name == "NegativeBinomialRegressor" else CLASSES[name]()
    if name in ("OrdinalClassifier", "QuantileRegressor") and method == "partial_fit":
        assert not hasattr(model, method)
        return
    with pytest.raises(TypeError, match=rf"^{name}\.{method}\(\) .* Did you mean .*'sample_weight'.*\? Its arg"):
        getattr(model, method)([[0.0], [1.0]], [0, 1], sample_weights=[1, 1])
    with pytest.raises(TypeError, match=rf"^{name}\.{method}\(\) got .* 'freq_weights'\. Instead: sample_weight"):
        getattr(model, method)([[0.0], [1.0]], [0, 1], freq_weights=[1, 1])


@pytest.mark.parametrize(
    ("name", "argument", "advice"),
    [
        ("PoissonRegressor", "offsets", r"Did you mean 'offset'\?"),
        ("LogisticRegression", "coef_init", "warm_start=True of the estimator"),
        ("MLPRegressor", "offset", "a network has no offset"),
        ("GammaRegressor", "exposure", r"offset=np\.log\(exposure\)"),
        ("MLPClassifier", "classes", "partial_fit takes classes"),
        ("MLPRegressor", "eval_set", "early_stopping=True"),
    ],
)
def test_arguments_of_fit_that_others_have(name, argument, advice):
    assert_refused(advice, CLASSES[name]().fit, [[0.0], [1.0]], [0, 1], **{argument: [1, 1]}, error=TypeError)


@pytest.mark.parametrize("name", CLASSES)
def test_the_signature_stays_that_of_the_class(name):
    ours = CLASSES[name]
    parameters = inspect.signature(ours).parameters
    assert "self" not in parameters
    assert set(parameters) == set(ours().get_params())
    assert all(p.kind is not p.VAR_KEYWORD for p in parameters.values())
    assert "sample_weight" in inspect.signature(ours.fit).parameters
    model = ours(tol=1e-3)
    assert clone(model).get_params() == model.get_params() == pickle.loads(pickle.dumps(model)).get_params()


class Mine(linear_model.LogisticRegression):
    """A subclass of the user, with a parameter more."""

    def __init__(self, C=1.0, *, mine=1):
        super().__init__(C)
        self.mine = mine


class Stranger(linear_model.Ridge):
    """A subclass that takes what it does not know, which is its own affair."""

    def __init__(self, alpha=1.0, **others):
        super().__init__(alpha)
        self.others = others


def test_subclasses_of_the_user():
    assert clone(Mine(mine=3)).get_params() == {"C": 1.0, "mine": 3}
    assert_refused(r"^Mine\(\) .* 'penalty'\. Instead: the penalty is always L2", Mine, penalty="l1", error=TypeError)
    assert_refused(r"Its parameters are C, mine", Mine, qqqq=1, error=TypeError)
    assert Stranger(qqqq=1).others == {"qqqq": 1}


WARNING_CALLS = {
    "fit": lambda model, X, y: model.fit(X, y),
    "partial_fit": lambda model, X, y: model.partial_fit(X, y, ["no", "yes"]),
    "predict": lambda model, X, y: model.predict(X),
    "predict_proba": lambda model, X, y: model.predict_proba(X),
    "pipeline": lambda model, X, y: make_pipeline(model).fit(X, y),
}


@pytest.mark.parametrize("call", WARNING_CALLS)
def test_warnings_point_at_the_first_line_outside_of_the_package(call, rng):
    X = raw_table(rng)
    y = target("LogisticRegression", X, rng)
    model = linear_model.LogisticRegression(max_iter=1, solver="momentum", random_state=0)
    if "predict" in call:
        model.set_params(max_iter=1000, solver="auto").fit(X, y, offset=np.zeros(len(X)))
    with pytest.warns(UserWarning, match="LogisticRegression: ") as caught:
        WARNING_CALLS[call](model, X, y)
    here = "pipeline.py" if call == "pipeline" else Path(__file__).name
    assert {Path(warning.filename).name for warning in caught} == {here}


# -- weights of the penalty by the names of columns -------------------------------------------------------------------

PENALISED = [name for name in ESTIMATORS if name != "LinearRegression"]


def framed(name, rng):
    X = raw_table(rng, n=80, p=3)
    return pd.DataFrame(X, columns=["age", "income", "size"]), target(name, X, rng)


@pytest.mark.parametrize("name", PENALISED)
def test_penalty_weights_by_name_are_those_by_position(name, rng):
    X, y = framed(name, rng)
    by_name = ESTIMATORS[name].set_params(penalty_weights={"size": 0, "age": 2.5}).fit(X, y)
    by_position = ESTIMATORS[name].set_params(penalty_weights=[2.5, 1, 0]).fit(X, y)
    np.testing.assert_array_equal(by_name.coef_, by_position.coef_)


@pytest.mark.parametrize(
    "weights",
    [
        pd.Series({"size": 0.0, "age": 2.5}),
        pd.Series([2.5, 1.0, 0.0], index=[7, 8, 9]),
        {"income": 1, "size": np.float32(0), "age": np.int64(3) - 0.5},
    ],
    ids=["series by name", "series by position", "numpy numbers"],
)
@pytest.mark.parametrize("container", ["frame", "blocks"])
def test_penalty_weights_in_other_containers(weights, container, rng):
    X, y = framed("Ridge", rng)
    expected = linear_model.Ridge(penalty_weights=[2.5, 1, 0], tol=1e-8).fit(X, y)
    data = (X, y) if container == "frame" else (Blocks([(X[:30], y[:30]), (X[30:], y[30:])]),)
    model = linear_model.Ridge(penalty_weights=weights, tol=1e-8).fit(*data)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-6)


def test_penalty_weights_by_name_in_a_stream(rng):
    X, y = framed("Ridge", rng)
    model = linear_model.Ridge(penalty_weights={"size": 0}, tol=1e-8)
    for part in (slice(0, 30), slice(30, 80)):
        model.partial_fit(X[part], y[part])
    whole = linear_model.Ridge(penalty_weights=[1, 1, 0], tol=1e-8).fit(X, y)
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-6)


@pytest.mark.parametrize("name", ["Ridge", "LogisticRegression"])
@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ({"ages": 0}, ValueError, r"the column 'ages', .* Did you mean 'age'\? The columns are age, income, size"),
        ({0: 0}, ValueError, r"names the column 0, which X does not have\. The columns are age, income, size"),
        ({"age": "none"}, TypeError, "must be numbers, got 'none' for the column 'age'"),
        ({"age": -1}, ValueError, "penalty_weights must not be negative"),
        ({"age": np.nan}, ValueError, "penalty_weights contains NaN"),
        ("age", TypeError, "penalty_weights must be numbers, one for each column, or a dict"),
        (["age"], TypeError, "penalty_weights must be numbers, one for each column, or a dict"),
        ({"age"}, TypeError, "penalty_weights must be numbers, one for each column, or a dict"),
    ],
)
def test_bad_penalty_weights_by_name(name, weights, error, message, rng):
    X, y = framed(name, rng)
    assert_refused(message, ESTIMATORS[name].set_params(penalty_weights=weights).fit, X, y, error=error)


def test_names_need_a_frame(rng):
    X, y = framed("Ridge", rng)
    with pytest.raises(ValueError, match="X must be a data frame with column names"):
        linear_model.Ridge(penalty_weights={"age": 0}).fit(X.to_numpy(), y)


# -- flat directions are data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_copies", [1, 5, 6, 9])
def test_all_flat_directions_are_in_the_data_and_five_in_the_message(n_copies, rng):
    base = rng.normal(size=(60, 2))
    X = np.hstack([base, base[:, :1] * (1.0 + np.arange(1, n_copies + 1))])
    y = rng.poisson(1.0, size=60).astype(float)
    model, told = convergence_warnings(lambda: linear_model.PoissonRegressor(alpha=0).fit(X, y))
    flat = model.convergence_.flat_directions
    assert len(flat) == n_copies
    assert all(" = " in direction for direction in flat)
    assert sum(direction in told[0] for direction in flat) == min(n_copies, 5)
    assert (f" and {n_copies - 5} more" in told[0]) == (n_copies > 5)


def test_constant_columns_are_no_sentence_of_a_list(rng):
    """One-hot columns of two factors beside an intercept, for several targets and without a warning."""
    codes = rng.integers(0, 3, size=(90, 8))
    X = np.hstack([np.eye(3)[column] for column in codes.T])
    model = linear_model.LinearRegression().fit(X, rng.normal(size=(90, 2)))
    assert len(model.convergence_.flat_directions) == 8
    assert all("more" not in direction for direction in model.convergence_.flat_directions)
