"""What became of a claim to review one head of a pull request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import InvalidInput


class ClaimOutcome(StrEnum):
    """Why a claim was granted or not."""

    NEW = "new"
    SUPERSEDED_PRIOR = "superseded-prior"
    STALE_PENDING = "stale-pending"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClaim:
    """The answer to one claim.

    `superseded` are the keys of the unfinished runs whose place the claim took.
    """

    run_key: str
    outcome: ClaimOutcome
    superseded: tuple[str, ...] = ()

    @property
    def claimed(self) -> bool:
        """Whether the caller is the one to review."""
        return self.outcome is not ClaimOutcome.DUPLICATE


def run_key(repo: str, pr_number: int, base_sha: str, head_sha: str) -> str:
    """Return the key that names a repository, pull request, base and head: readable, and the same
    for the same four.

    Raises:
        InvalidInput: the number has more digits than Python writes down.
    """
    # Whether it can be stored is the entity's to say.
    try:
        number = str(pr_number)
    except ValueError:
        raise InvalidInput("pr_number has too many digits", field="pr_number") from None
    named = "\n".join((repo, number, base_sha, head_sha)).encode(errors="surrogatepass")
    digest = hashlib.sha256(named).hexdigest()
    return f"{repo}#{number}@{digest[:32]}"
