"""Which container holds X: a new kind of rows in memory is a subclass of `Rows` and one line of `KINDS`."""

import numpy as np

from sk_hessian.objectives.rows.code_table import CodeTable
from sk_hessian.objectives.rows.codes import CodedRows
from sk_hessian.objectives.rows.dense import DenseRows
from sk_hessian.objectives.rows.sparse import SparseRows

#: the first that holds X is taken
KINDS = (SparseRows, CodedRows, DenseRows)


def rows_of(X, y=None, weight=None, offset=None):
    """The container of X, an array, a sparse matrix or a `CodeTable` (n, p); y or weight of None are zeros."""
    for kind in KINDS:
        if kind.holds(X):
            break
    table = kind.table(X)
    zeros = np.zeros(table.shape[0]) if y is None or weight is None else None
    return kind(table, zeros if y is None else y, zeros if weight is None else weight, offset)


def stacked(many):
    """The rows of several containers in memory, one after the other."""
    kind = next(kind for kind in KINDS if any(isinstance(rows, kind) for rows in many))
    X = kind.joined([rows.X for rows in many])
    y, weight = (np.concatenate([getattr(rows, name) for rows in many]) for name in ("y", "weight"))
    widths = [rows.offset.shape[1] for rows in many if rows.offset is not None]
    if not widths:
        return kind(X, y, weight)
    offsets = [np.zeros((rows.n_rows, widths[0])) if rows.offset is None else rows.offset for rows in many]
    return kind(X, y, weight, np.concatenate(offsets))


def row_products(X, V):
    """X @ V of checked rows as an array; float32 rows beside float64 coefficients are converted a block at a time.

    Parameters
    ----------
    X : ndarray, CSR matrix or CodeTable of shape (n, p)
    V : ndarray or sparse matrix of shape (p,) or (p, k)

    Returns
    -------
    ndarray of shape (n,) or (n, k)
    """
    if isinstance(X, CodeTable):
        V = V if isinstance(V, np.ndarray) else V.toarray()
        product = rows_of(X).gather(lambda block, y, weight: block.forward(V))
        return product.astype(np.result_type(X.dtype, V.dtype), copy=False)
    if X.dtype == np.float32 and np.result_type(X, V) != np.float32 and isinstance(V, np.ndarray):
        return rows_of(X).gather(lambda block, y, weight: block.forward(V))
    product = X @ V
    return product if isinstance(product, np.ndarray) else product.toarray()
