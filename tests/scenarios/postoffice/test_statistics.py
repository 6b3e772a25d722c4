"""Shipment statistics: the days of a window in the CRM, computed anew again and again, without any link."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from sandbox.dataverse import DataverseOptions
from sandbox.faults import FaultKind, FaultRule
from shared.operations import Operations
from shared.routes import RequestError
from shared.sync.alarms import Limits, late_since
from shared.sync.checking import check
from shared.sync.definition import Definition, Index
from shared.sync.ports import JournalEntry, Side, SiteMode, Switch
from shared.sync.surveying import survey
from tests.scenarios.account_customer.world import CRM_CLIENT, virtually
from tests.scenarios.command_line.terminal import typed
from tests.scenarios.postoffice.world import (
    PARTIES,
    POOR,
    TWO_CRMS,
    WALK_SECONDS,
    WHOLE,
    PostWorld,
    Sites,
    for_two_crms,
    shipped,
    with_windows_walked,
)

WINDOW_SECONDS = 60
STATISTICS, TRANSFER = "cdock_shipmentstatistic", "shipment_statistics_to_dataverse"
ASKED = r"/shipment-statistics$"
ROWS = r"/cdock_shipmentstatistics"
MESSAGES = rf"{ROWS}/Microsoft\.Dynamics\.CRM\."
PAGES_OF_TWO = {"CROSSDOCK_POSTOFFICE_SITE": '{"page_size": 2}'}
both = pytest.mark.parametrize("site", [WHOLE, POOR], ids=["whole", "poor"])


class StatisticsWorld(PostWorld):
    """With two customers of both systems, one of them with a cost centre, and twelve services; walked every minute."""

    def __init__(
        self, site: Sites, index: Index | None = None, more: Mapping[str, str] | None = None, **setup: Any
    ) -> None:
        super().__init__(
            site,
            with_windows_walked(index or shipped(*PARTIES, "shipment_statistics"), WINDOW_SECONDS),
            more,
            **({"processes": 1} | setup),
        )

    async def next_days(self) -> None:
        """Until the window was queued twice, and what came of it is done."""
        await self.pass_time(seconds=2 * WINDOW_SECONDS + 10)
        while not await self._is_quiet():
            await self.pass_time(seconds=7)

    async def next_walk(self) -> None:
        """Until records were linked and the days came after that; there is a next window for ever."""
        await self.pass_time(seconds=2 * WALK_SECONDS - 60)
        await self.next_days()

    async def begin(self) -> None:
        """Make them, and let them be linked."""
        numbers = [str(number) for number in range(12)]
        self.services = [self.site.create("services", {"number": one, "name": f"S{one}"})["id"] for one in numbers]
        self.service = self.services[0]
        self.accounts_made = [await self.new_account(name=name) for name in ("Aurora Milling", "Borealis Paper")]
        values = {"cdock_name": "Mill 2", "cdock_accountid": self.accounts_made[0]}
        self.centre = await self.crm.create("cdock_costcentre", values)
        await self.next_walk()
        by_crm_id = {row["crmId"]: key for key, row in self.customers_there.items()}
        self.first, self.second = (by_crm_id[key] for key in self.accounts_made)
        (self.centre_there,) = self.cost_centres_there

    @property
    def definition_of_days(self) -> Definition:
        """The definition of the statistics."""
        return next(one for one in self.index.definitions if one.is_derived)

    @property
    def today(self) -> date:
        return self.clock.now().date()

    def ship(self, customer: str, items: int, back: int = 0, **more: Any) -> None:
        """What a customer has shipped so many days back."""
        day, amount = self.today - timedelta(days=back), Decimal(items) * Decimal("0.85")
        self.site.ship(customer, self.service, day, items=items, grams=items * 20, amount=amount, **more)

    def shown(self) -> set[tuple[int, str, int]]:
        """What the CRM shows: how many days back, of which account, how many items."""
        return {
            ((self.today - row["cdock_day"]).days, str(row["cdock_accountid"]), row["cdock_items"])
            for row in self.statistics.values()
        }

    @property
    def statistics(self) -> Mapping[str, Mapping[str, Any]]:
        return self.crm.rows(STATISTICS)

    async def day(self, back: int = 0) -> JournalEntry:
        """The newest journal entry of a day."""
        (entry, *_) = await self.entries(back)
        return entry

    async def entries(self, back: int = 0) -> list[JournalEntry]:
        """All journal entries of a day, the newest first."""
        engine = await self.apps[0].engine()
        prepared = await engine.pipeline.prepare(TRANSFER)
        key = (self.today - timedelta(days=back)).isoformat()
        return list(await self.stores.journal.of_record(prepared.pair, Side.RIGHT, key))

    async def ask(self, back: int = 0) -> None:
        """Queue one day, as its window does."""
        key = (self.today - timedelta(days=back)).isoformat()
        await self.announce(Side.RIGHT, key, self.definition_of_days)

    async def unlink_account(self, account: str) -> None:
        """A person undoes the link of an account."""
        operations = Operations(self.apps[0], await self.apps[0].engine())
        await operations.unlink(("dataverse", "account", account), "", "clara", "a mistake")

    def writes(self) -> int:
        """Calls that write statistics, those of batches included."""
        return self.crm.requests.count("POST", MESSAGES) + self.crm.requests.count("POST", r"/\$batch$")


@both
@virtually
async def test_the_days_of_the_window_arrive_and_no_others(site: Sites) -> None:
    """R-103, R-121: of every customer, cost centre, service and day the sums, for as many days as the window has; the
    row says of which account, cost centre and service it is."""
    async with StatisticsWorld(site) as world:
        await world.begin()
        for back in (0, 2, 3, 10):
            world.ship(world.first, 5 + back, back)
        world.ship(world.second, 4)
        world.ship(world.first, 7, cost_centre_id=world.centre_there)
        await world.next_days()
        first, second = world.accounts_made
        assert world.shown() == {(0, first, 5), (2, first, 7), (0, second, 4), (0, first, 7)}
        (centre,) = [row for row in world.statistics.values() if row.get("cdock_costcentreid")]
        service = next(key for key, row in world.crm.rows("cdock_postservice").items() if row["cdock_number"] == "0")
        assert (centre["cdock_costcentreid"], centre["cdock_serviceid"]) == (world.centre, service)
        assert (centre["cdock_weightgrams"], centre["cdock_amount"]) == (140, Decimal("5.95"))
        assert (await world.day()).counts == {"unchanged": 3}
        assert [one.counts for one in await world.entries() if one.outcome == "created"] == [{"created": 3}]


@both
@virtually
async def test_late_corrections_arrive_and_rows_that_vanish_go(site: Sites) -> None:
    """R-121: the window is computed anew each time. A row that comes back has its old key."""
    async with StatisticsWorld(site) as world:
        await world.begin()
        for back in range(3):
            world.ship(world.first, 5, back)
            world.ship(world.second, 6, back)
        await world.next_days()
        before, (first, second) = dict(world.statistics), world.accounts_made
        world.ship(world.first, 9, back=2)
        world.ship(world.second, 0, back=1)
        await world.next_days()
        assert world.shown() == {(0, first, 5), (0, second, 6), (1, first, 5), (2, first, 9), (2, second, 6)}
        assert "deleted" in {name for one in await world.entries(1) for name in one.counts}
        world.ship(world.second, 6, back=1)
        await world.next_days()
        assert set(world.statistics) == set(before)
        assert (1, second, 6) in world.shown()
        assert await world.parked(TRANSFER) == []


@both
@virtually
async def test_outside_the_window_nothing_is_touched(site: Sites) -> None:
    """R-121: a row of an older day stays as it is, whatever PostOffice has now and whoever asks for that day."""
    async with StatisticsWorld(site) as world:
        await world.begin()
        world.ship(world.first, 5, back=2)
        await world.next_days()
        await world.stand_still(days=1)
        world.ship(world.first, 0, back=3)
        world.ship(world.second, 8, back=3)
        await world.ask(back=3)
        await world.next_days()
        assert world.shown() == {(3, world.accounts_made[0], 5)}
        assert (await world.day(3)).reason == "the day is not within the window"


@both
@virtually
async def test_rows_whose_customer_is_not_linked_wait_for_the_link(site: Sites) -> None:
    """R-103: they are counted by reason in the day's journal entry, and arrive by themselves once there is a link."""
    async with StatisticsWorld(site) as world:
        await world.begin()
        stranger = world.site.create("customers", {"name": "Stranger", "externalNumber": "S-1"})["id"]
        world.ship(world.first, 5)
        world.ship(stranger, 3)
        world.site.ship(stranger, world.services[1], world.today, items=1)
        await world.next_days()
        assert world.shown() == {(0, world.accounts_made[0], 5)}
        assert (await world.day()).counts == {"unchanged": 1, "customers not linked": 2}
        account = await world.new_account(name="Stranger", accountnumber="S-1")
        await world.next_walk()
        assert world.shown() == {(0, world.accounts_made[0], 5), (0, account, 3), (0, account, 1)}
        assert (await world.day()).counts == {"unchanged": 3}


