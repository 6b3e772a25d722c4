"""Operators at work: switches, brakes, links, parked records, journal, health; through HTTP only."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest

from shared.app import App, installed
from shared.stores.rows import RowStoreUnavailable
from shared.sync.claims import undo_link
from shared.sync.context import Timing
from shared.sync.message import Message
from shared.sync.ports import (
    BreakerRow,
    Candidate,
    JournalEntry,
    LinkRow,
    LinkState,
    Mode,
    ParkedItem,
    PendingItem,
    Side,
    Switch,
)
from tests.scenarios.doors.test_routes import principal
from tests.scenarios.doors.world import NOON, OPERATOR_KEY, SECRETS, Doors, dump

TO_ERP, TO_CRM = "account_to_business_central", "customer_to_dataverse"
PAIR = "dataverse/org/account~business_central/production/company/customers"
ACCOUNT = "0f8fad5b-d9cb-469f-a165-70867728950e"
CUSTOMER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
ACCOUNT_PATH, CUSTOMER_PATH = f"dataverse/account/{ACCOUNT}", f"business_central/customers/{CUSTOMER}"


def parked(key: str = ACCOUNT, transfer: str = TO_ERP) -> ParkedItem:
    """A record that waits for a person."""
    return ParkedItem(
        transfer=transfer,
        side=Side.LEFT,
        key=key,
        code="CD-4301",
        sentence="Several records could be the partner.",
        who="whoever keeps the record",
        remedy="Choose one of the named records and link it.",
        field="",
        first_at=NOON,
        last_at=NOON,
        times=1,
        correlation_id="c",
        run="r",
        others=(CUSTOMER,),
        candidates=(Candidate(CUSTOMER, 92, ("displayName 88", "postalCode 100")),),
    )


async def link(doors: Doors, account: str = ACCOUNT, customer: str = CUSTOMER) -> None:
    """Link an account and a customer."""
    for side, key, other in ((Side.LEFT, account, customer), (Side.RIGHT, customer, account)):
        await doors.stores.links.insert(LinkRow(PAIR, side, key, LinkState.LINKED, other, linked_at=NOON))


async def switched(doors: Doors, to: str, name: str = TO_ERP, **more: Any) -> Any:
    """Read a switch, move it, return the answer."""
    etag = (await doors.operate("GET", f"transfers/{name}")).json()["etag"]
    wish = {"switch": to, "by": "ticket-17", "reason": "first load is done", "etag": etag} | more
    return await doors.operate("PUT", f"transfers/{name}/switch", wish)


# --- switches -------------------------------------------------------------------------------------


async def test_every_transfer_is_off_until_somebody_switches_it_on(doors: Doors) -> None:
    """The list names tables, files and switches."""
    answer = (await doors.operate("GET", "transfers")).json()
    assert [(one["transfer"], one["switch"]) for one in answer["items"]] == [(TO_ERP, "off"), (TO_CRM, "off")]
    assert answer["items"][0]["source"] == {"system": "dataverse", "table": "account"}
    assert answer["problems"] == []


async def test_switching_on_says_who_and_why_and_counts_at_once(doors: Doors) -> None:
    """The process that moved the switch does not go on with the old one, however short ago it read it."""
    engine = await doors.app.engine()
    assert await engine.pipeline.switch(TO_ERP) is Switch.OFF
    answer = await switched(doors, "on")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["switch"], told["by"], told["reason"]) == ("on", "ticket-17", "first load is done")
    assert await engine.pipeline.switch(TO_ERP) is Switch.ON
    assert (await doors.stores.modes.get(TO_CRM)).switch is Switch.OFF


async def test_a_signed_in_person_is_written_down_by_id(doors: Doors) -> None:
    """Whatever the wish says about who it is from; never by name."""
    doors.environment["CROSSDOCK_PLATFORM_SIGN_IN"] = "on"
    with installed(doors.new_app()):
        wish = {"switch": "on", "by": "somebody-else", "reason": "go live", "etag": ""}
        await doors.operate("PUT", f"transfers/{TO_ERP}/switch", wish, principal("crossdock.operator"))
    assert (await doors.stores.modes.get(TO_ERP)).by == "7c32673f-6124-458a-bde7-0482b359c4aa"


async def test_nobody_switches_on_unseen_what_a_brake_has_just_stopped(doors: Doors) -> None:
    """The switch must still be the one that was read."""
    seen = (await switched(doors, "on")).json()["etag"]
    mode = await doors.stores.modes.get(TO_ERP)
    await doors.stores.modes.put(Mode(TO_ERP, Switch.STOPPED, NOON, "brake", "too many creates", mode.etag))
    wish = {"switch": "on", "by": "ticket-17", "reason": "again", "etag": seen}
    answer = await doors.operate("PUT", f"transfers/{TO_ERP}/switch", wish)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (409, "CD-5005", "etag")
    assert (await doors.stores.modes.get(TO_ERP)).switch is Switch.STOPPED


async def test_resuming_after_a_brake_lets_go_what_waited(doors: Doors) -> None:
    """As soon as every process knows of the switch, although the last drain was a moment ago: one that does not know
    yet would put back what it is sent."""
    await switched(doors, "on")
    engine = await doors.app.engine()
    await engine.draining.tick()
    await switched(doors, "stopped")
    await doors.stores.pending.put(PendingItem(TO_ERP, Side.LEFT, ACCOUNT, NOON, "a brake stopped the transfer", "c"))
    assert (await engine.draining.tick())[TO_ERP] == 0
    await switched(doors, "on")
    assert (await engine.draining.tick())[TO_ERP] == 0
    await doors.clock.sleep(Timing().switch_age.total_seconds())
    assert (await engine.draining.tick())[TO_ERP] == 1
    (message,) = (await doors.queued())[TO_ERP]
    assert (message.keys, message.cause) == ((ACCOUNT,), "drain")


WRONG_WISHES: dict[str, tuple[Any, str]] = {
    "no switch": ({"by": "me", "reason": "because", "etag": ""}, "switch"),
    "an unknown switch": ({"switch": "maybe", "by": "me", "reason": "because", "etag": ""}, "switch"),
    "no reason": ({"switch": "on", "by": "me", "etag": ""}, "reason"),
    "a blank reason": ({"switch": "on", "by": "me", "reason": "    ", "etag": ""}, "reason"),
    "a very long reason": ({"switch": "on", "by": "me", "reason": "x" * 201, "etag": ""}, "reason"),
    "nobody": ({"switch": "on", "reason": "because", "etag": ""}, "by"),
    "somebody with a mail address": ({"switch": "on", "by": "a@b.example", "reason": "because", "etag": ""}, "by"),
    "no etag": ({"switch": "on", "by": "me", "reason": "because"}, "etag"),
    "something unknown": ({"switch": "on", "by": "me", "reason": "because", "etag": "", "force": True}, "force"),
    "a list": ([], ""),
}


@pytest.mark.parametrize("case", WRONG_WISHES)
async def test_a_wrong_wish_names_the_field(doors: Doors, case: str) -> None:
    """And moves nothing."""
    wish, field = WRONG_WISHES[case]
    answer = await doors.operate("PUT", f"transfers/{TO_ERP}/switch", wish)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "CD-5001", field)
    assert (await doors.stores.modes.get(TO_ERP)).switch is Switch.OFF


async def test_a_write_that_a_foreign_page_could_send_is_refused(doors: Doors) -> None:
    """Without JSON's content type a browser would send it with the person's cookie and without asking."""
    headers = {"x-crossdock-key": OPERATOR_KEY, "content-type": "text/plain"}
    answer = await doors.http.post(f"/api/ops/transfers/{TO_ERP}/parked/retry", content=b'{"by":"me"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "CD-5007")


async def test_a_wish_of_unusual_size_is_refused(doors: Doors) -> None:
    """413 before parsing."""
    answer = await doors.operate("POST", f"transfers/{TO_ERP}/parked/retry", {"by": "x" * 20_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "CD-5006")


@pytest.mark.parametrize("path", ["transfers/nothing", "transfers/nothing/links", "transfers/nothing/parked"])
async def test_an_unknown_transfer_is_not_found(doors: Doors, path: str) -> None:
    """404 with the remedy."""
    answer = await doors.operate("GET", path)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (404, "CD-5004", "transfer")


# --- links and journal ----------------------------------------------------------------------------


async def test_a_link_is_found_from_both_of_its_records(doors: Doors) -> None:
    """By system, table and key, in any spelling of the key."""
    await link(doors)
    for path, other in (
        (f"dataverse/account/{ACCOUNT}", CUSTOMER),
        (f"business_central/customers/{CUSTOMER}", ACCOUNT),
    ):
        (found,) = (await doors.operate("GET", f"links/{path}")).json()["items"]
        assert (found["state"], found["other"], found["pair"]) == ("linked", other, PAIR)
        assert not {"base", "left_version", "right_version", "claim"} & found.keys()


async def test_a_record_without_a_link_has_none(doors: Doors) -> None:
    """An empty list, no error."""
    assert (await doors.operate("GET", f"links/dataverse/account/{ACCOUNT}")).json()["items"] == []


@pytest.mark.parametrize("path", ["dataverse/contact/1", "business_central/account/1", "k2/account/1"])
async def test_a_table_of_no_definition_is_not_found(doors: Doors, path: str) -> None:
    """Also for the journal."""
    for kind in ("links", "journal"):
        answer = await doors.operate("GET", f"{kind}/{path}")
        assert (answer.status_code, answer.json()["field"]) == (404, "table")


async def test_the_links_of_a_pair_come_in_pages(doors: Doors) -> None:
    """`next` leads through all of them exactly once."""
    keys = [f"0f8fad5b-d9cb-469f-a165-{number:012x}" for number in range(5)]
    for number, key in enumerate(keys):
        await link(doors, key, f"7c9e6679-7425-40de-944b-{number:012x}")
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await doors.operate("GET", f"transfers/{TO_ERP}/links?limit=2&after={after}")).json()
        seen += [one["key"] for one in page["items"]]
        after = page["next"]
    assert seen == keys
    other = (await doors.operate("GET", f"transfers/{TO_ERP}/links?side=right")).json()
    assert [one["other"] for one in other["items"]] == keys


WRONG_QUERIES = [
    ("limit", "0"),
    ("limit", "1001"),
    ("limit", "x"),
    ("side", "up"),
    ("after", "x" * 601),
    ("after", "ß" * 300),
]


@pytest.mark.parametrize(("field", "value"), WRONG_QUERIES)
async def test_a_wrong_query_names_the_parameter(doors: Doors, field: str, value: str) -> None:
    """400, and nothing is read."""
    answer = await doors.operate("GET", f"transfers/{TO_ERP}/links?{field}={value}")
    assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_unlinking_leaves_tombstones_and_a_trace(doors: Doors) -> None:
    """Both rows, with the reason; doing it again changes nothing more."""
    await link(doors)
    wish = {"by": "ticket-17", "reason": "two different companies"}
    for path in (
        f"dataverse/account/{ACCOUNT}",
        f"business_central/customers/{CUSTOMER}",
        f"dataverse/account/{ACCOUNT}",
    ):
        answer = await doors.operate("POST", f"links/{path}/unlink", wish)
        assert (answer.status_code, answer.json()["state"]) == (200, "unlinked")
    for side, key in ((Side.LEFT, ACCOUNT), (Side.RIGHT, CUSTOMER)):
        row = await doors.stores.links.get(PAIR, side, key)
        assert row is not None
        assert (row.state, row.generation, row.reason) == (LinkState.UNLINKED, 1, "ticket-17: two different companies")
    for path in (ACCOUNT_PATH, CUSTOMER_PATH):
        (entry,) = (await doors.operate("GET", f"journal/{path}")).json()["items"]
        assert (entry["outcome"], entry["cause"]) == ("unlinked", "unlink by ticket-17")


async def test_an_unlink_that_died_half_way_is_finished_by_the_next(doors: Doors) -> None:
    """The account's row is a tombstone already, the customer's is not."""
    await link(doors)
    home = await doors.stores.links.get(PAIR, Side.LEFT, ACCOUNT)
    assert home is not None
    tomb = LinkRow(PAIR, Side.LEFT, ACCOUNT, LinkState.UNLINKED, CUSTOMER, 1, etag=home.etag)
    await doors.stores.links.replace(tomb)
    wish = {"by": "ticket-17", "reason": "two different companies"}
    assert (await doors.operate("POST", f"links/dataverse/account/{ACCOUNT}/unlink", wish)).status_code == 200
    other = await doors.stores.links.get(PAIR, Side.RIGHT, CUSTOMER)
    assert other is not None
    assert other.state is LinkState.UNLINKED


async def test_an_unlink_that_died_before_the_journal_is_journalled_by_the_next(doors: Doors) -> None:
    """Both tombstones stand, and say who made them; nobody else's repeat claims it."""
    await link(doors)
    engine = await doors.app.engine()
    home = await doors.stores.links.get(PAIR, Side.LEFT, ACCOUNT)
    assert home is not None
    await undo_link(engine.pipeline.ports, home, "ticket-17: two different companies")
    for by in ("ticket-18", "ticket-17"):
        wish = {"by": by, "reason": "two different companies"}
        answer = await doors.operate("POST", f"links/dataverse/account/{ACCOUNT}/unlink", wish)
        assert answer.status_code == 200
    (entry,) = (await doors.operate("GET", f"journal/{ACCOUNT_PATH}")).json()["items"]
    assert entry["cause"] == "unlink by ticket-17"


