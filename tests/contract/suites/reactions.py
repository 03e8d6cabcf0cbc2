"""People's reactions to comments, and the patterns in them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from domain import (
    Category,
    FeedbackReaction,
    Reaction,
    ReferenceViolated,
    Severity,
    TenantMismatch,
    TransactionAborted,
    title_fingerprint,
)
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import MANY, MOMENT, REPO, finding, reaction, review

if TYPE_CHECKING:
    from domain import Finding
    from tests.contract.suites.store import Store


DAY = timedelta(days=1)


async def _commented(store: Store, **values: str) -> Finding:
    """Write a review with a finding that people can react to."""
    of = review(**values)
    to = finding(of)
    await write(store, of, to)
    return to


class ReactionsContract:
    """The first reaction of a key wins."""

    async def test_the_first_of_the_same_reaction_wins_also_within_one_call(
        self, store: Store
    ) -> None:
        to = await _commented(store)
        await write(store, reaction(to, reaction_id=1))
        again, first = reaction(to, reaction_id=1), reaction(to, reaction_id=2**63 - 1)
        second = reaction(to, Reaction.THUMBS_UP, reaction_id=2**63 - 1)
        async with store.unit_of_work() as uow:
            assert await uow.reactions.add_many([]) == 0
            assert await uow.reactions.add_many([again, first, second]) == 1
            assert await uow.reactions.add_many(iter([again, first, second])) == 0
            await uow.commit()
        async with store.reader() as view:
            assert (await view.reactions.get(first.id)).reaction_content is Reaction.THUMBS_DOWN
            assert await view.reactions.count() == 2

    async def test_repository_comment_and_reaction_together_make_the_key_in_each_tenant(
        self, store: Store
    ) -> None:
        ours, web = await _commented(store), await _commented(store, repo="acme/web")
        same: dict[str, Any] = {"comment_id": 5, "reaction_id": 5}
        different = [
            reaction(ours, **same),
            reaction(web, **same),
            reaction(ours, **{**same, "comment_id": 6}),
            reaction(ours, **{**same, "reaction_id": 6}),
        ]
        async with store.unit_of_work() as uow:
            assert await uow.reactions.add_many(different) == 4
            await uow.commit()
        of = review()
        foreign = finding(of)
        await write(store, of, foreign, tenant="other")
        async with store.unit_of_work(tenant="other") as uow:
            assert await uow.reactions.add_many([reaction(foreign, **same)]) == 1
            await uow.commit()

    async def test_very_many_with_and_without_a_date_are_written_and_counted(
        self, store: Store
    ) -> None:
        to = await _commented(store)
        many = [
            reaction(to, reaction_id=n % MANY, created_at=MOMENT if n % 2 else None)
            for n in range(2 * MANY)
        ]
        async with store.unit_of_work() as uow:
            assert await uow.reactions.add_many(many) == MANY
            rows = [one async for one in uow.reactions.stream()]
        assert [one.id for one in rows] == [one.id for one in many[:MANY]]
        assert [one.created_at == MOMENT for one in rows] == [n % 2 == 1 for n in range(MANY)]

    async def test_an_unknown_review_or_finding_is_refused_and_nothing_is_written(
        self, store: Store
    ) -> None:
        to = await _commented(store)
        of = review()
        unknown = [finding(of), finding(review()).model_copy(update={"review_id": to.review_id})]
        for wrong in unknown:
            async with store.unit_of_work() as uow:
                with pytest.raises(ReferenceViolated) as refusal:
                    await uow.reactions.add_many([reaction(to), reaction(wrong)])
                assert refusal.value.table == "feedback_reactions"
                with pytest.raises(TransactionAborted):
                    await uow.commit()
        async with store.unit_of_work() as uow:
            with pytest.raises(TenantMismatch):
                await uow.reactions.add_many([reaction(to), reaction(to, tenant="other")])
        async with store.reader() as view:
            assert await view.reactions.count() == 0

    async def test_a_withdrawn_reaction_is_deleted_and_can_be_given_again(
        self, store: Store
    ) -> None:
        to = await _commented(store)
        mine = reaction(to, comment_id=5, reaction_id=6)
        await write(store, mine, reaction(to, comment_id=5, reaction_id=7))
        async with store.unit_of_work(tenant="other") as uow:
            assert not await uow.reactions.withdraw(REPO, 5, 6)
        async with store.unit_of_work() as uow:
            for key in (("acme/web", 5, 6), (REPO, 6, 6), (REPO, 5, 5)):
                assert not await uow.reactions.withdraw(*key)
            assert await uow.reactions.withdraw(REPO, 5, 6)
            assert not await uow.reactions.withdraw(REPO, 5, 6)
            await uow.commit()
        async with store.reader() as view:
            assert await view.reactions.find(mine.id) is None
            assert await view.reactions.count() == 1
        async with store.unit_of_work() as uow:
            assert await uow.reactions.add_many([reaction(to, comment_id=5, reaction_id=6)]) == 1

    async def test_clearing_deletes_the_reactions_of_one_repository(self, store: Store) -> None:
        ours, web = await _commented(store), await _commented(store, repo="acme/web")
        await write(store, reaction(ours), reaction(ours), reaction(web))
        async with store.unit_of_work(tenant="other") as uow:
            assert await uow.reactions.clear(REPO) == 0
        async with store.unit_of_work() as uow:
            assert await uow.reactions.clear(REPO) == 2
            assert await uow.reactions.clear(REPO) == 0
            assert await uow.reactions.clear("") == 0
            await uow.commit()
        async with store.reader() as view:
            assert await view.reactions.count() == 1


class FeedbackPatternsContract:
    """Titles with one fingerprint are one pattern."""

    async def test_titles_that_differ_in_case_and_spacing_are_one_pattern_and_people_count_once(
        self, store: Store
    ) -> None:
        first, second = review(pr_number=1), review(pr_number=2)
        shout = finding(first, title="NULL check!", severity=Severity.MINOR)
        whisper = finding(
            second, title="null  check", severity=Severity.CRITICAL, category=Category.SECURITY
        )
        reactions = [
            reaction(shout, reactor_login="ada", created_at=MOMENT),
            reaction(shout, reactor_login="bob", created_at=MOMENT),
            reaction(whisper, reactor_login="ada", created_at=MOMENT + timedelta(hours=1)),
            reaction(whisper, Reaction.THUMBS_UP, reactor_login="eve", created_at=MOMENT),
        ]
        await write(store, first, second, shout, whisper, *reactions)
        async with store.reader() as view:
            [pattern] = await view.reactions.patterns(REPO)
        assert pattern.fingerprint == title_fingerprint("Null check")
        assert (
            pattern.thumbs_down,
            pattern.thumbs_up,
            pattern.reactors,
            pattern.pull_requests,
        ) == (3, 1, 2, 2)
        assert (pattern.title, pattern.severity, pattern.category) == (
            "null  check",
            Severity.CRITICAL,
            Category.SECURITY,
        )

    async def test_the_newest_reaction_of_a_person_to_a_comment_counts(self, store: Store) -> None:
        to = await _commented(store)

        async def counted(*reactions: FeedbackReaction) -> list[tuple[int, int, int]]:
            await write(store, *reactions)
            async with store.reader() as view:
                patterns = await view.reactions.patterns(REPO)
            return [(one.thumbs_down, one.thumbs_up, one.reactors) for one in patterns]

        by_ada = {"comment_id": 1, "reactor_login": "ada", "created_at": MOMENT}
        down, up = Reaction.THUMBS_DOWN, Reaction.THUMBS_UP
        assert await counted(reaction(to, down, reaction_id=5, **by_ada)) == [(1, 0, 1)]
        # Withdrawn and given again.
        assert await counted(reaction(to, down, reaction_id=6, **by_ada)) == [(1, 0, 1)]
        # Another person, and the same person on another comment.
        by_bob = {**by_ada, "reactor_login": "bob"}
        elsewhere = {**by_ada, "comment_id": 2}
        others = [reaction(to, down, reaction_id=1, **values) for values in (by_bob, elsewhere)]
        assert await counted(*others) == [(3, 0, 2)]
        # Changed: by a higher number at the same time, and back by a later time.
        assert await counted(reaction(to, up, reaction_id=7, **by_ada)) == [(2, 1, 2)]
        later = {**by_ada, "reacted_at": MOMENT + timedelta(seconds=1)}
        assert await counted(reaction(to, down, reaction_id=3, **later)) == [(3, 0, 2)]
        # An old reaction that arrives late changes nothing: its own time counts.
        late = {**by_ada, "reacted_at": MOMENT, "created_at": MOMENT + timedelta(days=1)}
        assert await counted(reaction(to, up, reaction_id=8, **late)) == [(3, 0, 2)]
        # The newest one is withdrawn: the newest of the others counts.
        async with store.unit_of_work() as uow:
            assert await uow.reactions.withdraw(REPO, 1, 3)
            await uow.commit()
        assert await counted() == [(2, 1, 2)]

    async def test_a_changed_title_counts_only_under_the_newest_reaction(
        self, store: Store
    ) -> None:
        to = await _commented(store)
        by_ada: dict[str, Any] = {"comment_id": 1, "reactor_login": "ada"}
        await write(store, reaction(to, created_at=MOMENT, title="Before", **by_ada))
        await write(store, reaction(to, created_at=MOMENT + DAY, title="After", **by_ada))
        async with store.reader() as view:
            assert [one.title for one in await view.reactions.patterns(REPO)] == ["After"]

    async def test_people_and_pull_requests_are_those_of_the_thumbs_down(
        self, store: Store
    ) -> None:
        first, second = review(pr_number=1), review(pr_number=2)
        disliked, liked = finding(first), finding(second)
        likes = (reaction(liked, Reaction.THUMBS_UP, reactor_login=f"{n}") for n in range(3))
        await write(store, first, second, disliked, liked, reaction(disliked), *likes)
        async with store.reader() as view:
            [pattern] = await view.reactions.patterns(REPO)
        assert (
            pattern.thumbs_down,
            pattern.thumbs_up,
            pattern.reactors,
            pattern.pull_requests,
        ) == (1, 3, 1, 1)

    async def test_titles_without_a_latin_letter_stay_apart(self, store: Store) -> None:
        of = review()
        findings = [
            finding(of, title=title)
            for title in ("未处理的异常", "内存泄漏", "Утечка памяти", "!", "?")
        ]
        await write(store, of, *findings, *(reaction(to) for to in findings))
        async with store.reader() as view:
            patterns = await view.reactions.patterns(REPO)
        assert {pattern.title for pattern in patterns} == {to.title for to in findings}

    async def test_titles_without_dislikes_of_this_repository_are_not_patterns(
        self, store: Store
    ) -> None:
        to, web = await _commented(store), await _commented(store, repo="acme/web")
        await write(store, reaction(to, Reaction.THUMBS_UP), reaction(web))
        async with store.reader() as view:
            assert await view.reactions.patterns(REPO) == []
        async with store.reader(tenant="other") as view:
            assert await view.reactions.patterns("acme/web") == []

    async def test_of_equally_old_reactions_the_one_made_last_is_the_newest(
        self, store: Store
    ) -> None:
        to = await _commented(store)
        severities = (Severity.MINOR, Severity.CRITICAL, Severity.MEDIUM)
        await write(
            store,
            *reversed(
                [reaction(to, severity=severity, created_at=MOMENT) for severity in severities]
            ),
        )
        async with store.reader() as view:
            [pattern] = await view.reactions.patterns(REPO)
        assert pattern.severity is Severity.MEDIUM

    async def test_patterns_come_most_disliked_first_then_by_fingerprint(
        self, store: Store
    ) -> None:
        of = review()
        findings = [finding(of, title=f"Title {n}") for n in range(6)]
        await write(store, of, *findings, *map(reaction, findings))
        await write(store, reaction(findings[3], reactor_login="bob"))
        async with store.unit_of_work() as uow:
            patterns = await uow.reactions.patterns(REPO)
            assert await uow.reactions.add_many([reaction(findings[0])] * 5) == 1
            assert {pattern.thumbs_down for pattern in await uow.reactions.patterns(REPO)} == {1, 2}
        expected = sorted(title_fingerprint(to.title) for to in findings if to is not findings[3])
        assert [pattern.fingerprint for pattern in patterns] == [
            title_fingerprint(findings[3].title),
            *expected,
        ]
