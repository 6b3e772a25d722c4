"""The connector of PostOffice, on a site that offers the whole contract, on one that offers the least, and on one whose
read-only lists come as files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import httpx
import pytest

from sandbox.faults import FaultKind, FaultRule
from sandbox.postoffice.options import Auth, PostOfficeOptions, poor
from sandbox.postoffice.sandbox import PostOfficeSandbox
from sandbox.tokens import TokenIssuer
from sandbox.transport import SandboxTransport
from shared.allowance import Allowance
from shared.connectors.postoffice.client import ALLOWED
from shared.connectors.postoffice.connector import PostOfficeConnector
from shared.connectors.postoffice.site import Files, Paging, Site
from shared.connectors.postoffice.with_files import PostOfficeWithFiles, file_lists
from shared.errors import (
    AlreadyExists,
    FeedExpired,
    RecordMissing,
    Refused,
    SignInFailed,
    SystemDown,
    UnknownColumn,
    UnknownResult,
    VersionConflict,
)
from shared.http_client import HttpClient, basic
from shared.identity import FixedCredential
from shared.sync.ports import Change, NewRecord, Profile, Record, Value, VersionKind
from tests.unit.connectors.fakes import CountingIds, JumpingClock

CRM_ID = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2c01"
OTHER = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2c02"
COLUMNS = ["number", "name", "crmId", "master", "addresses.main.city"]
POOR_SITE = Site(
    versions=False,
    feed=False,
    idempotency_keys=False,
    paging=Paging.OFFSET,
    page_size=3,
    filters=False,
    account_managers=False,
)
FILED = {name: f"{name}.csv" for name in ("customer-groups", "services", "articles")}
KEY = b"a key of the fingerprints, made up"


class PostOffice:
    """A site with its sandbox and our connector to it."""

    def __init__(self, options: PostOfficeOptions, site: Site) -> None:
        self.clock = JumpingClock()
        issuer = TokenIssuer(self.clock)
        self.sandbox = PostOfficeSandbox(clock=self.clock, issuer=issuer, base_path="/gateway", options=options)
        self.folder = Path(mkdtemp())
        self.site = site
        if site.files is not None:
            self.site = site.model_copy(update={"files": site.files.model_copy(update={"folder": str(self.folder)})})
        self.connector = self._with_files(self.connect(f"{options.user}:{options.password}"))

    def _with_files(self, connector: PostOfficeConnector) -> PostOfficeConnector | PostOfficeWithFiles:
        files = self.site.files
        if files is None:
            return connector
        lists = file_lists(self.site, files, self.clock, system="postoffice", key=KEY, reports=None)
        return PostOfficeWithFiles(connector, lists)

    async def export(self) -> None:
        """Let the read-only lists be written anew where they come as files, and wait until they are read."""
        if self.site.files is not None:
            self.sandbox.export_csv(self.folder, self.clock.now().date(), self.clock.now().date())
            await self.clock.sleep(self.site.files.quiet_seconds + 1)

    async def aclose(self) -> None:
        await self.connector.aclose()
        await self.sandbox.aclose()
        rmtree(self.folder)

    def connect_through(self, http: httpx.AsyncBaseTransport) -> PostOfficeConnector:
        """A connector with the right credential over a transport that may alter what it is answered."""
        options = self.sandbox.options
        return self.connect(f"{options.user}:{options.password}", http)

    def connect(self, credential: str, http: httpx.AsyncBaseTransport | None = None) -> PostOfficeConnector:
        client = HttpClient(
            system="postoffice",
            base_url="https://post.example",
            scope="",
            tokens=FixedCredential(credential),
            clock=self.clock,
            ids=CountingIds(),
            allowance=Allowance(ALLOWED, self.clock),
            http=http or SandboxTransport(self.sandbox.app),
            owns_tokens=True,
            sign=basic,
        )
        return PostOfficeConnector([client], self.clock, instance="site", base_path="/gateway", site=self.site)

    async def create(self, **values: Value) -> Record:
        wanted: dict[str, Value] = {"crmId": CRM_ID, "name": "Muster", "addresses.main.city": "Basel", **values}
        return await self.connector.create("customers", wanted, COLUMNS, key=None, within_seconds=60)

    def strike(self, kind: FaultKind, method: str, path: str = "/customers") -> None:
        self.sandbox.faults.add(FaultRule(kind, method, path, times=1))


WORLDS = {
    "whole": (PostOfficeOptions(auth=Auth.BASIC), Site(page_size=3)),
    "poor": (poor(), POOR_SITE),
    "files": (poor(), POOR_SITE.model_copy(update={"files": Files(folder="made by the test", lists=FILED)})),
}


@pytest.fixture(params=list(WORLDS))
async def post(request: pytest.FixtureRequest) -> AsyncIterator[PostOffice]:
    """All worlds; every request must have been one that the contract knows."""
    made = PostOffice(*WORLDS[request.param])
    yield made
    await made.aclose()
    assert made.sandbox.requests.unforeseen() == []


@pytest.fixture
async def whole() -> AsyncIterator[PostOffice]:
    """A site that offers everything."""
    made = PostOffice(*WORLDS["whole"])
    yield made
    await made.connector.aclose()


async def test_a_customer_is_created_read_and_found(post: PostOffice) -> None:
    """R-082: found by the number, by the external number, and by the CRM's id."""
    made = await post.create(externalNumber="X-9")
    assert made.values["master"] == "CRM"
    assert (await post.connector.read("customers", [made.key, "99"], COLUMNS)) == {made.key: made}
    for column, value in (("number", str(made.values["number"])), ("externalNumber", "X-9"), ("crmId", CRM_ID)):
        assert await post.connector.find("customers", column, [value], COLUMNS) == [made]
    assert await post.connector.find("customers", "name", ["muster"], ["name"]) == [
        Record(made.key, made.version, {"name": "Muster"})
    ]


