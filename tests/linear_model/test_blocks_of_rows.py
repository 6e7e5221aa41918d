"""Fits from blocks of rows are those from rows in memory."""

import pickle
import threading
import tracemalloc
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from sk_hessian.linear_model import HuberRegressor, LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sk_hessian.objectives import Blocks
from sk_hessian.solvers import SGD
from tests.estimators import ESTIMATORS, assert_refused, distance, raw_table, target

every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def table(name, rng, n=3000):
    X = raw_table(rng, n, 5)
    return X, target(name, X, rng), rng.uniform(0.5, 2, size=n)


def blocks(*arrays, n_blocks=7):
    """A source that cuts arrays into unequal blocks, an empty one among them."""
    n = arrays[0].shape[0]
    cuts = np.unique(np.linspace(0, np.sqrt(n), n_blocks + 1).astype(int) ** 2)
    cuts = np.r_[cuts[:3], cuts[2:-1], n]
    return Blocks(lambda: (tuple(a[i:j] for a in arrays) for i, j in pairwise(cuts)))


def assert_same_fit(model, other, tol=1e-8):
    """The same estimates, and as many rounds: but "auto" takes Newton's method where standardised rows are kept."""
    is_same_run = type(model.solver_) is type(other.solver_)
    for name in ("coef_", "thresholds_" if hasattr(model, "thresholds_") else "intercept_"):
        assert distance(getattr(model, name), getattr(other, name)) <= (tol if is_same_run else 1e-5)
    assert model.convergence_.status == other.convergence_.status
    # rows in memory need no product between two points of a line search, nor for how far predictors have moved since
    # the factor was taken, and the last digits differ
    passes = model.convergence_.passes
    assert (-2 if is_same_run else -passes) <= other.convergence_.passes - passes <= (3 if is_same_run else passes)


@every_estimator
@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs"])
def test_the_same_fit_and_the_same_number_of_rounds(name, solver, rng):
    X, y, weight = table(name, rng)
    fits = []
    for data in ((X, y, weight), (blocks(X, y, weight),)):
        fits.append(ESTIMATORS[name].set_params(solver=solver, tol=1e-8).fit(*data).__getstate__())
    memory, parted = (type("Fit", (), fit) for fit in fits)
    assert_same_fit(memory, parted)


@pytest.mark.parametrize("name", ["LogisticRegression", "softmax", "PoissonRegressor"])
@pytest.mark.parametrize("rare", [False, True])
def test_the_same_sketch_of_many_rows(name, rare, rng):
    X, y, _ = table(name, rng, 60_000)
    X = np.hstack([X, rng.normal(size=(len(X), 15))])
    if rare:
        X[:, -1] = rng.uniform(size=len(X)) < 0.002
    model = ESTIMATORS[name].set_params(solver="auto", tol=1e-8)
    memory = pickle.loads(pickle.dumps(model.fit(X, y)))
    assert_same_fit(memory, model.fit(blocks(X, y)))


@pytest.mark.parametrize("solver", ["sgd", "momentum", "clip"])
def test_first_order_solvers_take_all_rows(solver, rng):
    X, y, _ = table("PoissonRegressor", rng)
    model = PoissonRegressor(alpha=1e-3, solver=solver).fit(blocks(X, y))
    exact = PoissonRegressor(alpha=1e-3, tol=1e-8).fit(X, y)
    assert model.convergence_.status == "optimal"
    assert distance(model.predict(X), exact.predict(X)) < 1e-3


def test_sparse_blocks_and_float32(rng):
    X = sp.random_array((2000, 30), density=0.1, rng=rng, format="csr")
    y = X @ rng.normal(size=30) + rng.normal(size=2000)
    assert_same_fit(Ridge(tol=1e-8).fit(X, y), Ridge(tol=1e-8).fit(blocks(X, y)))
    X = rng.normal(size=(2000, 3)).astype(np.float32)
    # an array of float32 has coefficients of float32, blocks have not
    assert_same_fit(Ridge(tol=1e-8).fit(X, y), Ridge(tol=1e-8).fit(blocks(X, y)), tol=1e-7)


def test_several_targets_and_collinear_columns(rng):
    X = rng.normal(size=(500, 3))
    X = np.column_stack([X, X[:, 0] + 2 * X[:, 1] + 5])
    Y = X @ rng.normal(size=(4, 2)) + rng.normal(size=(500, 2))
    model, parted = LinearRegression().fit(X, Y), LinearRegression().fit(blocks(X, Y))
    assert_same_fit(model, parted)
    assert parted.rank_ == 3
    assert parted.convergence_.flat_directions == model.convergence_.flat_directions


def test_data_frames_give_names_and_labels_may_be_strings(rng):
    frame = pd.DataFrame(rng.normal(size=(300, 2)), columns=["age", "income"])
    y = np.where(frame["age"] + rng.normal(size=300) > 0, "yes", "no")
    model = LogisticRegression(class_weight="balanced").fit(blocks(frame, y))
    assert list(model.feature_names_in_) == ["age", "income"]
    assert list(model.classes_) == ["no", "yes"]
    assert_same_fit(LogisticRegression(class_weight="balanced").fit(frame, y), model)


def test_a_class_may_be_missing_in_some_blocks(iris):
    X, y = iris
    assert_same_fit(
        LogisticRegression().fit(X, y), LogisticRegression().fit(Blocks([(X[y == k], y[y == k]) for k in range(3)]))
    )


def test_separation_is_proved_over_all_blocks():
    X, y = np.arange(20.0)[:, None], np.arange(20) >= 8
    with pytest.warns(match="is separated from the rest by x0"):
        model = LogisticRegression(C=np.inf).fit(blocks(X, y, n_blocks=3))
    assert model.convergence_.status == "separated"


