"""Names of jobs, and the figures by which lists of jobs are sorted, computed from what workers of any version write.

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_SPARSITY = (
    "CASE WHEN jsonb_typeof(spec #> '{recipe,pattern,sparsity}'::text[]) = 'number'::text "
    "THEN (spec #>> '{recipe,pattern,sparsity}'::text[])::double precision "
    "WHEN jsonb_typeof(spec #> '{recipe,pattern,n}'::text[]) = 'number'::text "
    "AND jsonb_typeof(spec #> '{recipe,pattern,m}'::text[]) = 'number'::text "
    "THEN 1::double precision - (spec #>> '{recipe,pattern,n}'::text[])::double precision "
    "/ NULLIF((spec #>> '{recipe,pattern,m}'::text[])::double precision, 0::double precision) "
    "ELSE NULL::double precision END"
)


def _number(path: str) -> str:
    is_number = f"jsonb_typeof(metrics #> '{path}'::text[]) = 'number'::text"
    return f"CASE WHEN {is_number} THEN (metrics #>> '{path}'::text[])::double precision ELSE NULL::double precision END"


_FIGURES = {
    "sparsity": _SPARSITY,
    "perplexity": _number("{pruned,perplexity,0,perplexity}"),
    "agreement": _number("{agreement,0,top1_agreement}"),
    "duration": "COALESCE(active_seconds, (EXTRACT(epoch FROM (finished_at - started_at)))::double precision)",
}


def upgrade() -> None:
    """Apply the migration. One statement, so that the table is rewritten once."""
    columns = [f"ADD COLUMN {name} double precision GENERATED ALWAYS AS ({sql}) STORED" for name, sql in _FIGURES.items()]
    op.execute(sa.text(f"ALTER TABLE jobs ADD COLUMN name varchar, {', '.join(columns)}"))
