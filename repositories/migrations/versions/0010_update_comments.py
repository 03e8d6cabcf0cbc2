"""Update comments."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table_comment(
        "author_cache",
        "What one repository knows of one author, as the code host said at `cached_at`. Upserted; "
        "read",
        existing_comment=(
            "What one repository knows of one author, as the code host said at `cached_at`. "
            "Upserted; read only while fresh."
        ),
        schema=None,
    )
    op.create_table_comment(
        "committed_operations",
        "A unit of work that asked to be remembered: its row is written in the same transaction, "
        "so it",
        existing_comment=(
            "A unit of work that asked to be remembered: its row is written in the same "
            "transaction, so it tells whether COMMIT happened."
        ),
        schema=None,
    )
    op.create_table_comment(
        "embedding_metadata",
        "How this database embeds: provider, model, dimension and metric.",
        existing_comment=(
            "How this database embeds: provider, model, dimension and metric. One row, for all "
            "tenants, written with the schema."
        ),
        schema=None,
    )
    op.create_table_comment(
        "embedding_repairs",
        "How far one job has come that embeds rows again.",
        existing_comment=(
            "How far one job has come that embeds rows again. The cursor moves in the transaction "
            "that writes the rows it passed."
        ),
        schema=None,
    )
    op.create_table_comment(
        "feedback_reactions",
        "One person's reaction to one comment. The first to arrive wins; it repeats the finding's",
        existing_comment=(
            "One person's reaction to one comment. The first to arrive wins; it repeats the "
            "finding's facts, as they were."
        ),
        schema=None,
    )
    op.create_table_comment(
        "global_patterns",
        "How often findings of one kind were seen, over all tenants. It holds no tenant's text: "
        "the",
        existing_comment=(
            "How often findings of one kind were seen, over all tenants. It holds no tenant's "
            "text: the fingerprint is a hash."
        ),
        schema=None,
    )
    op.create_table_comment(
        "rate_limit_events",
        "How a run coped with the code host's rate limit.",
        existing_comment=(
            "How a run coped with the code host's rate limit. One per delivery and type where a "
            "delivery is given."
        ),
        schema=None,
    )
    op.create_table_comment(
        "resilience_events",
        "A timeout or a retry of one delivery. Replaced whole when told again, keeping id and",
        existing_comment=(
            "A timeout or a retry of one delivery. Replaced whole when told again, keeping id and "
            "`created_at`."
        ),
        schema=None,
    )
    op.create_table_comment(
        "suppression_log",
        "One suppression that a review applied, and the findings that it held back.",
        existing_comment=(
            "One suppression that a review applied, and the findings that it held back. "
            "SavepointLog with the review, never changed."
        ),
        schema=None,
    )


def downgrade() -> None:
    op.create_table_comment(
        "suppression_log",
        "One suppression that a review applied, and the findings that it held back. SavepointLog "
        "with the review, never changed.",
        existing_comment=(
            "One suppression that a review applied, and the findings that it held back."
        ),
        schema=None,
    )
    op.create_table_comment(
        "resilience_events",
        "A timeout or a retry of one delivery. Replaced whole when told again, keeping id and "
        "`created_at`.",
        existing_comment=(
            "A timeout or a retry of one delivery. Replaced whole when told again, keeping id and"
        ),
        schema=None,
    )
    op.create_table_comment(
        "rate_limit_events",
        "How a run coped with the code host's rate limit. One per delivery and type where a "
        "delivery is given.",
        existing_comment="How a run coped with the code host's rate limit.",
        schema=None,
    )
    op.create_table_comment(
        "global_patterns",
        "How often findings of one kind were seen, over all tenants. It holds no tenant's text: "
        "the fingerprint is a hash.",
        existing_comment=(
            "How often findings of one kind were seen, over all tenants. It holds no tenant's "
            "text: the"
        ),
        schema=None,
    )
    op.create_table_comment(
        "feedback_reactions",
        "One person's reaction to one comment. The first to arrive wins; it repeats the finding's "
        "facts, as they were.",
        existing_comment=(
            "One person's reaction to one comment. The first to arrive wins; it repeats the "
            "finding's"
        ),
        schema=None,
    )
    op.create_table_comment(
        "embedding_repairs",
        "How far one job has come that embeds rows again. The cursor moves in the transaction "
        "that writes the rows it passed.",
        existing_comment="How far one job has come that embeds rows again.",
        schema=None,
    )
    op.create_table_comment(
        "embedding_metadata",
        "How this database embeds: provider, model, dimension and metric. One row, for all "
        "tenants, written with the schema.",
        existing_comment="How this database embeds: provider, model, dimension and metric.",
        schema=None,
    )
    op.create_table_comment(
        "committed_operations",
        "A unit of work that asked to be remembered: its row is written in the same transaction, "
        "so it tells whether COMMIT happened.",
        existing_comment=(
            "A unit of work that asked to be remembered: its row is written in the same "
            "transaction, so it"
        ),
        schema=None,
    )
    op.create_table_comment(
        "author_cache",
        "What one repository knows of one author, as the code host said at `cached_at`. Upserted; "
        "read only while fresh.",
        existing_comment=(
            "What one repository knows of one author, as the code host said at `cached_at`. "
            "Upserted; read"
        ),
        schema=None,
    )