class Dataset:
    """What HDF5 and zarr arrays have in common: slices are read when they are asked for."""

    chunks = (100, 5)

    def __init__(self, path, X):
        self.path, self.shape, self.dtype = path, X.shape, X.dtype
        np.save(path, X)

    def __getitem__(self, rows):
        return np.array(np.load(self.path, mmap_mode="r")[rows])

    def __array__(self, *args, **options):
        raise MemoryError("the whole array was asked for")


def test_slices_of_an_array_on_disk(tmp_path, rng):
    X, y, weight = table("Ridge", rng)
    assert_same_fit(Ridge().fit(X, y, weight), Ridge().fit(Dataset(tmp_path / "table.npy", X), y, weight))


def test_the_next_block_is_read_on_another_thread(rng):
    readers = set()

    def source():
        for _ in range(3):
            readers.add(threading.current_thread())
            X = np.arange(10.0)[:, None]
            yield X, X[:, 0]

    LinearRegression().fit(Blocks(source))
    assert threading.current_thread() not in readers


def test_nothing_of_the_data_is_kept(rng):
    X, y, _ = table("HuberRegressor", rng, 20_000)
    model = HuberRegressor().fit(blocks(X, y))
    assert not hasattr(model, "outliers_")
    assert len(pickle.dumps(model)) < 20_000


# -- bad blocks ------------------------------------------------------------------------------------------------------


def bad(*parts):
    rows = np.arange(12.0).reshape(6, 2)
    return Blocks([(rows, np.arange(6.0)), *parts])


ROWS, TARGET = np.arange(12.0).reshape(6, 2) ** 2, np.arange(6.0)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ([(np.where(ROWS == 4, np.nan, ROWS), TARGET)], ValueError, "block 1: Input X contains NaN"),
        ([(ROWS, np.where(TARGET == 4, np.inf, TARGET))], ValueError, "block 1: Input y contains infinity"),
        ([(ROWS, TARGET), (ROWS[:, :1], TARGET)], ValueError, "X: block 2 has 1 columns, but block 0 has 2"),
        ([(ROWS, TARGET[:3])], ValueError, "block 1: Found input variables with inconsistent numbers of samples"),
        ([(ROWS, TARGET, -TARGET)], ValueError, "block 1: sample_weight must not be negative"),
        ([(ROWS, TARGET, TARGET[:2])], ValueError, "block 1: Found input variables with inconsistent"),
        ([None, (ROWS, TARGET)], ValueError, r"block 1 must be \(X, y\) or \(X, y, sample_weight\), got NoneType"),
        ([ROWS], ValueError, r"block 1 must be \(X, y\) or \(X, y, sample_weight\), got ndarray"),
        ([(pd.DataFrame(ROWS, columns=["a", "b"]), TARGET)], ValueError, "blocks 0 and 1 do not have the same columns"),
        ([(ROWS, np.stack([TARGET, TARGET], axis=1))], ValueError, "y: blocks 0 and 1 do not have the same number"),
    ],
)
def test_a_bad_block_is_named(parts, error, message):
    assert_refused(message, Ridge().fit, bad(*parts), error=error)


def test_a_target_out_of_range_is_found_in_its_block():
    with pytest.raises(ValueError, match="block 1: y must be non-negative for PoissonRegressor, got -3"):
        PoissonRegressor().fit(bad((ROWS, TARGET - 3)))


def test_a_block_that_cannot_be_read_is_named():
    def source():
        yield ROWS, TARGET
        raise OSError("disk gone")

    message = r"block 1 could not be read: OSError\('disk gone'\)"
    assert_refused(message, Ridge().fit, Blocks(source), error=RuntimeError)


def test_blocks_that_change_between_passes_are_noticed():
    passes = []

    def source():
        passes.append(1)
        yield ROWS[: 6 - len(passes)], TARGET[: 6 - len(passes)]

    assert_refused("block 0 has 4 rows, but had 5 before", Ridge().fit, Blocks(source))


def test_no_rows_at_all():
    assert_refused("X has no rows: every block is empty", Ridge().fit, Blocks([(ROWS[:0], TARGET[:0])]))
    assert_refused("X has no rows: every block is empty", Ridge().fit, Blocks([(ROWS, TARGET, 0 * TARGET)]))


def test_what_does_not_go_with_blocks_is_an_error():
    assert_refused("source can be read once only", Blocks, ((ROWS, TARGET) for _ in range(2)), error=TypeError)
    assert_refused("y and sample_weight must be None for blocks", Ridge().fit, bad(), TARGET)
    assert_refused("offset must be None for rows in parts", PoissonRegressor().fit, bad(), offset=TARGET)
    assert_refused("batch_size=2 needs rows in memory", Ridge(solver=SGD(batch_size=2)).fit, bad())
    assert_refused("requires y to be passed", Ridge().fit, ROWS)


def peak_of_blocks(n_blocks, size=5_000):
    """The most memory of a fit of blocks that are made as they are read, in blocks."""

    def source():
        for i in range(n_blocks):
            rng = np.random.default_rng(i)
            X = rng.standard_normal((size, 20))
            yield X, (X[:, 0] + rng.logistic(size=size) > 0).astype(float)

    tracemalloc.start()
    model = LogisticRegression(solver="newton").fit(Blocks(source))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert model.convergence_.status == "optimal"
    return peak / (size * 21 * 8)


def test_memory_is_that_of_two_blocks_whatever_their_number():
    """One in work and one being read, with what is computed from them; in blocks of 0.8 MB."""
    peaks = [peak_of_blocks(n_blocks) for n_blocks in (4, 16)]
    assert max(peaks) < 4
    assert peaks[1] < peaks[0] + 0.5
