"""Rows where they live: the only room that knows what X is. A pass is one `fold` over blocks of rows."""

from sk_hessian.objectives.rows.code_table import CodeTable, Layout
from sk_hessian.objectives.rows.columns import Columns
from sk_hessian.objectives.rows.container import BaseRows
from sk_hessian.objectives.rows.dense import DenseBlock
from sk_hessian.objectives.rows.grams import triangle, weighted_grams
from sk_hessian.objectives.rows.kinds import row_products, rows_of, stacked
from sk_hessian.objectives.rows.moments import in_few_rows
from sk_hessian.objectives.rows.parts import PartedRows
from sk_hessian.objectives.rows.sampling import Rare
from sk_hessian.objectives.rows.sources import Blocks, Changed, Parts, is_distributed, map_distributed, named, parts_of
from sk_hessian.objectives.rows.span import Chosen, Span
from sk_hessian.objectives.rows.summaries import Scan, Tally, summary
from sk_hessian.objectives.rows.threads import held_for

__all__ = [
    "BaseRows",
    "Blocks",
    "Changed",
    "Chosen",
    "CodeTable",
    "Columns",
    "DenseBlock",
    "Layout",
    "PartedRows",
    "Parts",
    "Rare",
    "Scan",
    "Span",
    "Tally",
    "held_for",
    "in_few_rows",
    "is_distributed",
    "map_distributed",
    "named",
    "parts_of",
    "row_products",
    "rows_of",
    "stacked",
    "summary",
    "triangle",
    "weighted_grams",
]