async def test_versions_are_used_where_there_are_any(post: PostOffice) -> None:
    made = await post.create()
    changed = await post.connector.update("customers", made.key, {"name": "New"}, COLUMNS, version=made.version)
    assert changed.values["name"] == "New"
    if post.connector.capabilities("customers").version is VersionKind.NONE:
        assert changed.version is None
        return
    with pytest.raises(VersionConflict):
        await post.connector.update("customers", made.key, {"name": "Old"}, COLUMNS, version=made.version)
    with pytest.raises(VersionConflict):
        await post.connector.update("customers", made.key, {"crmId": None}, COLUMNS, version=made.version)


async def test_linking_comes_before_what_only_a_linked_record_takes(post: PostOffice) -> None:
    """R-084, R-086: identifier and mastership first, then the data."""
    own = post.sandbox.create("customers", {"name": "Eigen AG", "number": "7"})
    values: dict[str, Value] = {"name": "Theirs", "crmId": CRM_ID, "addresses.invoice.city": "Chur"}
    version = f'"{own["version"]}"' if post.site.versions else None
    linked = await post.connector.update("customers", own["id"], values, COLUMNS, version=version)
    assert (linked.values["crmId"], linked.values["master"], linked.values["name"]) == (CRM_ID, "CRM", "Theirs")
    with pytest.raises(AlreadyExists):
        await post.connector.update("customers", own["id"], {"crmId": OTHER}, COLUMNS, version=None)


async def test_unlinking_gives_the_record_back(post: PostOffice) -> None:
    """R-091: identifier and lock are gone, the record stays; doing it twice is fine."""
    made = await post.create()
    for _ in range(2):
        left = await post.connector.update("customers", made.key, {"crmId": None}, COLUMNS, version=None)
        assert (left.values["crmId"], left.values["master"], left.values["name"]) == (None, "PO", "Muster")


async def test_a_record_that_is_not_linked_refuses_our_data(post: PostOffice) -> None:
    own = post.sandbox.create("customers", {"name": "Eigen AG"})
    with pytest.raises(Refused) as refused:
        await post.connector.update("customers", own["id"], {"name": "Theirs"}, COLUMNS, version=None)
    assert refused.value.answer.vendor_code == "NotCrmMastered"


