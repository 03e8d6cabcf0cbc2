"""Searching everything that is remembered."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from domain.values.search import Corpus, Weights

if TYPE_CHECKING:
    from domain.values.corpora import Remembered
    from domain.values.embedding import VectorLike
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
        weights: Weights = Weights(),
    ) -> SearchHits[Remembered]:
        """Return what is nearest and matches best of the corpora, fused by reciprocal rank; each
        hit names its `corpus`.

        Knowledge and live memories are found by vector and words, as `weights` say, findings by
        words. `repo` keeps what is of that repository, and knowledge of none. Of texts that are the
        same but for case and spacing, or whose embeddings have a cosine similarity of 0.97 or more,
        the better hit stays. A score is that of the rank; distance, keyword score and ranks are
        those in the hit's own corpus. A blank query finds nothing. One round trip for each corpus
        and one for the repetitions.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
        """
        ...
