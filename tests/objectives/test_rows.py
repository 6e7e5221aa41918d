import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from sk_hessian.objectives.rows import Columns, rows_of, sparse, table, weighted_grams

N, P = 101, 4


@pytest.fixture
def data(rng):
    X = rng.normal(size=(N, P)) * [1, 100, 1e-3, 1] + [0, 5, 0, -2]
    X[rng.uniform(size=X.shape) < 0.3] = 0
    return X, rng.normal(size=N), rng.uniform(0.1, 2, size=N)


@pytest.fixture(params=["dense", "fortran", "csr", "float32", "memmap"])
def rows(request, data, tmp_path):
    X, y, weight = data
    if request.param == "memmap":
        mapped = np.memmap(tmp_path / "X", dtype=float, mode="w+", shape=X.shape)
        mapped[:] = X
        mapped.flush()
        X = np.memmap(tmp_path / "X", dtype=float, mode="r", shape=X.shape)
    make = {"fortran": np.asfortranarray, "csr": sp.csr_array, "float32": np.float32}.get(request.param, lambda X: X)
    return rows_of(make(X), y, weight)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(table, "BLOCK_BYTES", 8 * P * 7)
    monkeypatch.setattr(table, "PASS_BYTES", 8 * P * 7)


def columns(fit_intercept=True, basis=None):
    return Columns(np.array([0.1, 2.0, 0.0, -1.0]), np.array([1.0, 50.0, 1e-3, 3.0]), fit_intercept, basis)


def dense(rows):
    X = rows.X.toarray() if rows.sums_about_zero else np.asarray(rows.X)
    return X.astype(float)


def test_blocks_cover_every_row_once(rows, small_blocks):
    blocks = list(rows.blocks())
    assert rows.sums_about_zero or len(blocks) > 10
    np.testing.assert_array_equal(np.concatenate([y for _, y, _ in blocks]), rows.y)
    np.testing.assert_array_equal(np.concatenate([w for _, _, w in blocks]), rows.weight)


def test_fold_adds_up_products_with_the_rows(rows, small_blocks, rng):
    V, X = rng.normal(size=(P, 2)), dense(rows)
    total = rows.fold(lambda block, y, weight: (block.adjoint(block.forward(V) * weight[:, None]), weight.sum()))
    np.testing.assert_allclose(total[0], X.T @ (rows.weight[:, None] * (X @ V)), rtol=1e-6, atol=1e-9)
    assert total[1] == pytest.approx(rows.weight.sum())


def test_products_by_columns_are_those_by_rows(rows, small_blocks, rng):
    V = rng.normal(size=(P, 3))
    by_rows, by_columns = (
        rows.fold(lambda block, y, weight, V=V: (block.adjoint(block.forward(V)),))[0]
        for V in (V, np.asfortranarray(V))
    )
    np.testing.assert_allclose(by_columns, by_rows, rtol=1e-6, atol=1e-9)


def test_blocks_of_many_entries_have_the_gram_of_all(rng):
    X = sp.random_array((50_000, 30), density=0.9, format="csr", rng=rng)
    weight = rng.random(50_000)
    rows = rows_of(X, np.zeros(50_000), weight)
    raw = Columns.raw(30, False)
    gram = rows.fold(lambda block, y, weight: (block.gram(weight[:, None], raw),), raw)[0][0]
    assert rows.block_size(raw, 0) < 50_000
    np.testing.assert_allclose(gram, X.T @ (weight[:, None] * X.toarray()), rtol=1e-9)


def test_gather_keeps_the_order(rows, small_blocks, rng):
    V = rng.normal(size=(P, 2))
    np.testing.assert_allclose(rows.gather(lambda block, y, weight: block.forward(V)), dense(rows) @ V, rtol=1e-6)


def test_what_a_function_needs_for_each_row_makes_blocks_smaller(rows, monkeypatch):
    monkeypatch.setattr(table, "BLOCK_BYTES", 8 * (P + 16) * 10)
    monkeypatch.setattr(sparse, "BLOCK_BYTES", 8 * (16 + 1) * 10)
    sizes = []
    gathered = rows.gather(lambda block, y, weight: sizes.append(len(y)) or y, width=16)
    assert sizes == [len(y) for _, y, _ in rows.blocks(width=16)] == [10] * 10 + [1]
    np.testing.assert_array_equal(gathered, rows.y)
    assert len(list(rows.blocks())) < 11


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("rank", [None, 3])
def test_grams_and_squares(rows, small_blocks, fit_intercept, rank, rng):
    q = P + fit_intercept
    c = columns(fit_intercept, None if rank is None else rng.normal(size=(q, rank)))
    Z = (dense(rows) - c.shift) / c.scale
    Z = np.column_stack([Z, np.ones(N)]) if fit_intercept else Z
    Z = Z if rank is None else Z @ c.basis
    expected = np.einsum("na,n,nb->ab", Z, rows.weight, Z)
    for within in (c, c.summed_in):
        grams = rows.fold(lambda block, y, weight, within=within: (block.gram(weight[:, None], within),), within)[0]
        grams = grams if within is c else c.turned(grams)
        np.testing.assert_allclose(grams[0], expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    if rank is None:
        squares = rows.fold(lambda block, y, weight: (block.squares(weight[:, None], c),), c)[0]
        np.testing.assert_allclose(squares[0], np.diag(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_moments(rows, small_blocks, fit_intercept):
    X, share = dense(rows), rows.weight / rows.weight.sum()
    centre, deviation = rows.moments(fit_intercept)
    mean = share @ X if fit_intercept else np.zeros(P)
    np.testing.assert_allclose(centre, mean, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(deviation, np.sqrt(share @ (X - mean) ** 2), rtol=1e-6)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e8 / 3, -1e-200])
def test_a_constant_column_deviates_by_exactly_zero(make, constant, rng):
    X = np.column_stack([np.full(N, constant), rng.normal(size=N)])
    _, deviation = rows_of(make(X), np.zeros(N), rng.uniform(0.1, 1, size=N)).moments(True)
    assert deviation[0] == 0
    assert deviation[1] > 0.5


def test_a_large_mean_costs_no_digits_of_the_deviation(rng):
    x = rng.normal(size=N)
    _, deviation = rows_of((x + 1e9)[:, None], np.zeros(N), np.ones(N)).moments(True)
    assert deviation[0] == pytest.approx(x.std(), rel=1e-6)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e300])