async def test_there_is_nothing_to_unlink_without_a_link_or_during_a_create(doors: Doors) -> None:
    """404 and 409."""
    wish = {"by": "ticket-17", "reason": "two different companies"}
    answer = await doors.operate("POST", f"links/dataverse/account/{ACCOUNT}/unlink", wish)
    assert (answer.status_code, answer.json()["code"]) == (404, "CD-5004")
    await doors.stores.links.insert(LinkRow(PAIR, Side.LEFT, ACCOUNT, LinkState.CREATING))
    answer = await doors.operate("POST", f"links/dataverse/account/{ACCOUNT}/unlink", wish)
    assert (answer.status_code, answer.json()["code"]) == (409, "CD-5005")


async def test_the_journal_of_a_record_begins_with_the_newest(doors: Doors) -> None:
    """Outcome, reason and cause of each run."""
    for number in range(3):
        at = NOON + timedelta(minutes=number)
        entry = JournalEntry(
            f"r{number}", at, TO_ERP, PAIR, Side.LEFT, ACCOUNT, CUSTOMER, "updated", f"reason {number}"
        )
        await doors.stores.journal.write([entry])
    answer = (await doors.operate("GET", f"journal/dataverse/account/{ACCOUNT}?limit=2")).json()
    assert [one["reason"] for one in answer["items"]] == ["reason 2", "reason 1"]
    assert answer["items"][0]["at"] == "2026-03-02T12:02:00+00:00"


