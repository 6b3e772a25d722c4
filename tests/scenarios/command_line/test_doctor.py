"""`manage.py doctor` on the sandboxes: a good installation is quiet, and each breakage is named with its remedy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NoReturn

import pytest

from sandbox.dataverse import DataverseOptions
from sandbox.faults import FaultKind, FaultRule
from shared.app import Outside
from shared.errors import QueueUnavailable
from shared.messaging.memory import MemoryQueue
from shared.stores.rows import RowStoreUnavailable
from shared.sync.ports import Clock, Outgoing, QueueView, Switch
from tests.scenarios.account_customer.world import (
    COMPANY_VALUES,
    CRM_CLIENT,
    CRM_URL,
    ENVIRONMENT,
    TO_ERP,
    RealWorld,
    Setup,
    virtually,
)
from tests.scenarios.command_line.terminal import Said, typed, typed_at
from tests.scenarios.command_line.test_register import ALWAYS, with_tables

KEY = "operator-key-of-tests-32-characters-long"
SECOND = "33333333-3333-4333-8333-333333333333"


@asynccontextmanager
async def healthy(setup: Setup | None = None) -> AsyncIterator[RealWorld]:
    """An installation that is set up and was looked at last night; nobody works while it is examined."""
    async with RealWorld(setup or Setup(hooks=False)) as world:
        assert (await typed(world, "register", "--apply", CROSSDOCK_OPERATOR_KEY=KEY)).code == 0
        engine = await world.apps[0].engine()
        await engine.schema_watch.look()
        await world._stop()
        await engine.walks.due()
        yield world


async def examined(world: RealWorld, outside: Outside | None = None, **settings: str) -> Said:
    """What doctor says."""
    wanted = {"CROSSDOCK_OPERATOR_KEY": KEY, **settings}
    return await typed_at(outside or same(world), world, ["doctor", "--json"], wanted)


def told(said: Said) -> list[str]:
    """What needs somebody: probe and sentence."""
    return [f"{one['probe']}: {one['told']}" for one in said.json["findings"] if one["level"] != "note"]


@dataclass
class OtherClock:
    """A clock that is off."""

    right: Clock
    by: timedelta

    def now(self) -> datetime:
        return self.right.now() + self.by

    def monotonic(self) -> float:
        return self.right.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self.right.sleep(seconds)


class NoStore:
    """A store that does not answer."""

    async def prepare(self) -> NoReturn:
        raise RowStoreUnavailable("nobody listens")

    async def aclose(self) -> None: ...


Breaking = Callable[[RealWorld], Awaitable[None]]
Changing = Callable[[RealWorld], Outside]


async def nothing(_: RealWorld) -> None: ...


def same(world: RealWorld) -> Outside:
    return world.apps[0].outside


@dataclass(frozen=True)
class Breakage:
    """What is broken, by which probe and words it is told, what the remedy says; unseen: what cannot be looked at."""

    probe: str
    told: str
    remedy: str
    breaking: Breaking = nothing
    settings: Mapping[str, str] = field(default_factory=dict)
    outside: Changing = same
    unseen: tuple[str, ...] = ()


async def secured(world: RealWorld) -> None:
    world.crm.secure_column(CRM_CLIENT, "account", "creditlimit", ["read"])


async def no_right(world: RealWorld) -> None:
    world.crm.limit_privilege(CRM_CLIENT, "account", "Create")


async def step_off(world: RealWorld) -> None:
    (step,) = [key for key, row in world.crm.rows("sdkmessageprocessingstep").items() if "Delete of acc" in row["name"]]
    await world.crm.edit("sdkmessageprocessingstep", step, {"statecode": 1, "statuscode": 2})


async def no_webhook(world: RealWorld) -> None:
    for table in ("sdkmessageprocessingstep", "serviceendpoint"):
        for key in list(world.crm.rows(table)):
            await world.crm.delete(table, key)


async def no_subscription(world: RealWorld) -> None:
    world.erp.forget_subscriptions()


async def crm_away(world: RealWorld) -> None:
    world.crm.faults.add(FaultRule(FaultKind.UNAVAILABLE))


async def stopped(world: RealWorld) -> None:
    await world.switch(TO_ERP, Switch.STOPPED)


async def no_walks(world: RealWorld) -> None:
    await world.pass_time(hours=1)


async def days_pass(world: RealWorld) -> None:
    await world.pass_time(days=2, minutes=1)
    await (await world.apps[0].engine()).walks.due()


async def dead_letter(world: RealWorld) -> None:
    await world.queue.send(TO_ERP, [Outgoing("1", "{}")])
    delivery = await world.queue.receive(TO_ERP)
    assert delivery is not None
    await world.queue.dead_letter(delivery, "unreadable")


async def message_lies(world: RealWorld) -> None:
    await world.queue.send(TO_ERP, [Outgoing("1", "{}")])
    await world.pass_time(hours=2)
    await (await world.apps[0].engine()).walks.due()


def ahead(world: RealWorld) -> Outside:
    clock = OtherClock(world.clock, timedelta(minutes=-10))
    return replace(same(world), clock=clock)


def without_store(world: RealWorld) -> Outside:
    return replace(same(world), rows=NoStore())  # type: ignore[arg-type] # it is never asked for more


def without_queues(world: RealWorld) -> Outside:
    return replace(same(world), queue=MemoryQueue(world.clock, [TO_ERP]))


class QueueAway(MemoryQueue):
    """An endpoint that is given up after a while."""

    async def look(self, queue: str) -> QueueView:
        await asyncio.sleep(25)
        raise QueueUnavailable(f"{queue} does not answer.")


OF_ENGINE = ("metadata", "registrations", "feeds", "work", "switches", "waiting", "schema")
BREAKAGES = {
    "a setting is missing": Breakage(
        "settings",
        "CROSSDOCK_FINGERPRINT_KEY: is missing",
        "Correct the named setting",
        settings={"CROSSDOCK_FINGERPRINT_KEY": ""},
        unseen=OF_ENGINE,
    ),
    "a secret is a placeholder": Breakage(
        "settings",
        "CROSSDOCK_DATAVERSE_WEBHOOK_SECRET: holds a placeholder",
        "random value",
        settings={"CROSSDOCK_DATAVERSE_WEBHOOK_SECRET": "change-me-change-me-change-me-change-me"},
    ),
    "the example's key was kept": Breakage(
        "settings",
        "CROSSDOCK_FINGERPRINT_KEY: holds a placeholder",
        "random value",
        settings={"CROSSDOCK_FINGERPRINT_KEY": "local:ZXhhbXBsZSBrZXksIG1ha2UgeW91ciBvd24gb25lIQ=="},
    ),
    "a secret of Key Vault was not resolved": Breakage(
        "settings",
        "its Key Vault reference is not resolved",
        "Correct the named setting",
        settings={"CROSSDOCK_DATAVERSE_IDENTITIES": "@Microsoft.KeyVault(SecretUri=https://v.example/secrets/crm)"},
        unseen=("dataverse", *OF_ENGINE),
    ),
    "a setting is misspelt": Breakage(
        "settings",
        "CROSSDOCK_DATAVERSE_WEBHOK_SECRET: no such setting is read. Did you mean CROSSDOCK_DATAVERSE_WEBHOOK_SECRET?",
        "Correct or remove",
        settings={"CROSSDOCK_DATAVERSE_WEBHOK_SECRET": "a-secret-that-nobody-reads-of-32-characters"},
    ),
    "a webhook's secret is missing": Breakage(
        "settings",
        "CROSSDOCK_DATAVERSE_WEBHOOK_SECRET: is missing, so the webhook takes nothing",
        "register",
        settings={"CROSSDOCK_DATAVERSE_WEBHOOK_SECRET": ""},
    ),
    "the sign-in is refused": Breakage(
        "dataverse",
        "refuses our sign-in",
        "Check the secret's expiry",
        settings={"CROSSDOCK_DATAVERSE_IDENTITIES": f"{CRM_CLIENT}:another-secret"},
        unseen=("metadata",),
    ),
    "one of two identities is refused": Breakage(
        "dataverse",
        "(identity 2 of 2)",
        "Check the secret's expiry",
        settings={"CROSSDOCK_DATAVERSE_IDENTITIES": f"{CRM_CLIENT}:made-up {SECOND}:made-up"},
        unseen=("metadata",),
    ),
    "a system does not answer": Breakage(
        "dataverse", "does not answer", "status page", breaking=crm_away, unseen=("metadata",)
    ),
    "another organisation answers": Breakage(
        "dataverse",
        "Correct CROSSDOCK_DATAVERSE_URL or CROSSDOCK_DATAVERSE_ORGANIZATION_ID",
        "",
        settings={"CROSSDOCK_DATAVERSE_ORGANIZATION_ID": "00000000-0000-4000-8000-000000000001"},
    ),
    "the clock is off": Breakage("dataverse", "seconds ahead of this machine's", "time server", outside=ahead),
    "the store does not answer": Breakage(
        "store", "nobody listens", "Storage Table Data Contributor", outside=without_store, unseen=OF_ENGINE
    ),
    "a queue is missing": Breakage(
        "queues", "customer_to_dataverse does not exist", "exists", outside=without_queues, unseen=("work",)
    ),
    "messages were given up": Breakage("queues", "1 dead letters lie in the queue", "sweep", breaking=dead_letter),
    "a right is lacking": Breakage("metadata", "may not create dataverse account", "role", breaking=no_right),
    "a column is secured": Breakage("metadata", "creditlimit", "column security profile", breaking=secured),
    "a step is disabled": Breakage(
        "registrations", "step differs: Delete of account", "manage.py register", breaking=step_off
    ),
    "there is no webhook": Breakage(
        "registrations", "webhook missing: app.example", "manage.py register", breaking=no_webhook
    ),
    "subscriptions are gone": Breakage(
        "registrations", "subscription missing: customers", "manage.py register", breaking=no_subscription
    ),
    "nothing walks": Breakage("feeds", "dataverse account: A change feed was not walked", "walks", breaking=no_walks),
    "messages are not handled": Breakage("work", "A message has lain in its queue", "enabled", breaking=message_lies),
    "a transfer is stopped": Breakage("switches", f"{TO_ERP}: is stopped", "manage.py mode", breaking=stopped),
    "nobody looks at the metadata": Breakage(
        "schema", "was last looked at on 2026-01-05", "schema_drift", breaking=days_pass
    ),
}


@virtually
async def test_a_good_installation_is_quiet() -> None:
    """Exit code 0, everything was looked at, and both systems were only read."""
    async with healthy() as world:
        world.forget_requests()
        said = await examined(world)
        assert (said.code, told(said), said.json["not_looked_at"]) == (0, [], [])
        assert {"settings", "store", "queues", "dataverse", "business_central", *OF_ENGINE} <= set(said.json["fine"])
        assert {one.method for one in [*world.crm.requests.entries(), *world.erp.requests.entries()]} == {"GET"}


@pytest.mark.parametrize("case", BREAKAGES)
def test_a_breakage_is_found_and_named_with_its_remedy(case: str) -> None:
    """By its own probe; what it hides is named, and everything else was looked at. No secret is shown."""
    broken = BREAKAGES[case]

    @virtually
    async def story() -> None:
        async with healthy() as world:
            await broken.breaking(world)
            said = await examined(world, broken.outside(world), **broken.settings)
            found = [one for one in said.json["findings"] if one["level"] != "note"]
            named = [one for one in found if one["probe"] == broken.probe and broken.told in one["told"]]
            assert named, (told(said), said.json["not_looked_at"])
            assert (said.code, broken.remedy in named[0]["remedy"]) == (1, True), named
            assert set(said.json["not_looked_at"]) == set(broken.unseen)
            assert all(one["remedy"] and one["page"].startswith("docs/") for one in said.json["findings"])
            for name, value in {**ENVIRONMENT, **broken.settings}.items():
                if value and name.endswith(("SECRET", "STATE", "KEY", "IDENTITIES")):
                    assert value not in said.out + said.err

    story()


@virtually
async def test_declared_tables_that_are_not_there_are_told_once() -> None:
    """Where they are declared, not once more for each column and key."""
    async with RealWorld(with_tables(ALWAYS)) as world:
        said = await examined(world)
        about = [one for one in told(said) if "cdock_job" in one or "cdock_seller" in one]
        assert about == [
            "metadata: transfers/jobs.yaml:4: dataverse cdock_job is declared and not there yet.",
            "metadata: transfers/jobs.yaml:23: dataverse account.cdock_seller is declared and not there yet.",
        ]


@virtually
async def test_the_readable_answer_says_what_is_fine_and_what_to_do() -> None:
    """A line for each finding and one for its remedy; no value of a record."""
    async with healthy() as world:
        await world.crm.create("account", {**COMPANY_VALUES, "cdock_vatnumber": "IT00000000001"})
        await step_off(world)
        said = await typed(world, "doctor", CROSSDOCK_OPERATOR_KEY=KEY)
        lines = said.out.splitlines()
        at = next(number for number, line in enumerate(lines) if "step differs" in line)
        assert lines[at].startswith("warning: registrations: CD-4703 dataverse:")
        assert "manage.py register" in lines[at + 1]
        assert any(line.startswith("Fine: settings, definitions, store, queues, dataverse") for line in lines)
        assert (said.code, "Aurora" in said.out, "probes" in said.err) == (1, False, True)


@virtually
async def test_an_endpoint_that_is_away_is_waited_for_once_and_not_for_each_queue() -> None:
    """Each queue is named, however many there are."""
    async with healthy() as world:
        began = world.clock.now()
        said = await examined(world, replace(same(world), queue=QueueAway(world.clock, world.names)))
        away = [one for one in told(said) if one.startswith("queues:")]
        assert len(away) == len(world.names) + 1
        assert world.clock.now() - began < timedelta(seconds=25 * len(away)), "and once more for what lies in them"


@virtually
async def test_transfers_that_are_off_are_told_together() -> None:
    """As all are at first: one note, however many there are, and nothing is wrong."""
    async with healthy() as world:
        for name in world.names:
            await world.switch(name, Switch.OFF)
        said = await examined(world)
        off = [(one["level"], one["told"]) for one in said.json["findings"] if one["probe"] == "switches"]
        assert off == [("note", f"Off, nothing moves and changes are forgotten: {', '.join(world.names)}.")]
        assert said.code == 0


@virtually
async def test_everything_broken_at_once_is_still_told() -> None:
    """Settings, both systems and the store: each by its own probe."""
    async with healthy() as world:
        for system in (world.crm, world.erp):
            system.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        said = await examined(world, without_store(world), CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE="short")
        probes = {line.partition(":")[0] for line in told(said)}
        assert probes >= {"settings", "store", "dataverse", "business_central"}
        assert (said.code, set(said.json["not_looked_at"])) == (1, set(OF_ENGINE))


@virtually
async def test_what_an_administrator_has_to_do_in_dataverse_is_told_without_rights_to_look() -> None:
    """The app's identity needs no right to see what is registered; that is a note, not a fault."""
    async with healthy(Setup(hooks=False, crm=DataverseOptions(application_users=(CRM_CLIENT,)))) as world:
        world.crm.limit_privilege(CRM_CLIENT, "serviceendpoint", "Read")
        said = await examined(world)
        notes = [one["told"] for one in said.json["findings"] if one["probe"] == "registrations"]
        assert (said.code, len(notes)) == (0, 1)
        assert CRM_URL not in said.out
