"""scikit-learn's callbacks: every solver, every kind of estimator, what a callback sees, stops and breaks."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import get_scorer, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_hessian.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.neural_network import MLPClassifier, MLPRegressor
from sk_hessian.solvers import SGD, Newton
from tests.estimators import ALL_SOLVERS, ESTIMATORS, assert_refused, prediction, raw_table, target

callback = pytest.importorskip("sklearn.callback", reason="callbacks need scikit-learn 1.9")

SMALL = {"hidden_layer_sizes": (3,), "activation": "tanh", "alpha": 1.0, "random_state": 0}

#: name -> a network, and the estimator of `ESTIMATORS` that has such a target
NETWORKS = {
    "MLPRegressor": (MLPRegressor(**SMALL), "Ridge"),
    "MLPRegressor-huber": (MLPRegressor("huber", **SMALL), "HuberRegressor"),
    "MLPRegressor-poisson": (MLPRegressor("poisson", **SMALL), "PoissonRegressor"),
    "MLPClassifier": (MLPClassifier(**SMALL), "LogisticRegression"),
    "MLPClassifier-softmax": (MLPClassifier(**SMALL), "softmax"),
}
KINDS = {name: (model, name) for name, model in ESTIMATORS.items()} | NETWORKS

every_kind = pytest.mark.parametrize("kind", KINDS)
every_solver = pytest.mark.parametrize("solver", ALL_SOLVERS)
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Recorder:
    """Remembers what it is told; ``stops(context)`` is its answer, ``fails`` a hook and a task where it raises."""

    def __init__(self, stops=None, fails=None):
        self.stops, self.fails = stops, fails
        self.events, self.fitted, self.data = [], [], []

    def _hear(self, hook, context):
        self.events.append((hook, context.task_name, context.task_id))
        if (hook, context.task_name) == self.fails:
            raise RuntimeError(f"{hook} of {context.task_name} failed")

    def setup(self, estimator, context):
        self._hear("setup", context)

    def teardown(self, estimator, context):
        self._hear("teardown", context)

    def on_fit_task_begin(self, estimator, context):
        self._hear("begin", context)

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self._hear("end", context)
        self.data.append((X, y, metadata))
        self.fitted.append((context.task_name, fitted_estimator))
        return self.stops is not None and self.stops(context)

    def count(self, hook, task):
        return sum(event[:2] == (hook, task) for event in self.events)

    def iterates(self):
        """The estimators as of the ends of the iterations."""
        return [fitted for task, fitted in self.fitted if task == "iteration"]


class Spreading(Recorder):
    """A recorder that meta-estimators hand down to what they fit."""

    max_propagation_depth = None


def objectives(recorder, X, y, **rows):
    """Of the estimators that a recorder has seen."""
    points = [fitted.fitted_objective(X, y, **rows) for fitted in recorder.iterates()]
    return [objective.value_and_gradient(theta)[0] for objective, theta in points]


def at_iteration(number):
    return lambda context: context.task_name == "iteration" and context.task_id == number - 1


def problem(kind, rng, n=90):
    model, like = KINDS[kind]
    X = raw_table(rng, n=n, p=3)
    return clone(model), X, target(like, X, rng)


def n_iterations(model):
    return int(np.max(model.n_iter_))


# -- what is seen -----------------------------------------------------------------------------------------------------


@every_solver
@pytest.mark.parametrize("kind", ["Ridge", "softmax", "TweedieRegressor-identity", "HuberRegressor", "MLPClassifier"])
@quiet
def test_every_iteration_is_a_task_and_the_fit_is_the_same(kind, solver, rng):
    model, X, y = problem(kind, rng)
    model.set_params(solver=solver, random_state=0, max_iter=40)
    plain, recorder = clone(model).fit(X, y), Recorder()
    model.set_callbacks(recorder).fit(X, y)
    n = len(model.history_["iteration"]) - 1
    iterations = [(hook, "iteration", i) for i in range(n) for hook in ("begin", "end")]
    assert n == n_iterations(model) == n_iterations(plain) > 0
    whole = [("setup", "fit", 0), ("begin", "fit", 0), *iterations, ("end", "fit", 0), ("teardown", "fit", 0)]
    assert recorder.events == whole
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    assert model.convergence_ == plain.convergence_


@every_kind
@pytest.mark.parametrize("solver", ["lbfgs", Newton(), SGD(batch_size=None)], ids=str)
@quiet
def test_the_estimator_of_each_iteration_has_the_objective_of_the_history(kind, solver, rng):
    model, X, y = problem(kind, rng)
    recorder, weight = Recorder(), rng.uniform(0.5, 2, size=len(X))
    model.set_params(solver=solver, max_iter=10).set_callbacks(recorder).fit(X, y, sample_weight=weight)
    seen = objectives(recorder, X, y, sample_weight=weight)
    np.testing.assert_allclose(seen, model.history_["objective"][1:], rtol=1e-9)


class Beginnings(Recorder):
    """Keeps the estimators of the beginnings of iterations."""

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "iteration":
            self.fitted.append(("iteration", fitted_estimator))

    def on_fit_task_end(self, estimator, context):
        pass


def test_an_iteration_begins_where_the_last_one_ended(rng):
    model, X, y = problem("softmax", rng)
    recorder = Beginnings()
    model.set_params(solver="newton").set_callbacks(recorder).fit(X, y)
    np.testing.assert_allclose(objectives(recorder, X, y), model.history_["objective"][:-1], rtol=1e-9)


def test_a_fit_that_begins_at_the_optimum_has_no_iteration(rng):
    model, X, y = problem("softmax", rng)
    recorder = Recorder()
    model.set_params(solver="newton", warm_start=True, tol=1e-10).fit(X, y).set_callbacks(recorder).fit(X, y)
    assert len(model.history_["iteration"]) == 1
    assert recorder.count("begin", "iteration") == 0
    assert n_iterations(model) == recorder.count("end", "fit") == 1


class Clock(Recorder):
    """Asks for nothing."""

    def on_fit_task_end(self, estimator, context):
        self._hear("end", context)


@every_kind
def test_what_no_callback_asks_for_is_not_made(kind, rng, monkeypatch):
    """An estimator with the coefficients of each iteration."""
    model, X, y = problem(kind, rng)
    coef, made, plain = "coefs_" if kind in NETWORKS else "coef_", [], object.__setattr__

    def counted(self, name, value):
        made.append(name)
        plain(self, name, value)

    monkeypatch.setattr(type(model), "__setattr__", counted, raising=False)
    clone(model).fit(X, y)
    once, clock = made.count(coef), Clock()
    model.set_callbacks(clock).fit(X, y)
    assert clock.count("end", "iteration") == n_iterations(model)
    assert made.count(coef) == 2 * once == 2
    recorder = Recorder()
    model.set_callbacks(recorder).fit(X, y)
    assert made.count(coef) >= 3 * once + n_iterations(model)


@quiet
def test_a_diverged_iterate_has_no_fitted_estimator(rng):
    X = rng.normal(size=(50, 3))
    recorder = Recorder()
    model = PoissonRegressor(solver=SGD(learning_rate=1e6, batch_size=None, precondition=None), max_iter=20)
    model.set_callbacks(recorder).fit(X, rng.poisson(3, size=50))
    assert model.convergence_.status == "diverged"
    finite = np.isfinite(model.history_["objective"][1:])
    assert not finite.all()
    assert [fitted is not None for fitted in recorder.iterates()] == finite.tolist()


def test_callbacks_see_the_rows_as_they_were_passed(rng):
    X = pd.DataFrame(raw_table(rng), columns=list("abcd"))
    y, weight = pd.Series(target("LogisticRegression", X.to_numpy(), rng)), rng.uniform(size=len(X))
    recorder = Recorder()
    model = LogisticRegression().set_callbacks(recorder).fit(X, y, sample_weight=weight)
    assert all(X is seen[0] and y is seen[1] for seen in recorder.data)
    assert all(seen[2]["sample_weight"] is weight for seen in recorder.data)
    assert set(recorder.iterates()[0].predict(X)) <= set(model.classes_)
    model.fit(X, y, sample_weight=2.0)
    assert recorder.data[-1][2] is None


# -- scores in mid-fit ------------------------------------------------------------------------------------------------


@every_kind
def test_a_score_of_every_iteration(kind, rng):
    model, X, y = problem(kind, rng)
    weight = rng.uniform(0.5, 2, size=len(X))
    scoring = "neg_log_loss" if hasattr(model, "predict_proba") else "neg_mean_squared_error"
    monitor = callback.ScoringMonitor(scoring=scoring)
    model.set_params(tol=1e-7).set_callbacks(monitor).fit(X, y, sample_weight=weight)
    scores = {"iteration": [], "fit": []}
    for row in monitor.get_logs().data:
        scores[row["task_name"]].append(row[scoring])
    expected = get_scorer(scoring)(model, X, y, sample_weight=weight)
    assert scores["fit"] == [expected]
    assert len(scores["iteration"]) == n_iterations(model)
    assert scores["iteration"][-1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}], ids=str)
def test_scores_of_several_labels(options):
    X, y = make_multilabel_classification(120, 5, n_classes=3, random_state=0)
    monitor = callback.ScoringMonitor(scoring=["accuracy", "f1_macro"])
    model = MLPClassifier(**SMALL, **options).set_callbacks(monitor).fit(X, y)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "iteration"]
    assert len(rows) == n_iterations(model)
    if model.convergence_.status == "optimal":
        assert rows[-1]["accuracy"] == model.score(X, y)
    else:  # the weights are those of the best validation score
        assert model.score(X, y) in [row["accuracy"] for row in rows]


def test_a_metric_that_knows_no_offset_is_scored_without_it_and_says_so(rng):
    X, y = rng.normal(size=(60, 2)), rng.poisson(2.0, 60).astype(float)
    monitor = callback.ScoringMonitor(scoring="r2")
    with pytest.warns(UserWarning, match="it was fitted with an offset, and is used here without"):
        model = PoissonRegressor().set_callbacks(monitor).fit(X, y, offset=np.full(60, 0.5))
    without = model.predict(X, offset=np.zeros(60))
    assert monitor.get_logs().data[-1]["r2"] == r2_score(y, without)


def test_callbacks_are_told_of_an_offset_that_the_score_asks_for(rng):
    X, y, offset, recorder = rng.normal(size=(60, 2)), rng.poisson(2.0, 60), rng.normal(size=60), Recorder()
    PoissonRegressor().set_callbacks(recorder).fit(X, y, offset=offset)
    assert recorder.data[-1][2] is None
    with config_context(enable_metadata_routing=True):
        PoissonRegressor().set_score_request(offset=True).set_callbacks(recorder).fit(X, y, offset=offset)
    assert recorder.data[-1][2]["offset"] is offset


# -- stops ------------------------------------------------------------------------------------------------------------


@every_solver
@pytest.mark.parametrize("kind", ["softmax", "PoissonRegressor", "HuberRegressor", "MLPRegressor"])
def test_a_request_to_stop_is_honoured_without_a_warning(kind, solver, rng):
    model, X, y = problem(kind, rng)
    model.set_params(solver=solver, random_state=0, tol=1e-9).set_callbacks(Recorder(stops=at_iteration(2))).fit(X, y)
    assert n_iterations(model) == 2
    assert model.convergence_.status == "stopped"
    assert "A callback asked for it." in model.convergence_.message
    assert np.isfinite(prediction(model, X) if kind == "softmax" else model.predict(X)).all()


def test_a_stopped_fit_does_not_claim_that_its_predictions_are_optimal(rng):
    X = rng.normal(size=(60, 2))
    X = np.column_stack([X, X.sum(axis=1)])
    y = rng.poisson(np.exp(X[:, 0])).astype(float)
    model = PoissonRegressor(alpha=0, solver="lbfgs", tol=1e-9).set_callbacks(Recorder(stops=at_iteration(1)))
    model.fit(X, y)
    assert (model.convergence_.status, len(model.convergence_.flat_directions)) == ("stopped", 1)


def test_the_answers_of_all_callbacks_count(rng):
    model, X, y = problem("MLPRegressor", rng)
    first, second = Recorder(stops=at_iteration(3)), Recorder()
    model.set_callbacks(first, second).fit(X, y)
    assert first.events[1:] == second.events[1:]
    assert n_iterations(model) == 3


# -- networks: starts, held-out rows, parts ---------------------------------------------------------------------------


def test_starts_are_tasks_with_iterations_of_their_own(rng):
    model, X, y = problem("MLPRegressor", rng)
    recorder = Recorder()
    model.set_params(n_init=3).set_callbacks(recorder).fit(X, y)
    starts = [event[2] for event in recorder.events if event[:2] == ("end", "start")]
    assert starts == [0, 1, 2]
    ends = [i for i, (task, _) in enumerate(recorder.fitted) if task == "start"]
    lengths = np.diff([-1, *ends]) - 1
    assert n_iterations(model) in lengths
    scores = [fitted.score(X, y) for task, fitted in recorder.fitted if task == "start"]
    assert min(abs(model.score(X, y) - score) for score in scores) <= 1e-12


@pytest.mark.parametrize(
    ("stops", "n_starts"), [(lambda context: context.task_name == "start", 1), (at_iteration(2), 3)]
)
def test_a_stop_ends_the_level_that_it_is_asked_at(stops, n_starts, rng):
    model, X, y = problem("MLPRegressor", rng)
    recorder = Recorder(stops=stops)
    model.set_params(n_init=3).set_callbacks(recorder).fit(X, y)
    assert recorder.count("begin", "start") == recorder.count("end", "start") == n_starts
    assert (n_iterations(model) == 2) == (n_starts == 3)


@pytest.mark.parametrize("number", [2, 10_000])
def test_callbacks_beside_early_stopping(number, rng):
    model, X, y = problem("MLPClassifier", rng)
    recorder = Recorder(stops=at_iteration(number))
    model.set_params(early_stopping=True, solver="sgd", tol=1e-3).set_callbacks(recorder).fit(X, y)
    assert recorder.count("end", "iteration") == n_iterations(model) == len(model.validation_scores_)
    assert model.convergence_.status in ("stopped", "optimal")
    assert (n_iterations(model) == 2) == (number == 2)


def test_partial_fit_tells_callbacks_nothing(rng):
    model, X, y = problem("MLPRegressor", rng)
    recorder = Recorder()
    model.set_callbacks(recorder).partial_fit(X, y)
    assert recorder.events == []


# -- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fails", [("setup", "fit"), ("begin", "fit"), ("begin", "iteration"), ("end", "iteration"), ("end", "fit")], ids=str
)
@pytest.mark.parametrize("kind", ["Ridge", "HuberRegressor", "MLPClassifier"])
def test_a_failing_callback_is_torn_down_and_the_estimator_restored(kind, fails, rng):
    model, X, y = problem(kind, rng)
    recorder = Recorder(fails=fails)
    model.fit(X, y).set_callbacks(recorder)
    before = dict(vars(model))
    assert_refused(f"{fails[0]} of {fails[1]} failed", model.fit, X[::2], y[::2], error=RuntimeError)
    assert recorder.events[-1] == ("teardown", "fit", 0)
    after = vars(model)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


def test_a_callback_that_fails_in_its_teardown(rng):
    model, X, y = problem("Ridge", rng)
    first, second = Recorder(fails=("teardown", "fit")), Recorder()
    model.set_callbacks(first, second)
    before = dict(vars(model))
    assert_refused("teardown of fit failed", model.fit, X, y, error=RuntimeError)
    assert second.count("teardown", "fit") == 1
    assert vars(model) == before


def test_bad_data_tears_callbacks_down(rng):
    model, X, y = problem("Ridge", rng)
    recorder = Recorder()
    model.set_callbacks(recorder)
    assert_refused("Input X contains NaN", model.fit, np.full_like(X, np.nan), y)
    assert [event[0] for event in recorder.events] == ["setup", "begin", "teardown"]
    assert_refused("alpha must be", model.set_params(alpha=-1).fit, X, y)
    assert len(recorder.events) == 3
    assert set(vars(model)) == set(model.get_params()) | {"_skl_callbacks"}


def test_only_callbacks_can_be_set():
    assert_refused("FitCallback protocol", Ridge().set_callbacks, print, error=TypeError)


# -- without callbacks, and without the protocol ----------------------------------------------------------------------


OLD = """
import sys, warnings
import numpy as np
import sklearn.linear_model, sklearn.model_selection, sklearn.pipeline
sys.modules["sklearn.callback"] = None  # as if it were not there
warnings.simplefilter("error")
from sk_hessian.linear_model import LogisticRegression, Ridge
from sk_hessian.neural_network import MLPRegressor
X = np.random.default_rng(0).normal(size=(60, 2))
network = MLPRegressor(hidden_layer_sizes=(2,), alpha=1.0, activation="tanh", n_init=2, random_state=0)
for model in (Ridge(), LogisticRegression(), network):
    assert not hasattr(model, "set_callbacks")
    y = X[:, 0] > 0 if isinstance(model, LogisticRegression) else X[:, 0]
    assert model.fit(X, y).convergence_.status == "optimal", model.convergence_
    sklearn.base.clone(model).fit(X, y)