# --- parked and waiting ---------------------------------------------------------------------------


async def test_a_parked_record_says_what_to_do_and_is_put_back(doors: Doors) -> None:
    """The retry is a message; the item stays until the record has been transferred."""
    await switched(doors, "on")
    await doors.stores.parked.put(parked())
    (item,) = (await doors.operate("GET", f"transfers/{TO_ERP}/parked")).json()["items"]
    assert (item["code"], item["others"], item["side"]) == ("CD-4301", [CUSTOMER], "left")
    assert item["candidates"] == [{"key": CUSTOMER, "score": 92, "reasons": ["displayName 88", "postalCode 100"]}]
    path = f"transfers/{TO_ERP}/parked/left/{ACCOUNT}"
    assert (await doors.operate("GET", path)).json() == item
    answer = await doors.operate("POST", f"{path}/retry", {"by": "ticket-17"})
    assert (answer.status_code, answer.json()) == (202, {"queued": 1, "next": None})
    (message,) = (await doors.queued())[TO_ERP]
    assert (message.keys, message.cause) == ((ACCOUNT,), "retry by ticket-17")
    assert (await doors.operate("GET", path)).status_code == 200


async def test_all_parked_records_of_a_transfer_are_put_back(doors: Doors) -> None:
    """Not those of another transfer."""
    await switched(doors, "on")
    keys = [f"0f8fad5b-d9cb-469f-a165-{number:012x}" for number in range(7)]
    for key in keys:
        await doors.stores.parked.put(parked(key))
    await doors.stores.parked.put(parked(ACCOUNT, TO_CRM))
    answer = await doors.operate("POST", f"transfers/{TO_ERP}/parked/retry", {"by": "ticket-17"})
    assert (answer.status_code, answer.json()) == (202, {"queued": 7, "next": None})
    queued = await doors.queued()
    assert sorted(message.keys[0] for message in queued[TO_ERP]) == keys
    assert queued[TO_CRM] == []


