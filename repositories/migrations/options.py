"""The permanent options of a database: of a new one, and as recorded in an existing one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, Text, bindparam, text

from domain.errors import ConfigurationError, EmbeddingMismatch, MigrationFailed
from domain.values.embedding import DEFAULT_DIMENSIONS, MAX_DIMENSIONS, UNSPECIFIED
from domain.values.text import LABEL_PATTERN
from repositories.sql.vector_index import VECTOR_INDEXES

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from repositories.postgres.settings import Settings

OPTIONS: Final = "schema_options"
"""The key of Alembic's configuration under which a revision reads the options."""

_MAX_LABEL_BYTES: Final = 400
_FROM_SETTINGS: Final = {
    "dimensions": "embedding_dimensions",
    "provider": "embedding_provider",
    "model": "embedding_model",
    "hnsw_m": "hnsw_m",
    "hnsw_ef_construction": "hnsw_ef_construction",
    "language": "language",
}
_LANGUAGE: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, kw_only=True)
class SchemaOptions:
    """The permanent options of a new database; later migrations read them from the database.

    Attributes:
        dimensions: the dimension of the embeddings, recorded in `embedding_metadata` like
            `provider`, `model` and `metric`.
        provider: the provider of the embeddings. `unspecified` agrees with every recorded one.
        model: their model. `unspecified` agrees with every recorded one.
        metric: the metric of the vector indexes.
        hnsw_m: the links of a node of the vector indexes.
        hnsw_ef_construction: the candidates while a vector index is built.
        language: the text search configuration of the lexemes.
        insists_on: the names of the options that an existing database must agree with.

    Raises:
        ConfigurationError: pgvector does not support one of the values.
    """

    dimensions: int = DEFAULT_DIMENSIONS
    provider: str = UNSPECIFIED
    model: str = UNSPECIFIED
    metric: str = "cosine"
    hnsw_m: int = 16
    hnsw_ef_construction: int = 200
    language: str = "english"
    insists_on: frozenset[str] = frozenset(
        {"dimensions", "provider", "model", "metric", "language"}
    )

    @classmethod
    def from_settings(cls, settings: Settings) -> SchemaOptions:
        """Return the options in the settings.

        A setting that was not changed from its default agrees with every database.
        """
        explicit = {
            name for name, setting in _FROM_SETTINGS.items() if setting in settings.model_fields_set
        }
        values = {name: getattr(settings, setting) for name, setting in _FROM_SETTINGS.items()}
        return cls(**values, insists_on=cls.insists_on & explicit)

    def __post_init__(self) -> None:
        label = f"1 to {_MAX_LABEL_BYTES} bytes without control characters"
        rules = {
            "dimensions": (1 <= self.dimensions <= MAX_DIMENSIONS, f"1 to {MAX_DIMENSIONS:,}"),
            "provider": (_is_label(self.provider), label),
            "model": (_is_label(self.model), label),
            "metric": (self.metric == "cosine", "cosine"),
            "hnsw_m": (2 <= self.hnsw_m <= 100, "2 to 100"),
            "hnsw_ef_construction": (
                2 * self.hnsw_m <= self.hnsw_ef_construction <= 1000,
                "at least twice hnsw_m, at most 1,000",
            ),
            "language": (
                _LANGUAGE.fullmatch(self.language),
                "the name of a text search configuration",
            ),
        }
        for field, (holds, allowed) in rules.items():
            if not holds:
                raise ConfigurationError(f"{field} must be {allowed}", setting=field)

    def with_graph_of(self, other: SchemaOptions) -> SchemaOptions:
        """Return these options with the parameters of HNSW indexes of `other`."""
        return replace(self, hnsw_m=other.hnsw_m, hnsw_ef_construction=other.hnsw_ef_construction)

    def require_agreement(self, recorded: SchemaOptions) -> None:
        """Raise an error if these options contradict those that a database records.

        Raises:
            EmbeddingMismatch: the database has another dimension, provider, model or metric.
            ConfigurationError: the database has another language.
        """
        for field in sorted(self.insists_on - {"language"}):
            mine, theirs = getattr(self, field), getattr(recorded, field)
            if mine not in (theirs, UNSPECIFIED):
                raise EmbeddingMismatch(field, recorded=theirs, requested=mine)
        if "language" in self.insists_on and self.language != recorded.language:
            raise ConfigurationError(
                f"this database's keyword search is {recorded.language!r}, not {self.language!r}:"
                " set language to that, or use another database",
                setting="language",
            )


def _is_label(value: str) -> bool:
    is_printable = re.fullmatch(LABEL_PATTERN, value) is not None
    return is_printable and len(value.encode()) <= _MAX_LABEL_BYTES


_RECORDED: Final = text("SELECT dimensions, provider, model, metric FROM embedding_metadata")
# No table records the language and the parameters: they are in the catalog, in the generated column
# and in the vector indexes. Any index will do, because one is missing during an initial load.
_BUILT: Final = text("""
WITH indexes AS (
    SELECT option_name, option_value FROM unnest(:indexes) AS name
    JOIN pg_class c ON c.oid = to_regclass(name), pg_options_to_table(c.reloptions)
)
SELECT (SELECT substring(pg_get_expr(d.adbin, d.adrelid) FROM $$to_tsvector\\('(\\w+)'$$)
        FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE d.adrelid = to_regclass('knowledge') AND a.attname = 'search_vector') AS language,
       (SELECT min(option_value::int) FROM indexes WHERE option_name = 'm') AS hnsw_m,
       (SELECT min(option_value::int) FROM indexes
        WHERE option_name = 'ef_construction') AS hnsw_ef_construction
""").bindparams(bindparam("indexes", list(VECTOR_INDEXES), ARRAY(Text)))


def read_recorded(connection: Connection) -> SchemaOptions | None:
    """Return what this database was created with; None before the first revision.

    Raises:
        MigrationFailed: the table `embedding_metadata` exists and has no row.
    """
    if connection.scalar(text("SELECT to_regclass('embedding_metadata')")) is None:
        return None
    recorded = connection.execute(_RECORDED).mappings().one_or_none()
    if recorded is None:
        raise MigrationFailed(
            "embedding_metadata has no row, so the dimension of this database is unknown: insert"
            " the row again, or restore a backup into an empty database"
        )
    built = connection.execute(_BUILT).mappings().one()
    return SchemaOptions(
        **recorded, **{name: value for name, value in built.items() if value is not None}
    )
