"""Codes of levels give the sums that their columns of zeros and ones give."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from sk_hessian.objectives import CodeTable, Layout
from sk_hessian.objectives.rows import Columns, Rare, code_table, codes, rows_of, stacked, table

N, SIZES, HAS_NONE = 211, (4, 3, 5), (True, False, True)


@pytest.fixture(params=["no numbers", "dense", "sparse", "values"])
def tables(request, rng, monkeypatch):
    """Codes of three factors, some rows without a level of the first or the last, beside numbers of each kind.

    Two of them share a code. And the same with a column for each level.
    """
    monkeypatch.setattr(code_table, "MOST_CELLS", 20)
    valued = int(request.param == "values")
    factors = [rng.integers(size + none, size=N) for size, none in zip(SIZES, HAS_NONE, strict=True)]
    values = [rng.normal(size=N)] * valued
    numbers = rng.normal(size=(N, 2)) * [1, 50] + [3, 2000]
    if request.param == "no numbers":
        numbers = np.empty((N, 0))
    if request.param == "sparse":
        numbers = sp.random_array((N, 3), density=0.3, format="csr", rng=rng)
    columns = [(code[:, None] == np.arange(size)).astype(float) for code, size in zip(factors, SIZES, strict=True)]
    columns[-1] = columns[-1] * values[0][:, None] if valued else columns[-1]
    layout = Layout(SIZES, HAS_NONE, valued)
    assert len(layout.groups) == 2
    X = CodeTable.of(numbers, layout, factors, values)
    return X, np.hstack([numbers.toarray() if sp.issparse(numbers) else numbers, *columns])


@pytest.fixture
def both(tables, rng):
    """The rows by codes and by columns."""
    y, weight = rng.normal(size=N), rng.uniform(0.1, 2, size=N)
    return [rows_of(X, y, weight) for X in tables]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(codes, "CODE_ROWS", 50)
    monkeypatch.setattr(codes, "PAIR_ROWS", 64)
    monkeypatch.setattr(table, "BLOCK_BYTES", 8 * 400)


def agree(both, function, columns=None):
    found, expected = (rows.fold(function, columns) for rows in both)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


@pytest.mark.parametrize("order", ["C", "F"])
def test_products(both, rng, order):
    V = np.asarray(rng.normal(size=(both[0].n_features, 3)), order=order)
    for v in (V, V[:, 0]):
        agree(both, lambda block, y, weight, v=v: (block.adjoint(block.forward(v)), block.adjoint(block.sizes(v))))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("rank", [None, 3])
def test_grams_squares_and_triangles(both, rng, fit_intercept, rank):
    p = both[0].n_features
    basis = None if rank is None else rng.normal(size=(p + fit_intercept, rank))
    units = Columns(rng.normal(size=p), rng.uniform(0.5, 2, size=p), fit_intercept, basis)
    for columns in (units, units.summed_in, Columns.raw(p, fit_intercept)):
        agree(
            both,
            lambda block, y, weight, columns=columns: (
                block.gram(np.column_stack([weight, y]), columns),
                block.squares(np.column_stack([weight, y]), columns),
            ),
            columns,
        )
    found, expected = (rows.triangle(lambda block, *_: block.standardised(units), units) for rows in both)
    np.testing.assert_allclose(found.T @ found, expected.T @ expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_moments_norms_and_deviations(both, rng, fit_intercept):
    for found, expected in zip(*(rows.moments(fit_intercept) for rows in both), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    p = both[0].n_features
    which = np.arange(1, p, 2)
    rare = [Rare(which, np.full(p, 0.2), np.full(p, 3.0), None).weighted_norms(rows) for rows in both]
    np.testing.assert_allclose(*rare, rtol=1e-9, atol=1e-9)
    unit = rng.uniform(1, 2, size=len(which))
    # sums over sparse numbers are about zero
    shift = rng.normal(size=len(which)) * (not sp.issparse(both[0].X.numbers))
    agree(both, lambda block, y, weight: block.deviations(weight, shift, unit, which))
    assert set(both[0].rare_columns()) >= set(range(p - sum(SIZES), p))


def test_a_level_of_all_rows_or_of_none_does_not_vary():
    X = CodeTable.of(np.empty((1000, 0)), Layout([2], [False]), [np.zeros(1000, dtype=int)])
    rows = rows_of(X, np.zeros(1000), np.linspace(0.1, 1, 1000))
    centre, deviation = rows.moments(True)
    assert deviation.tolist() == [0, 0]
    np.testing.assert_allclose(centre, [1, 0], rtol=1e-12)


def test_rows_are_taken_joined_and_pickled(both, rng):
    which = rng.permutation(N)[:40]
    again = stacked([rows.take(which) for rows in both[:1] * 2])
    ones = [rows.gather(lambda block, y, weight: block.dense()) for rows in (again, both[1].take(which))]
    np.testing.assert_array_equal(ones[0], np.concatenate([ones[1]] * 2))
    copy = pickle.loads(pickle.dumps(both[0]))
    agree([copy, both[1]], lambda block, y, weight: (block.adjoint(weight),))


def test_nothing_has_an_entry_for_each_level_of_each_row(monkeypatch):
    """No array of a pass, a product of columns or a sample has rows times levels numbers."""
    n, p = 3000, 2000
    rng = np.random.default_rng(0)
    of_levels = [rng.integers(1000, size=n) for _ in range(2)]
    X = CodeTable.of(np.empty((n, 0)), Layout([1000, 1000], [False, False]), of_levels)
    rows = rows_of(X, np.zeros(n), np.ones(n))
    monkeypatch.setattr(codes.CodedBlock, "dense", None)
    rows.moments(True)
    rows.fold(lambda block, y, weight: (block.gram(weight[:, None], Columns.raw(p, True)),), Columns.raw(p, True))
    rare = Rare(rows.rare_columns(), np.zeros(p), np.ones(p), None)
    some, chance = rows.draw(300, rare, 0)
    assert 200 < some.n_rows < 400
    assert chance.min() > 0