@virtually
async def test_days_without_news_cost_two_reads_each_and_no_write() -> None:
    async with StatisticsWorld(WHOLE) as world:
        await world.begin()
        for back in range(3):
            world.ship(world.first, 5, back)
        await world.next_days()
        world.forget_requests()
        world.site.requests.clear()
        await world.ask()
        await world.clock.sleep(5)
        assert world.writes() == 0
        assert world.crm.requests.count("GET", ROWS) == 1
        assert world.site.requests.count("GET", ASKED) == 1


@virtually
async def test_only_rows_that_differ_are_written() -> None:
    async with StatisticsWorld(WHOLE) as world:
        await world.begin()
        for service in world.services[:5]:
            world.site.ship(world.first, service, world.today, items=5)
        await world.next_days()
        versions = {key: row["versionnumber"] for key, row in world.statistics.items()}
        world.site.ship(world.first, service, world.today, items=50)
        await world.next_days()
        changed = [key for key, row in world.statistics.items() if row["versionnumber"] != versions[key]]
        assert len(changed) == 1
        assert [one.counts for one in await world.entries() if one.outcome == "updated"] == [
            {"changed": 1, "unchanged": 4}
        ]


@virtually
async def test_what_was_not_read_to_its_end_deletes_nothing() -> None:
    """R-121: a page that does not come makes the day wait; what the other pages have told is not taken for all."""
    async with StatisticsWorld((WHOLE[0], {**WHOLE[1], **PAGES_OF_TWO})) as world:
        await world.begin()
        for service in world.services[:4]:
            world.site.ship(world.first, service, world.today, items=2)
        await world.next_days()
        shown = world.shown()
        assert len(world.statistics) == 4
        rule = FaultRule(FaultKind.GARBAGE, "GET", ASKED, after=1)
        fault = world.site.faults.add(rule)
        await world.ask()
        await world.clock.sleep(20)
        assert world.shown() == shown
        world.site.faults.remove(fault)
        await world.next_days()
        assert len(world.statistics) == 4