async def test_nothing_is_put_back_while_the_transfer_is_off(doors: Doors) -> None:
    """Its message would be done without doing anything, and the record would be off the list."""
    await doors.stores.parked.put(parked())
    for path in (f"left/{ACCOUNT}/retry", "retry"):
        answer = await doors.operate("POST", f"transfers/{TO_ERP}/parked/{path}", {"by": "ticket-17"})
        assert (answer.status_code, answer.json()["code"]) == (409, "CD-5008")
    assert await doors.nothing_queued()


@pytest.mark.parametrize("place", [f"left/{ACCOUNT}", f"right/{ACCOUNT}", f"left/{'ß' * 300}", "left/%2F%00"])
async def test_what_is_not_parked_cannot_be_put_back(doors: Doors, place: str) -> None:
    """404; a side that is none is 400."""
    answer = await doors.operate("POST", f"transfers/{TO_ERP}/parked/{place}/retry", {"by": "me"})
    assert (answer.status_code, answer.json()["field"]) == (404, "key")
    assert (await doors.operate("GET", f"transfers/{TO_ERP}/parked/up/{ACCOUNT}")).status_code == 400
    assert (await doors.operate("GET", f"transfers/{TO_ERP}/parked?after=up")).json()["field"] == "after"


async def test_what_waits_is_counted(doors: Doors) -> None:
    """Parked ones wait for a person, pending ones by themselves, since when."""
    await doors.stores.parked.put(parked())
    for number in range(3):
        at = NOON - timedelta(minutes=number)
        await doors.stores.pending.put(PendingItem(TO_ERP, Side.LEFT, f"key-{number}", at, "a system is down", "c"))
    first, second = (await doors.operate("GET", "waiting")).json()["items"]
    assert (first["parked"], first["pending"], first["oldest"]) == (1, 3, "2026-03-02T11:58:00+00:00")
    assert (second["parked"], second["pending"], second["oldest"], second["more"]) == (0, 0, None, False)


