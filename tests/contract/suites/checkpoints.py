"""Checkpoints of reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain import CheckpointData
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import MOMENT, UNICODE, checkpoint

if TYPE_CHECKING:
    from tests.contract.suites.store import Store


class CheckpointsContract:
    """A checkpoint is saved again and again under its key."""

    async def test_saving_again_replaces_all_but_a_comment_that_is_missing(
        self, store: Store
    ) -> None:
        first = checkpoint("out", partial_comment_id=2**63 - 1, created_at=MOMENT)
        files = tuple(f"{UNICODE}{n}.py" for n in range(1_000))
        later = checkpoint(
            "out",
            checkpoint_data=CheckpointData(files_reviewed=files, summary_draft=UNICODE),
            pr_number=8,
        )
        for one in (first, later):
            async with store.unit_of_work() as uow:
                await uow.checkpoints.save(one)
                await uow.commit()
        async with store.reader() as view:
            row = await view.checkpoints.find_by_key("out")
            assert await view.checkpoints.count() == 1
        assert row is not None
        assert (row.id, row.created_at, row.pr_number, row.partial_comment_id) == (
            first.id,
            MOMENT,
            8,
            2**63 - 1,
        )
        assert row.checkpoint_data == later.checkpoint_data
        async with store.unit_of_work() as uow:
            await uow.checkpoints.save(checkpoint("out", partial_comment_id=5))
            again = await uow.checkpoints.find_by_key("out")
            assert again is not None
            assert (again.partial_comment_id, again.created_at) == (5, MOMENT)

    async def test_saving_what_was_read_before_shows_when_it_is_read_again(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            await uow.checkpoints.save(checkpoint("out"))
            before = await uow.checkpoints.find_by_key("out")
            await uow.checkpoints.save(
                checkpoint("out", checkpoint_data=CheckpointData(total_files=9))
            )
            after = await uow.checkpoints.find_by_key("out")
            assert after is not None
            assert after is before
            assert after.checkpoint_data.total_files == 9

    async def test_a_comment_is_recorded_where_there_is_a_checkpoint(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            await uow.checkpoints.save(checkpoint(UNICODE))
            assert await uow.checkpoints.set_comment(UNICODE, -(2**63))
            assert not await uow.checkpoints.set_comment("other", 1)
            row = await uow.checkpoints.find_by_key(UNICODE)
            assert row is not None
            assert row.partial_comment_id == -(2**63)

    async def test_a_checkpoint_is_deleted_by_its_key_once(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            await uow.checkpoints.save(checkpoint("out"))
            await uow.checkpoints.save(checkpoint("other"))
            assert await uow.checkpoints.delete_by_key("out")
            assert not await uow.checkpoints.delete_by_key("out")
            assert await uow.checkpoints.find_by_key("out") is None
            assert await uow.checkpoints.count() == 1

    async def test_tenants_have_their_own(self, store: Store) -> None:
        await write(store, checkpoint("out"))
        async with store.unit_of_work(tenant="other") as uow:
            assert await uow.checkpoints.find_by_key("out") is None
            assert not await uow.checkpoints.set_comment("out", 1)
            assert not await uow.checkpoints.delete_by_key("out")
            await uow.checkpoints.save(checkpoint("out", pr_number=9))
            await uow.commit()
        async with store.reader() as view:
            row = await view.checkpoints.find_by_key("out")
        assert row is not None
        assert (row.pr_number, row.partial_comment_id) == (7, None)