async def test_a_missing_record_is_told_from_a_refused_one(post: PostOffice) -> None:
    with pytest.raises(RecordMissing):
        await post.connector.update("customers", "99", {"name": "X"}, COLUMNS, version=None)


async def test_refusals_name_the_field_and_no_value(post: PostOffice) -> None:
    with pytest.raises(Refused) as unknown:
        await post.create(customerGroupId="99")
    assert (unknown.value.answer.field, unknown.value.answer.vendor_code) == ("customerGroupId", "UnknownReference")
    await post.create(number="77")
    with pytest.raises(Refused) as taken:
        await post.create(number="77", crmId=OTHER)
    assert taken.value.answer.vendor_code == "NumberTaken"


async def test_a_lost_answer_leaves_the_result_unknown_and_the_record_can_be_found(post: PostOffice) -> None:
    post.strike(FaultKind.LOST_ANSWER, "POST")
    with pytest.raises(UnknownResult):
        await post.create()
    assert len(await post.connector.find("customers", "crmId", [CRM_ID], COLUMNS)) == 1


async def test_a_repeated_create_meets_the_same_record_where_the_site_knows_the_key(whole: PostOffice) -> None:
    assert (await whole.create()).key == (await whole.create()).key
    assert len(whole.sandbox.rows("customers")) == 1


async def test_every_record_is_on_a_page_once_the_list_is_still(post: PostOffice) -> None:
    ids = [post.sandbox.create("services", {"number": str(n), "name": f"S{n}"})["id"] for n in range(8)]
    await post.export()
    found: list[str] = []
    places: list[str | None] = []
    async for page in post.connector.pages("services", None, ["name"], most=3):
        found += [one.key for one in page.records]
        places.append(page.place)
    assert sorted(set(found)) == sorted(ids)
    rest = [one.key async for page in post.connector.pages("services", places[0], ["name"]) for one in page.records]
    assert set(ids[3:]) <= set(rest)


@pytest.mark.parametrize("gone", [1, 3, 6, 7])
async def test_nothing_is_missed_when_rows_vanish_between_two_pages(gone: int) -> None:
    """By offset the rows behind a deleted one move up; the reading notices and steps back, however many they were."""
    post = PostOffice(*WORLDS["poor"])
    ids = [post.sandbox.create("services", {"number": str(n), "name": f"S{n}"})["id"] for n in range(15)]
    found: set[str] = set()
    deleted: set[str] = set()
    async for page in post.connector.pages("services", None, ["name"], most=3):
        found |= {one.key for one in page.records}
        if len(found) == 7 and not deleted:
            deleted = set(ids[:gone])
            for one in deleted:
                post.sandbox.delete("services", one)
    assert deleted
    assert found >= set(ids)
    await post.connector.aclose()


async def test_nothing_is_missed_when_rows_vanish_before_somebody_goes_on_at_a_place() -> None:
    """The nightly comparison takes one page at a time, and another process may take the next."""
    post = PostOffice(*WORLDS["poor"])
    ids = [post.sandbox.create("services", {"number": str(n), "name": f"S{n}"})["id"] for n in range(9)]
    found: set[str] = set()
    place: str | None = None
    while True:
        page = await anext(aiter(post.connector.pages("services", place, ["name"], most=3)))
        found |= {one.key for one in page.records}
        if place is None:
            for one in ids[:2]:
                post.sandbox.delete("services", one)
        place = page.place
        if place is None:
            break
    assert found >= set(ids)
    await post.connector.aclose()


