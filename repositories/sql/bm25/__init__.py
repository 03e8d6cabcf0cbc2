"""Rows that match words, ranked by BM25 in plain PostgreSQL."""

from repositories.sql.bm25.ranking import matching, question
from repositories.sql.bm25.word import is_one_word, single_term_matches

__all__ = ["is_one_word", "matching", "question", "single_term_matches"]
