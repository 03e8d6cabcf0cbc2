"""Search over knowledge, memories and findings."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from domain.values.search import Corpus, Weights

if TYPE_CHECKING:
    from domain.results import Remembered
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from domain.values.search import SearchHits


class FederatedSearch(Protocol):
    """Searches knowledge, memories and findings in one call."""

    async def search(
        self,
        query: str,
        embedding: VectorLike,
        *,
        repo: str | None = None,
        limit: int = 10,
        corpora: Collection[Corpus] = tuple(Corpus),
        where: Filter | None = None,
        weights: Weights | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = True,
    ) -> SearchHits[Remembered]:
        """Return the best hits of the corpora, fused by reciprocal rank.

        Each hit names its `corpus`. Its score is that of its rank; its distance, keyword score and
        ranks are those in its own corpus. Knowledge and live memories are searched by vector and by
        words, findings by words. The search takes one round trip for each corpus, and one for the
        near-duplicates.

        Args:
            query: the words. A blank query returns no hits.
            embedding: the query vector.
            repo: only rows of this repository, and knowledge of none.
            limit: largest number of hits, 1 to 10,000. Up to 100, the first n hits of a larger
                limit are the hits of limit n.
            corpora: the corpora to search.
            where: only rows that meet this filter, in every corpus. Its columns must exist in all
                of them.
            weights: how much each arm counts; by default as the setting `vector_weight` says.
            min_score: the least score in each arm: `vector_score` of the distance, and the keyword
                score.
            max_distance: the largest distance in each vector arm.
            distinct: of texts that differ in case and white space only, only the best one. The same
                goes for the best 50 hits of each corpus whose embeddings have a cosine similarity
                of 0.97 or more.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
            InvalidFilter: `where` does not fit one of the corpora.
            InvalidInput: `limit` or a threshold is not a number in its range.
        """
        ...