@both
@virtually
async def test_a_day_that_is_suddenly_empty_stops_and_asks(site: Sites) -> None:
    """R-121: most rows of a day gone at once is more often a mistake than the truth. Whoever looks and switches the
    transfer on lets it pass."""
    async with StatisticsWorld(site) as world:
        await world.begin()
        for service in world.services:
            world.site.ship(world.first, service, world.today, items=2)
        await world.next_days()
        for service in world.services[1:]:
            world.site.ship(world.first, service, world.today, items=0)
        await world.pass_time(minutes=10)
        assert len(world.statistics) == 12
        mode = await world.stores.modes.get(TRANSFER)
        assert (mode.switch, mode.code) == (Switch.STOPPED, "CD-4415")
        assert mode.reason == "11 of 12 rows of a day have vanished at once"
        await world.switch(TRANSFER, Switch.ON)
        await world.next_days()
        assert len(world.statistics) == 1
        assert (await world.stores.modes.get(TRANSFER)).switch is Switch.ON


@both
@virtually
async def test_answers_that_are_lost_and_a_throttled_crm_double_nothing(site: Sites) -> None:
    """R-103: creates, changes and deletes whose answers are lost are found again by their keys, not sent blindly."""
    async with StatisticsWorld(site) as world:
        await world.begin()
        world.ship(world.first, 5)
        world.ship(world.second, 6)
        for path in (f"{MESSAGES}CreateMultiple$", f"{MESSAGES}UpdateMultiple$", r"/\$batch$"):
            world.crm.faults.add(FaultRule(FaultKind.LOST_ANSWER, "POST", path, times=1))
            world.crm.faults.add(FaultRule(FaultKind.THROTTLED, "POST", path, times=1, retry_after_seconds=20))
        await world.next_days()
        first, second = world.accounts_made
        assert world.shown() == {(0, first, 5), (0, second, 6)}
        world.ship(world.first, 7)
        world.ship(world.second, 0)
        await world.next_days()
        assert world.shown() == {(0, first, 7)}
        assert await world.parked(TRANSFER) == []


