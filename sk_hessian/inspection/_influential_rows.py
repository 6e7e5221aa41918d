"""The rows that did most to a fit, of rows wherever they are."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sk_hessian.inspection._checks import check_choice, check_count
from sk_hessian.inspection._fitted import Fitted
from sk_hessian.inspection._influence import Influence, InfluenceOf, RowEffects, kind_of, require_influence
from sk_hessian.inspection._likelihood import weights_of

#: where Cook's distance, and a row's position, are among the effects of a row
_COOK, _POSITION = 4, -1


class _Most:
    """Effects of at most ``n_rows`` rows, those of the largest Cook's distance; a sum has those of both."""

    def __init__(self, n_rows, effects):
        # a row without which the parameters are not determined counts most
        cook = np.where(np.isnan(effects[_COOK]), np.inf, effects[_COOK])
        chosen = np.lexsort((effects[_POSITION], -cook))[:n_rows]
        self.n_rows, self.effects = n_rows, [values[chosen] for values in effects]

    def __add__(self, other):
        pairs = zip(self.effects, other.effects, strict=True)
        return _Most(self.n_rows, [np.concatenate(pair) for pair in pairs])


def influential_rows(
    estimator: Any,
    X: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    n_rows: int = 20,
    weights: str = "frequency",
    curvature: str | None = None,
    offset: ArrayLike | None = None,
) -> Influence:
    """The rows of the largest Cook's distance, and what leaving out each of them does.

    The same figures as those of `influence`, of which it keeps a few rows only: for rows in parts, which have too many
    for an array of them all.

    Parameters
    ----------
    estimator : fitted estimator of sk_hessian
        With the verdict "optimal".
    X, y, sample_weight, offset
        The rows that it was fitted on; `Blocks` and dask collections as well.
    n_rows : int, default=20
        How many rows, at the most.
    weights, curvature
        As of `influence`.

    Returns
    -------
    Influence
        Of these rows, the most influential first. Its ``labels`` are those of the data frame; of rows in parts their
        positions among the rows of positive weight, counted from 0 over all parts.

    Raises
    ------
    ValueError
        As `influence`.

    Examples
    --------
    >>> from sk_hessian.inspection import influential_rows
    >>> from sk_hessian.linear_model import LinearRegression
    >>> from sk_hessian.objectives import Blocks
    >>> X, y = [[0.0], [1.0], [2.0], [3.0], [10.0]], [0.1, 0.9, 2.1, 2.9, 5.0]
    >>> blocks = Blocks([(X[:3], y[:3]), (X[3:], y[3:])])
    >>> rows = influential_rows(LinearRegression().fit(blocks), blocks, None, n_rows=2)
    >>> rows.labels, rows.leverage.round(3)
    (array([4, 0]), array([0.936, 0.363]))
    """
    check_count("n_rows", n_rows, 1)
    check_choice("weights", weights, ("frequency", "analytic"))
    check_choice("curvature", curvature, ("observed", "expected", None))
    fitted = Fitted(estimator, X, y, sample_weight, offset=offset)
    require_influence("influential_rows", fitted)
    meaning = weights_of(fitted, sample_weight, weights)
    effects = RowEffects.of(fitted, kind_of(fitted, curvature), meaning)

    def largest(terms):
        found = effects.of_block(terms)
        position = np.arange(terms.part.start, terms.part.stop)
        return found[0].sum(), found[1].sum(), _Most(n_rows, [*found, position])

    *sums, most = effects.rows_of(fitted.objective).reduce(largest)
    position = most.effects[_POSITION]
    if fitted.objective.rows.in_memory:
        position = meaning.position[position]
        position = fitted.row_labels(meaning.n_passed)[position]
    return InfluenceOf(fitted, effects, sums).rows(most.effects[:_POSITION], labels=position)
