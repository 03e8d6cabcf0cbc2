"""Rows that match words, ranked by BM25 in plain PostgreSQL."""

from repositories.sql.bm25.access import Access
from repositories.sql.bm25.ranking import matching, query_parameters
from repositories.sql.bm25.word import is_one_word, single_term_matches

__all__ = ["Access", "is_one_word", "matching", "query_parameters", "single_term_matches"]