print("fitted")
"""


def test_a_scikit_learn_without_callbacks():
    done = subprocess.run([sys.executable, "-c", OLD], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.strip(), done.returncode) == ("fitted", 0), done.stderr


# -- inside scikit-learn's tools --------------------------------------------------------------------------------------


def test_refits_clones_and_pickles_keep_callbacks(rng):
    model, X, y = problem("HuberRegressor", rng)
    recorder = Recorder()
    model.set_callbacks(recorder).fit(X, y)
    n = len(recorder.events)
    clone(model).fit(X, y), model.fit(X, y)
    assert recorder.events == 3 * recorder.events[:n]
    recorder.fitted.clear()
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    copy.fit(X, y)  # and speaks to a recorder of its own
    assert len(recorder.events) == 3 * n


def test_threads_share_a_callback(rng):
    model, X, y = problem("softmax", rng)
    recorder = Recorder()
    model.set_callbacks(recorder)
    with ThreadPoolExecutor(4) as pool:
        fits = list(pool.map(lambda _: clone(model).fit(X, y), range(8)))
    assert recorder.count("end", "iteration") == sum(map(n_iterations, fits))
    assert recorder.count("setup", "fit") == recorder.count("teardown", "fit") == 8


def test_a_grid_of_estimators_that_have_a_callback(rng):
    model, X, y = problem("Ridge", rng)
    monitor, recorder = callback.ScoringMonitor(scoring="r2"), Recorder()
    grid = GridSearchCV(model.set_callbacks(monitor, recorder), {"alpha": [0.1, 10.0]}, cv=3).fit(X, y)
    assert recorder.count("setup", "fit") == recorder.count("teardown", "fit") == 2 * 3 + 1
    fits = {row["task_id_path"]: row["r2"] for row in monitor.get_logs().data if row["task_name"] == "fit"}
    assert len(fits) == 2 * 3 + 1
    assert fits[min(fits, key=len)] == grid.best_estimator_.score(X, y)  # the refit is not below the search
    assert not hasattr(grid.best_estimator_, "_parent_callback_ctx")


def test_a_callback_of_a_grid_reaches_the_estimators_in_its_pipelines(rng):
    model, X, y = problem("PoissonRegressor", rng)
    recorder = Spreading()
    pipeline = make_pipeline(StandardScaler(), model)
    grid = GridSearchCV(pipeline, {"poissonregressor__alpha": [0.1, 1.0]}, cv=2)
    grid.set_callbacks(recorder).fit(X, y)
    assert recorder.count("end", "iteration") >= 2 * 2 + 1
    assert recorder.events.count(("setup", "fit", 0)) == 1
    assert not hasattr(grid.best_estimator_[-1], "_skl_callbacks")
    with pytest.raises(TypeError, match="can't have auto-propagated callbacks"):
        make_pipeline(Ridge().set_callbacks(Spreading())).fit(X, y)


@quiet
@pytest.mark.parametrize("n_init", [1, 2])
def test_a_progress_bar(n_init, rng, capsys):
    pytest.importorskip("rich")
    model, X, y = problem("MLPRegressor", rng)
    model.set_params(n_init=n_init).set_callbacks(callback.ProgressBar()).fit(X, y)
    shown = capsys.readouterr().out
    assert "MLPRegressor - fit" in shown
    assert shown.count("100%") >= (1 if n_init == 1 else 3)
    assert ("MLPRegressor - start #1" in shown) == (n_init == 2)