@virtually
async def test_two_runs_of_one_day_take_turns() -> None:
    """R-103: the second waits until the first is done, whatever process it is in; each row is written once."""
    slow = DataverseOptions(application_users=(CRM_CLIENT,), target_seconds=3)
    async with StatisticsWorld(WHOLE, crm=slow) as world:
        await world.begin()
        world.ship(world.first, 5)
        world.ship(world.second, 6)
        world.forget_requests()
        for _ in range(3):
            await world.ask()
            await world.clock.sleep(0.5)
        await world.clock.sleep(60)
        assert world.crm.requests.count("POST", f"{MESSAGES}CreateMultiple$") == 1
        reasons = [one.reason for one in await world.entries()]
        assert "another run is at this day's rows" in reasons
        assert len(world.statistics) == 2


@virtually
async def test_a_day_that_takes_too_long_is_handed_back_and_goes_on() -> None:
    """R-103: after the time of a run what is left is queued again; what was written is not written again."""
    slow = DataverseOptions(application_users=(CRM_CLIENT,), target_seconds=32)
    async with StatisticsWorld(WHOLE, crm=slow) as world:
        await world.begin()
        world.ship(world.second, 6)
        await world.next_days()
        world.ship(world.first, 5)
        world.ship(world.first, 3, cost_centre_id=world.centre_there)
        world.ship(world.second, 8)
        await world.next_days()
        first, second = world.accounts_made
        assert world.shown() == {(0, first, 5), (0, first, 3), (0, second, 8)}
        handed_back = [one for one in await world.entries() if one.reason == "the time budget of the run was used up"]
        assert [one.counts for one in handed_back] == [{"created": 2}]


@both
@virtually
async def test_an_unlinked_customer_keeps_what_it_has_and_gets_nothing_more(site: Sites) -> None:
    """R-103: after a link is undone its rows of the window stay in the CRM as they are, neither changed nor deleted."""
    async with StatisticsWorld(site) as world:
        await world.begin()
        world.ship(world.first, 5)
        world.ship(world.first, 4, back=1)
        await world.next_days()
        await world.unlink_account(world.accounts_made[0])
        world.ship(world.first, 50)
        world.ship(world.first, 9, back=2)
        await world.next_days()
        first = world.accounts_made[0]
        assert world.shown() == {(0, first, 5), (1, first, 4)}
        assert (await world.day()).counts == {"customers not linked": 1}


@virtually
async def test_a_database_that_becomes_a_test_system_empties_nothing() -> None:
    """R-071, R-103: the mark is read at every run and again before anything is deleted; each CRM gets its own."""
    async with StatisticsWorld(WHOLE, for_two_crms(*PARTIES, "employee", "shipment_statistics"), TWO_CRMS) as world:
        await world.begin()
        world.ship(world.first, 5)
        world.ship(world.second, 6)
        await world.next_days()
        assert len(world.statistics) == 2
        world.site.mark_as_test_system(True)
        world.ship(world.first, 0)
        world.ship(world.second, 60)
        await world.pass_time(minutes=20)
        first, second = world.accounts_made
        assert world.shown() == {(0, first, 5), (0, second, 6)}
        assert world.other_crm.rows(STATISTICS) == {}
        world.site.mark_as_test_system(False)
        await world.next_days()
        assert world.shown() == {(0, second, 60)}


@virtually
async def test_a_row_is_explained_by_the_runs_of_its_day() -> None:
    """R-103: by its key in the CRM or by the day; there is no link to show, and none can be made by hand."""
    async with StatisticsWorld(WHOLE) as world:
        await world.begin()
        world.ship(world.first, 5, back=1)
        await world.next_days()
        operations = Operations(world.apps[0], await world.apps[0].engine())
        (key,) = world.statistics
        day = (world.today - timedelta(days=1)).isoformat()
        for place in (("dataverse", STATISTICS, key), ("postoffice", "shipment-statistics", day)):
            (told,) = (await operations.explain(*place))["items"]
            assert (told["state"], told["link"], told["fields"]) == ("derived", None, [])
            assert {"created": 1} in [entry["counts"] for entry in told["history"]]
        said = await typed(world, "explain", "dataverse", STATISTICS, key, **world.environment)
        assert "rows of the day: 1 created" in said.out
        for command in ("load", "plan", "drift"):
            said = await typed(world, command, TRANSFER, **world.environment)
            assert "derived and have no links" in said.out + said.err
        with pytest.raises(RequestError, match="derived and have no links"):
            await operations.link_records(TRANSFER, key, day, "clara", "a try")
        assert (await operations.links(TRANSFER, None, None, 10))["items"] == []


