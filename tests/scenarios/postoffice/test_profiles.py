"""Two CRMs, one productive and one for tests: PostOffice's own mark of a test system chooses, at every run."""

from __future__ import annotations

from shared.errors import WrongProfile
from shared.sync.ports import Side
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.postoffice.world import TWO_CRMS, WHOLE, PostWorld, for_two_crms

GROUPS = "cdock_customergroup"


def two_crms() -> PostWorld:
    return PostWorld(WHOLE, for_two_crms("customer_group"), TWO_CRMS)


@virtually
async def test_the_mark_chooses_the_crm_at_every_run() -> None:
    """R-070, R-071: two profiles; only the one that fits the mark gets anything."""
    async with two_crms() as world:
        group = world.site.create("customer-groups", {"number": "1", "name": "Live"})
        await world.pass_time(minutes=20)
        assert [row["cdock_name"] for row in world.listed(GROUPS)] == ["Live"]
        assert world.listed(GROUPS, world.other_crm) == []
        world.site.mark_as_test_system(True)
        await world.pass_time(minutes=20)  # the first walk for a CRM only takes its starting point
        world.site.edit("customer-groups", group["id"], {"name": "Tried out"})
        await world.pass_time(minutes=20)
        assert [row["cdock_name"] for row in world.listed(GROUPS)] == ["Live"]
        assert [row["cdock_name"] for row in world.listed(GROUPS, world.other_crm)] == ["Tried out"]


@virtually
async def test_what_was_queued_before_the_mark_changed_does_not_cross() -> None:
    """R-071: a retry from before finds a test system and waits, until the database is productive again."""
    async with PostWorld(WHOLE) as world:
        group = world.site.create("customer-groups", {"number": "1", "name": "Live"})
        world.site.mark_as_test_system(True)
        world.site.edit("customer-groups", group["id"], {"name": "Tried out"})
        groups = next(one for one in world.index.definitions if one.right.table == "customer-groups")
        await world.announce(Side.RIGHT, group["id"], groups)
        await world.pass_time(minutes=20)
        assert world.listed(GROUPS) == []
        (waiting,) = await world.stores.pending.page("customer_group_to_dataverse", None, 10)
        assert (waiting.key, waiting.side) == (group["id"], Side.RIGHT)
        world.site.edit("customer-groups", group["id"], {"name": "Live again"})
        world.site.mark_as_test_system(False)
        await world.pass_time(minutes=20)
        assert [row["cdock_name"] for row in world.listed(GROUPS)] == ["Live again"]


@virtually
async def test_the_refusal_says_which_database_is_for_tests() -> None:
    """R-071: a profile that does not fit stops the run with a clear error."""
    async with PostWorld(WHOLE) as world:
        world.site.mark_as_test_system(True)
        engine = await world.apps[0].engine()
        try:
            await engine.pipeline.prepare("customer_group_to_dataverse")
        except WrongProfile as error:
            told = str(error)
    assert told == "CD-3003 dataverse is productive; postoffice is test: nothing moves."
