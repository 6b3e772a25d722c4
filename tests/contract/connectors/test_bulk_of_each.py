"""Bulk writes where the two systems differ: numbers and references of Business Central, the two forms of Dataverse."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from sandbox.business_central import BusinessCentralOptions
from sandbox.faults import FaultKind, FaultRule
from shared.errors import AlreadyExists, ManualNumbersForbidden, RecordMissing, Refused, UnknownResult
from shared.sync.ports import Change, NewRecord, Record
from tests.contract.connectors.rigs import COMPANY, UNKNOWN_KEY, BusinessCentralRig, DataverseRig
from tests.contract.connectors.test_bulk import BATCH, MINUTES, TOGETHER

CUSTOMERS, ACCOUNTS = "customers", "account"


@pytest.fixture
async def erp() -> AsyncIterator[BusinessCentralRig]:
    """Business Central."""
    made = BusinessCentralRig()
    await made.start()
    yield made
    await made.aclose()


@pytest.fixture
async def crm() -> AsyncIterator[DataverseRig]:
    """Dataverse."""
    made = DataverseRig()
    await made.start()
    yield made
    await made.aclose()
    assert made.requests.unforeseen() == []


def customers(rig: BusinessCentralRig, count: int) -> list[NewRecord]:
    """So many new customers with numbers of ours."""
    return [NewRecord(rig.values(f"Company {at:03d}", f"CD-{at:06d}")) for at in range(count)]


def accounts(rig: DataverseRig, count: int) -> list[NewRecord]:
    """So many new accounts with keys of ours."""
    keys = [rig.connector.derived_key(ACCOUNTS, str(at), {}) for at in range(count)]
    return [NewRecord(rig.values(f"Company {at:03d}"), key) for at, key in enumerate(keys)]


async def test_every_refusal_of_the_erp_is_the_one_a_single_create_gets(erp: BusinessCentralRig) -> None:
    """Refused with its code and field, a number that is taken with its own class."""
    records = customers(erp, 20)
    records[3] = NewRecord(erp.values("Company 003", "CD-000003") | {"phoneNumber": "ask for Ann"})
    records[7] = NewRecord(erp.values("Company 007", "CD-000006"))
    records[9] = NewRecord(erp.values("Company 009", "CD-000009") | {"paymentTermsId.code": "NONE"})
    results = await erp.connector.create_many(CUSTOMERS, records, erp.asked, within_seconds=MINUTES)
    with pytest.raises(Refused) as alone:
        await erp.connector.create(CUSTOMERS, records[3].values, erp.asked, key=None, within_seconds=MINUTES)
    told = [(one.answer.vendor_code, one.answer.field) for one in results if isinstance(one, Refused)]
    assert told == [(alone.value.answer.vendor_code, alone.value.answer.field), ("", "paymentTermsId.code")]
    assert isinstance(results[7], AlreadyExists)
    assert sum(isinstance(one, Record) for one in results) == 17


async def test_a_series_that_forbids_numbers_is_asked_once_for_all_records() -> None:
    """The neighbours of the first refused record are refused for the same reason, without a probe of their own."""
    rig = BusinessCentralRig(BusinessCentralOptions(manual_numbers=False))
    results = await rig.connector.create_many(CUSTOMERS, customers(rig, 40), rig.asked, within_seconds=MINUTES)
    assert [type(one) for one in results] == [ManualNumbersForbidden] * 40
    assert (rig.requests.count("POST", BATCH), rig.sent("POST"), rig.names()) == (1, 2, [])
    await rig.aclose()


async def test_terms_that_were_replaced_are_looked_up_anew_for_a_change(erp: BusinessCentralRig) -> None:
    """The key we remembered for the code is refused; the change goes out once more with the present one."""
    made = await erp.connector.create_many(CUSTOMERS, customers(erp, 2), erp.asked, within_seconds=MINUTES)
    first, second = [one for one in made if isinstance(one, Record)]
    await erp.connector.update(CUSTOMERS, first.key, {"paymentTermsId.code": "30T"}, erp.asked, version=None)
    rows = erp.sandbox.rows(COMPANY, "paymentTerms")
    old = next(key for key, row in rows.items() if row["code"] == "30T")
    await erp.sandbox.edit(COMPANY, CUSTOMERS, first.key, {"paymentTermsId": "00000000-0000-0000-0000-000000000000"})
    await erp.sandbox.delete(COMPANY, "paymentTerms", str(old))
    await erp.sandbox.create(COMPANY, "paymentTerms", {"code": "30T", "displayName": "Thirty days"})
    change = Change(second.key, {"paymentTermsId.code": "30T"}, second.version)
    (after,) = await erp.connector.update_many(CUSTOMERS, [change], erp.asked, within_seconds=MINUTES)
    assert isinstance(after, Record)
    assert after.values["paymentTermsId.code"] == "30T"


async def test_a_number_is_never_changed_in_bulk_either(erp: BusinessCentralRig) -> None:
    """It is refused before anything is sent, and keeps nobody else from being changed."""
    (made,) = await erp.connector.create_many(CUSTOMERS, customers(erp, 1), erp.asked, within_seconds=MINUTES)
    assert isinstance(made, Record)
    changes = [Change(made.key, {"number": "N2"}), Change(made.key, {"phoneNumber": "1"})]
    refused, after = await erp.connector.update_many(CUSTOMERS, changes, erp.asked, within_seconds=MINUTES)
    assert isinstance(refused, Refused)
    assert refused.answer.field == "number"
    assert isinstance(after, Record)


async def test_whether_a_table_takes_create_multiple_is_asked_once(crm: DataverseRig) -> None:
    """And kept, like all metadata."""
    for batch in (accounts(crm, 2), accounts(crm, 4)[2:]):
        await crm.connector.create_many(ACCOUNTS, batch, crm.asked, within_seconds=MINUTES)
    assert crm.requests.count("GET", "/sdkmessagefilters") == 1
    assert crm.requests.count("POST", TOGETHER) == 2
    assert crm.requests.count("GET", r"/accounts$") == 2


@pytest.mark.parametrize("kind", [FaultKind.UNAVAILABLE, FaultKind.HALF_BODY, FaultKind.GARBAGE])
async def test_records_that_cannot_be_read_back_are_unknown(crm: DataverseRig, kind: FaultKind) -> None:
    """They were created; what was stored is not known."""
    crm.faults.add(FaultRule(kind, "GET", r"/accounts$", times=1))
    results = await crm.connector.create_many(ACCOUNTS, accounts(crm, 5), crm.asked, within_seconds=MINUTES)
    assert [type(one) for one in results] == [UnknownResult] * 5
    assert len(crm.stored()) == 5


async def test_records_without_keys_of_ours_get_them_from_the_system(crm: DataverseRig) -> None:
    """Each answer belongs to its record."""
    wanted = [NewRecord(crm.values(f"Company {at}")) for at in range(3)]
    results = await crm.connector.create_many(ACCOUNTS, wanted, crm.asked, within_seconds=MINUTES)
    assert [one.values["name"] for one in results if isinstance(one, Record)] == ["Company 0", "Company 1", "Company 2"]
    bad = [*wanted, NewRecord(crm.values("x" * 200))]
    results = await crm.connector.create_many(ACCOUNTS, bad, crm.asked, within_seconds=MINUTES)
    assert [isinstance(one, Record) for one in results] == [True, True, True, False]


async def test_a_reference_to_nothing_is_not_taken_for_a_record_that_is_gone(crm: DataverseRig) -> None:
    """Both are "not found" to the system; only one of them is the record's own end."""
    made = await crm.connector.create_many(ACCOUNTS, accounts(crm, 1), crm.asked, within_seconds=MINUTES)
    assert isinstance(made[0], Record)
    refers = {"primarycontactid": UNKNOWN_KEY}
    changes = [Change(made[0].key, refers), Change(UNKNOWN_KEY, refers), Change(UNKNOWN_KEY, {"telephone1": "1"})]
    results = await crm.connector.update_many(ACCOUNTS, changes, crm.asked, within_seconds=MINUTES)
    assert [type(one) for one in results] == [Refused, RecordMissing, RecordMissing]
    assert crm.requests.count("GET", r"/accounts$") == 2


async def test_every_write_in_bulk_carries_the_tag() -> None:
    """In either form; so the notices it causes show where it came from."""
    posted: list[bytes] = []

    def receive(request: httpx.Request) -> httpx.Response:
        posted.append(request.content)
        return httpx.Response(202)

    crm = DataverseRig(post=httpx.AsyncClient(transport=httpx.MockTransport(receive)))
    await crm.sandbox.register_webhook(ACCOUNTS, ["Create", "Update"], "https://f.example/x", header=("a", "b"))
    made = await crm.connector.create_many(ACCOUNTS, accounts(crm, 2), crm.asked, within_seconds=MINUTES)
    changes = [Change(one.key, {"telephone1": "1"}) for one in made if isinstance(one, Record)]
    await crm.connector.update_many(ACCOUNTS, changes, crm.asked, within_seconds=MINUTES)
    await crm.sandbox.flush()
    assert len(posted) == 4
    assert all(b'{"key":"tag","value":"crossdock"}' in body for body in posted)
    await crm.aclose()