@virtually
async def test_a_setting_says_how_many_days_there_are() -> None:
    """R-121: `CROSSDOCK_WINDOWS`, without compiling the definitions anew."""
    async with StatisticsWorld(WHOLE, more={"CROSSDOCK_WINDOWS": f"{TRANSFER}=6"}) as world:
        await world.begin()
        world.ship(world.first, 5, back=5)
        world.ship(world.first, 6, back=6)
        await world.next_days()
        assert world.shown() == {(5, world.accounts_made[0], 5)}


@virtually
async def test_a_window_that_is_not_walked_is_told_by_health() -> None:
    """R-121: silence is an alarm, as with a feed that nobody walks."""
    async with StatisticsWorld(WHOLE) as world:
        await world.begin()
        engine = await world.apps[0].engine()
        (window,) = [one for one in await engine.watch.feeds() if one.table == "postoffice shipment-statistics"]
        assert window.mark is not None
        limits = Limits(6, *[timedelta(days=5)] * 5)
        now = world.clock.now()
        assert late_since(window, limits, now + timedelta(minutes=5)) is None
        assert late_since(window, limits, now + timedelta(minutes=8)) == window.mark.done_at


@virtually
async def test_the_definition_fits_what_both_systems_tell() -> None:
    """R-103: `manage.py check` has nothing to say of it, and names a column that holds no days."""
    async with StatisticsWorld(WHOLE) as world:
        engine = await world.apps[0].engine()
        found = check(engine.index, await survey(engine.pipeline.ports.connectors, engine.index))
        own = [one for one in found if one.file.endswith("shipment_statistics.yaml")]
        assert [one for one in own if one.needs_somebody] == []
        rules = [
            rule.model_copy(update={"left": "createdon"}) if rule.left == "cdock_day" else rule
            for rule in world.definition_of_days.fields
        ]
        other = world.definition_of_days.model_copy(update={"fields": tuple(rules)})
        index = Index(definitions=(*engine.index.linking, other))
        found = check(index, await survey(engine.pipeline.ports.connectors, index))
        assert "dataverse cdock_shipmentstatistic.createdon" in [one.column for one in found if one.code == "CD-4618"]


@virtually
async def test_while_the_mode_is_none_no_day_is_read_or_written() -> None:
    """R-076, R-103: what was queued before ends as skipped; nothing new is queued."""
    async with StatisticsWorld(WHOLE) as world:
        await world.begin()
        world.ship(world.first, 5)
        await world.choose_mode(SiteMode.NONE)
        await world.ask()
        world.site.requests.clear()
        await world.next_days()
        assert world.statistics == {}
        assert world.site.requests.count("GET", ASKED) == 0
        assert (await world.day()).outcome == "skipped"
        await world.choose_mode(SiteMode.MANUAL)
        await world.next_days()
        assert world.shown() == {(0, world.accounts_made[0], 5)}


@virtually
async def test_statistics_may_come_as_a_file() -> None:
    """R-103, R-121: the export module's file in the place of the interface; corrections arrive with the next file."""
    lists = {"shipment-statistics": "shipment-statistics.csv"}
    site = {"CROSSDOCK_POSTOFFICE_SITE": json.dumps({"files": {"folder": "<folder>", "lists": lists}})}
    async with StatisticsWorld((WHOLE[0], {**WHOLE[1], **site})) as world:
        await world.begin()

        async def export() -> None:
            for path in world.site.export_csv(world.folder, world.today - timedelta(days=2), world.today):
                world.keep_time(path)
            await world.pass_time(minutes=2)
            await world.next_days()

        for back in range(4):
            world.ship(world.first, 5, back)
        world.ship(world.second, 6)
        await export()
        first, second = world.accounts_made
        assert world.shown() == {(0, first, 5), (1, first, 5), (2, first, 5), (0, second, 6)}
        world.ship(world.first, 0, back=1)
        world.ship(world.second, 60)
        await export()
        assert world.shown() == {(0, first, 5), (2, first, 5), (0, second, 60)}
        assert world.site.requests.count("GET", ASKED) == 0