async def test_changes_are_found_from_a_watermark_on(post: PostOffice) -> None:
    ids = [post.sandbox.create("customer-groups", {"number": str(n), "name": f"G{n}"})["id"] for n in range(5)]
    await post.clock.sleep(3600)
    await post.export()
    pages = [page async for page in post.connector.changes("customer-groups", None, ["name", "active"])]
    assert {one.key for page in pages for one in page.records} == set(ids)
    mark = pages[-1].watermark
    await post.clock.sleep(3600)
    post.sandbox.edit("customer-groups", ids[2], {"name": "Changed"})
    post.sandbox.delete("customer-groups", ids[3])
    await post.export()
    later = [page async for page in post.connector.changes("customer-groups", mark, ["name"])]
    before = {one.version for page in pages for one in page.records}
    news = [one for page in later for one in page.records if one.version is None or one.version not in before]
    assert [one.values for one in news] == [{"name": "Changed"}]
    deleted = [key for page in later for key in page.deleted]
    assert deleted == ([ids[3]] if post.site.feed else [])
    nothing = [page async for page in post.connector.changes("customer-groups", later[-1].watermark, ["name"])]
    assert [one for page in nothing for one in page.deleted] == []


async def test_changes_bring_the_parts_that_are_asked_for(post: PostOffice) -> None:
    made = await post.create()
    pages = [page async for page in post.connector.changes("customers", None, COLUMNS)]
    assert [dict(one.values) for page in pages for one in page.records] == [dict(made.values)]


async def test_a_feed_that_has_expired_is_said_to_be(whole: PostOffice) -> None:
    (page,) = [page async for page in whole.connector.changes("services", None, ["name"])]
    await whole.clock.sleep(8 * 86_400)
    for mark in (page.watermark, "at 2026-03-01T00:00:00Z", "nonsense"):
        with pytest.raises(FeedExpired):
            _ = [page async for page in whole.connector.changes("services", mark, ["name"])]


async def test_amounts_keep_their_digits(post: PostOffice) -> None:
    article = post.sandbox.create("articles", {"number": "1", "name": "Box", "price": "12.3456"})
    await post.export()
    found = await post.connector.read("articles", [article["id"]], ["price", "unit", "active"])
    assert found[article["id"]].values == {"price": Decimal("12.3456"), "unit": None, "active": True}


async def test_many_writes_have_a_result_each(post: PostOffice) -> None:
    wanted = [NewRecord({"crmId": CRM_ID, "name": "A"}), NewRecord({"crmId": OTHER, "name": ""})]
    made, refused = await post.connector.create_many("customers", wanted, COLUMNS, within_seconds=60)
    assert isinstance(made, Record)
    assert isinstance(refused, Refused)
    changes = [Change(made.key, {"name": "B"}, made.version), Change("99", {"name": "C"}, None)]
    changed, missing = await post.connector.update_many("customers", changes, COLUMNS, within_seconds=60)
    assert isinstance(changed, Record)
    assert isinstance(missing, RecordMissing)


async def test_what_does_not_exist_is_named(whole: PostOffice) -> None:
    with pytest.raises(UnknownColumn) as column:
        await whole.connector.read("customers", ["1"], ["colour"])
    assert column.value.answer.field == "colour"
    with pytest.raises(UnknownColumn):
        await whole.connector.metadata("colours")


async def test_a_refused_sign_in_is_said_to_be(whole: PostOffice) -> None:
    stranger = whole.connect("crossdock:wrong")
    with pytest.raises(SignInFailed):
        await stranger.ping()
    await stranger.aclose()


async def test_an_outage_is_told_from_a_refusal(post: PostOffice) -> None:
    post.strike(FaultKind.UNAVAILABLE, "GET", "/system")
    with pytest.raises(SystemDown):
        await post.connector.ping()
    await post.connector.ping()


async def test_the_mark_of_a_test_system_is_read_each_time(whole: PostOffice) -> None:
    """R-071: the flag of the PostOffice database, as it is now."""
    assert await whole.connector.profile() is Profile.PRODUCTIVE
    whole.sandbox.mark_as_test_system(True)
    assert await whole.connector.profile() is Profile.TEST


def test_a_site_that_binds_what_the_contract_does_not_know_is_told() -> None:
    site = Site(
        paths={"customers": "kunden", "colours": "farben"}, columns={"customers.name": "bezeichnung", "x.y": "z"}
    )
    assert site.strangers() == ["colours", "x.y"]
    assert (site.path("customers"), site.theirs("customers", "name")) == ("kunden", "bezeichnung")