async def test_the_breakers_show_which_system_is_left_alone(doors: Doors) -> None:
    """With the error that opened it."""
    row = BreakerRow("business_central", "production/company", True, 5, NOON, NOON, 2, "CD-1001")
    await doors.stores.breakers.put(row)
    crm, erp = (await doors.operate("GET", "breakers")).json()["items"]
    assert (crm["system"], crm["open"]) == ("dataverse", False)
    assert (erp["system"], erp["open"], erp["probes"], erp["code"]) == ("business_central", True, 2, "CD-1001")


# --- health ---------------------------------------------------------------------------------------


async def test_health_tells_strangers_only_that_it_is_up(doors: Doors) -> None:
    """And makes no connection for them."""
    doors.environment["CROSSDOCK_FINGERPRINT_KEY"] = "wrong"
    with installed(doors.new_app()) as app:
        answer = await doors.operate("GET", "health", headers={})
        assert (answer.status_code, answer.json()) == (200, {"status": "up"})
        assert app._engine is None


async def test_a_wrong_operator_setting_is_told_to_nobody(doors: Doors, caplog: pytest.LogCaptureFixture) -> None:
    """Only to the log: who cannot be known is a stranger."""
    doors.environment["CROSSDOCK_OPERATOR_KEY"] = "too-short"
    with installed(doors.new_app()):
        assert (await doors.operate("GET", "health", headers={})).json() == {"status": "up"}
        assert (await doors.operate("GET", "transfers")).status_code == 401
    assert "CROSSDOCK_OPERATOR_KEY" in caplog.text
    assert "too-short" not in caplog.text


async def test_health_tells_viewers_what_is_wrong(doors: Doors) -> None:
    """Settings by name and never by value, breakers, closed doors, what came to the doors."""
    good = (await doors.operate("GET", "health")).json()
    assert (good["status"], good["errors"], good["definitions"], good["closed_doors"]) == ("up", [], [], [])
    assert [one["system"] for one in good["systems"]] == ["dataverse", "business_central"]
    doors.environment |= {"CROSSDOCK_FINGERPRINT_KEY": "the-wrong-key", "CROSSDOCK_DATAVERSE_WEBHOOK_SECRET": ""}
    with installed(doors.new_app()):
        answer = await doors.operate("GET", "health")
    bad = answer.json()
    assert bad["status"] == "degraded"
    assert [error["code"] for error in bad["errors"]] == ["CD-3001"]
    assert "CROSSDOCK_FINGERPRINT_KEY" in bad["errors"][0]["sentence"]
    assert bad["closed_doors"] == ["CROSSDOCK_DATAVERSE_WEBHOOK_SECRET"]
    assert not [secret for secret in (*SECRETS, "the-wrong-key") if secret in answer.text]


