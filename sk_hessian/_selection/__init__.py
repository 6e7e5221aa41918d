"""How good a fit is beyond its rows: evidence, leave-one-out, and the strength of a penalty that is best by them."""

from sk_hessian._selection.choice import choose, is_by_products
from sk_hessian._selection.dispersion import pearson_dispersion
from sk_hessian._selection.fixed_point import choose_decay, choose_groups
from sk_hessian._selection.held_out import MOST_EXACT_LEVERAGE, NotFittedWithoutError, WithoutEach
from sk_hessian._selection.held_out_curve import Bends
from sk_hessian._selection.narrowed import is_narrowed
from sk_hessian._selection.path import PenaltyPath, path_of
from sk_hessian._selection.posterior import MOST_FULL, PosteriorModel, last_layer, resolved
from sk_hessian._selection.removal import Removal, kept_rows, rows_in_memory, spread

__all__ = [
    "MOST_EXACT_LEVERAGE",
    "MOST_FULL",
    "Bends",
    "NotFittedWithoutError",
    "PenaltyPath",
    "PosteriorModel",
    "Removal",
    "WithoutEach",
    "choose",
    "choose_decay",
    "choose_groups",
    "is_by_products",
    "is_narrowed",
    "kept_rows",
    "last_layer",
    "path_of",
    "pearson_dispersion",
    "resolved",
    "rows_in_memory",
    "spread",
]