def test_squares_that_leave_the_floating_point_range(size, rng):
    x = rng.normal(size=N)
    _, deviation = rows_of((x * size)[:, None], np.zeros(N), np.ones(N)).moments(True)
    assert deviation[0] / size == pytest.approx(x.std(), rel=1e-9)


def test_take_selects_rows_of_everything(rows, rng):
    index = np.sort(rng.choice(N, 20, replace=False))
    part = rows.take(index)
    np.testing.assert_array_equal(dense(part), dense(rows)[index])
    np.testing.assert_array_equal(part.y, rows.y[index])
    np.testing.assert_array_equal(part.weight, rows.weight[index])


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("rank", [None, 3])
def test_weights_and_gradients_are_mapped_by_adjoint_maps(fit_intercept, rank, rng):
    q = P + fit_intercept
    c = columns(fit_intercept, None if rank is None else rng.normal(size=(q, rank)))
    z, gradient = rng.normal(size=(c.n_columns, 2)), rng.normal(size=(q, 2))
    assert (gradient * c.to_weights(z)).sum() == pytest.approx((c.transpose(gradient) * z).sum(), rel=1e-9)


def test_coordinates_predict_what_their_weights_predict(data, rng):
    X, _, _ = data
    c, z = columns(), rng.normal(size=(P + 1, 1))
    W = c.to_weights(z)
    standardised = np.column_stack([(X - c.shift) / c.scale, np.ones(N)])
    np.testing.assert_allclose(X @ W[:-1] + W[-1], standardised @ z, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_weighted_grams_take_weights_of_both_signs(sign, rng):
    Z, w = rng.normal(size=(N, P)), rng.uniform(0.1, 1, size=(N, 2))
    w[0, 1] *= sign
    np.testing.assert_allclose(weighted_grams(Z, w), np.einsum("na,nm,nb->mab", Z, w, Z), rtol=1e-10, atol=1e-12)


def test_gather_takes_tuples_too(rows, small_blocks):
    y, weight = rows.gather(lambda block, y, weight: (y, weight))
    np.testing.assert_array_equal(y, rows.y)
    np.testing.assert_array_equal(weight, rows.weight)


def test_the_triangle_of_rows_has_their_gram(rows, small_blocks):
    X = dense(rows)
    R = rows.triangle(lambda block, y, weight: block.dense(), width=P)
    assert len(R) <= len(X)
    np.testing.assert_allclose(R.T @ R, X.T @ X, rtol=1e-9, atol=1e-9)


def test_sizes_are_of_terms(rows, small_blocks, rng):
    V = rng.uniform(size=P)
    sizes = rows.gather(lambda block, y, weight: block.sizes(V))
    np.testing.assert_allclose(sizes, np.abs(dense(rows)) @ V, rtol=1e-6)


def test_what_stands_in_for_rows_has_their_targets(rows, small_blocks):
    total = rows.standing_in(False).fold(lambda block, y, weight: (weight @ y,), width=2)[0]
    assert total == pytest.approx(rows.weight @ rows.y)


@pytest.mark.parametrize("kind", ["labels", "counts", "halves", "signed", "large", "offset"])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_many_labels_and_counts_are_a_few_targets(kind, make, rng):
    n = 20_000
    y = rng.integers({"labels": 2, "large": 5000}.get(kind, 9), size=n) / (2 if kind == "halves" else 1)
    y, weight = y - (kind == "signed"), rng.uniform(size=n)
    offset = np.ones((n, 1)) if kind == "offset" else None
    rows = rows_of(make(rng.normal(size=(n, 2))), y, weight, offset)
    values, weights = rows.targets
    assert len(values) == {"labels": 2, "counts": 9}.get(kind, n)
    for power in range(4):
        assert weights @ values**power == pytest.approx(weight @ y**power)
    stands = rows.standing_in(False)
    assert stands.n_rows == len(values)
    total = stands.fold(lambda block, y, weight: (weight @ np.exp(y / 5000),), width=1)[0]
    assert total == pytest.approx(weight @ np.exp(y / 5000))


def test_an_overflow_in_a_fold_does_not_warn(rows, small_blocks):
    with np.errstate(all="raise"):
        assert rows.fold(lambda block, y, weight: (np.exp(1e3 + y).sum(),))[0] == np.inf


def test_a_pickle_has_each_number_once(rows, rng):
    plain = len(pickle.dumps(rows))
    rows.gather(lambda block, y, weight: block.forward(np.ones(P)))
    assert len(pickle.dumps(rows)) <= plain + 100