async def test_health_names_a_definition_that_does_not_load(doors: Doors) -> None:
    """File, line and text; the other definitions run."""
    tree = json.loads(doors.app.index_json)
    tree["problems"] = [{"file": "f.yaml", "line": 7, "text": "no master"}]
    with installed(App(doors.environment, doors.app.outside, dump(tree))):
        answer = (await doors.operate("GET", "health")).json()
        assert answer["definitions"] == [{"file": "f.yaml", "line": 7, "text": "no master", "transfers": []}]
        assert len((await doors.operate("GET", "transfers")).json()["items"]) == 2


async def test_a_store_that_is_down_is_said_and_is_no_500(doors: Doors) -> None:
    """503 with the code of the store."""

    class Down:
        async def prepare(self) -> None:
            raise RowStoreUnavailable("simulated")

        async def aclose(self) -> None:
            """Nothing is open."""

    with installed(doors.new_app(rows=Down())):
        answer = await doors.operate("GET", "transfers")
        assert (answer.status_code, answer.json()["code"]) == (503, "CD-2001")
        health = (await doors.operate("GET", "health")).json()
        assert (health["status"], [error["code"] for error in health["errors"]]) == ("degraded", ["CD-2001"])


async def test_an_unforeseen_error_is_told_without_its_text(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with our own code; the log has class and place."""

    async def fail(*_: object) -> None:
        raise RuntimeError("Kontoinhaber-4711")

    monkeypatch.setattr(type(doors.app), "engine", fail)
    with caplog.at_level(logging.DEBUG):
        answer = await doors.operate("GET", "transfers")
    assert (answer.status_code, answer.json()["code"]) == (500, "CD-0000")
    assert "Kontoinhaber" not in answer.text + caplog.text
    assert "RuntimeError at" in caplog.text


async def test_messages_of_a_retry_run_like_any_other(doors: Doors) -> None:
    """From the parked list through the queue to the journal."""
    await switched(doors, "on")
    await doors.stores.parked.put(parked())
    await doors.operate("POST", f"transfers/{TO_ERP}/parked/left/{ACCOUNT}/retry", {"by": "ticket-17"})
    (message,) = (await doors.queued())[TO_ERP]
    assert isinstance(message, Message)
    await (await doors.app.engine()).pipeline.run(message)
    (entry,) = (await doors.operate("GET", f"journal/dataverse/account/{ACCOUNT}")).json()["items"]
    assert (entry["outcome"], entry["cause"]) == ("skipped", "retry by ticket-17")
    assert (await doors.operate("GET", f"transfers/{TO_ERP}/parked")).json()["items"] == []


# --- environments -----------------------------------------------------------------------------------


async def test_an_environment_that_answers_unexpectedly_degrades_health_until_an_admin_adopts_it(doors: Doors) -> None:
    """The wish names the environment that was seen; who and why are written down."""
    engine = await doors.app.engine()
    await engine.pipeline.environments.require(["dataverse", "business_central"])
    items = (await doors.operate("GET", "environments")).json()["items"]
    assert [(one["system"], one["environment"], one["wrong"]) for one in items] == [
        ("dataverse", "org", ""),
        ("business_central", "production/company", ""),
    ]
    assert (await doors.operate("GET", "health")).json()["status"] == "up"
    doors.erp.instance = "test/company"
    doors.clock.at += timedelta(minutes=16)
    health = (await doors.operate("GET", "health")).json()
    assert health["status"] == "degraded"
    assert ["CROSSDOCK_BUSINESS_CENTRAL_*" in one["wrong"] for one in health["environments"]] == [False, True]

    wish = {"by": "ticket-17", "reason": "moved", "environment": "production/company"}
    answer = await doors.operate("POST", "environments/business_central/adopt", wish)
    assert (answer.status_code, answer.json()["code"]) == (409, "CD-5005")
    answer = await doors.operate("POST", "environments/postoffice/adopt", wish)
    assert answer.status_code == 404
    answer = await doors.operate("POST", "environments/business_central/adopt", wish | {"environment": "test/company"})
    adopted = answer.json()
    assert (answer.status_code, adopted["links_made_for"], adopted["by"]) == (200, "test/company", "ticket-17")
    assert adopted["former"] == "production/company"
    again = await doors.operate("POST", "environments/business_central/adopt", wish | {"environment": "test/company"})
    assert again.json()["since"] == adopted["since"]
    await engine.pipeline.environments.require(["business_central"])
    assert (await doors.operate("GET", "health")).json()["status"] == "up"
