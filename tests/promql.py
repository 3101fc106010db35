"""Queries, looked at without a Prometheus: the names of the metrics that they ask for."""

from collections.abc import Iterator
from typing import Any

import promql_parser

WRAPPERS = (
    promql_parser.AggregateExpr,
    promql_parser.ParenExpr,
    promql_parser.SubqueryExpr,
    promql_parser.UnaryExpr,
)
ENDINGS = ("_bucket", "_count", "_sum")


def metrics_of(query: str) -> set[str]:
    """Raises `ValueError` for what is no PromQL; names of histograms come without their endings."""
    return {_base(name) for name in _names(promql_parser.parse(query))}


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, promql_parser.VectorSelector):
        assert node.name, "a metric has to be named"
        yield node.name
    elif isinstance(node, promql_parser.MatrixSelector):
        yield from _names(node.vector_selector)
    elif isinstance(node, promql_parser.BinaryExpr):
        yield from (name for part in (node.lhs, node.rhs) for name in _names(part))
    elif isinstance(node, promql_parser.Call):
        yield from (name for part in node.args for name in _names(part))
    elif isinstance(node, WRAPPERS):
        yield from _names(node.expr)
    else:
        assert isinstance(node, promql_parser.NumberLiteral | promql_parser.StringLiteral), node


def _base(name: str) -> str:
    for ending in ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name
