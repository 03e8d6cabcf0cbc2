"""Rows that match words, ranked by BM25 in plain PostgreSQL."""

from repositories.statements.bm25.ranking import matching, question

__all__ = ["matching", "question"]
