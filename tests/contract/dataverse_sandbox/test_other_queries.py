"""FetchXML and SQL over one table, and bulk deletion by a list of ids."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree

import httpx
import pytest

from sandbox.dataverse.elsewhere import ELSEWHERE
from sandbox.dataverse.metadata import load_model
from tests.contract.dataverse_sandbox.conftest import Organisation, code_of

CRM = "Microsoft.Dynamics.CRM."
ANNOTATIONS = {"Prefer": f'odata.include-annotations="{CRM}fetchxmlpagingcookie,{CRM}morerecords"'}
NESTED = """<filter type="or"><condition attribute="name" operator="eq" value="Mill 1" />
<filter><condition attribute="revenue" operator="ge" value="50" />
<condition attribute="statecode" operator="eq" value="0" /></filter></filter>"""


@pytest.fixture
async def mills(org: Organisation) -> Organisation:
    """An organisation with five accounts."""
    for number in range(1, 6):
        await org.create(
            name=f"Mill {number}",
            revenue=number * 10,
            telephone1=None if number == 5 else f"{number}",
            creditonhold=number > 3,
        )
    return org


async def fetch(org: Organisation, inner: str, attributes: str = "") -> httpx.Response:
    """Send FetchXML for accounts."""
    text = f'<fetch {attributes}><entity name="account"><attribute name="name" />{inner}</entity></fetch>'
    return await org.client.get(f"/accounts?fetchXml={quote(text, safe='')}", headers=ANNOTATIONS)


async def sql(org: Organisation, text: str, **headers: Any) -> httpx.Response:
    """Send SQL for accounts."""
    return await org.client.get(f"/accounts?sql={quote(text, safe='')}", headers=headers)


def numbers(answer: httpx.Response) -> list[int]:
    """The numbers of the mills in an answer."""
    assert answer.status_code == 200, answer.text
    return [int(row["name"].split()[1]) for row in answer.json()["value"]]


def condition(attribute: str, operator: str, value: str | None = None, inner: str = "") -> str:
    """One condition in a filter of its own."""
    given = "" if value is None else f'value="{value}"'
    return f'<filter><condition attribute="{attribute}" operator="{operator}" {given}>{inner}</condition></filter>'


ORDER = '<order attribute="revenue" descending="true" />'


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (condition("name", "eq", "mill 2"), [2]),
        (condition("revenue", "gt", "30"), [5, 4]),
        (condition("creditonhold", "eq", "1"), [5, 4]),
        (condition("telephone1", "null"), [5]),
        (condition("name", "like", "%3%"), [3]),
        (condition("name", "not-like", "Mill%"), []),
        (condition("name", "in", None, "<value>Mill 1</value><value>Mill 4</value>"), [4, 1]),
        (NESTED, [5, 1]),
    ],
)
async def test_fetchxml_filters_and_orders(mills: Organisation, inner: str, expected: list[int]) -> None:
    """The same comparisons as in OData, by logical names."""
    assert numbers(await fetch(mills, inner + ORDER)) == expected


async def test_fetchxml_is_paged_by_the_query_with_a_cookie(mills: Organisation) -> None:
    """The cookie is encoded twice; the last page says that there are no more."""
    first = await fetch(mills, ORDER, 'count="2" page="1"')
    assert (numbers(first), first.json()["@Microsoft.Dynamics.CRM.morerecords"]) == ([5, 4], True)
    element = ElementTree.fromstring(first.json()["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"])  # noqa: S314 - ours
    cookie = unquote(unquote(element.attrib["pagingcookie"]))
    assert ElementTree.fromstring(cookie).tag == "cookie"  # noqa: S314 - ours
    assert element.attrib["pagenumber"] == "2"
    last = await fetch(mills, ORDER, 'count="2" page="3"')
    assert (numbers(last), last.json()["@Microsoft.Dynamics.CRM.morerecords"]) == ([1], False)
    assert numbers(await fetch(mills, ORDER, 'top="1"')) == [5]


@pytest.mark.parametrize(
    ("inner", "status"),
    [
        ('<attribute name="nix" />', 400),
        ('<link-entity name="contact" from="contactid" to="primarycontactid" />', 501),
        (condition("createdon", "last-seven-days", ""), 501),
        (condition("name", "last-x-days", "2"), 400),
        (condition("createdon", "last-x-days", "many"), 400),
        ("<filter />", 400),
    ],
)
async def test_fetchxml_beyond_one_table_is_not_pretended(mills: Organisation, inner: str, status: int) -> None:
    """What is wrong is refused, what nobody imitated is 501."""
    assert (await fetch(mills, inner)).status_code == status


@pytest.mark.parametrize(
    ("clauses", "expected"),
    [
        ("WHERE name = 'Mill 2'", [2]),
        ("WHERE a.revenue >= 40 AND a.telephone1 IS NOT NULL", [4]),
        ("WHERE name LIKE 'Mill%' AND NOT_USED", None),
        ("WHERE name NOT LIKE '%1'  ORDER BY revenue", [2, 3, 4, 5]),
        ("WHERE (name = 'Mill 1' OR name IN ('Mill 3')) AND statecode = 0 ORDER BY name DESC", [3, 1]),
        ("WHERE revenue <> 10 ORDER BY creditonhold DESC, revenue ASC", [4, 5, 2, 3]),
        ("WHERE telephone1 IS NULL", [5]),
    ],
)
async def test_sql_filters_and_orders(mills: Organisation, clauses: str, expected: list[int] | None) -> None:
    """A SELECT over one table with an alias; what does not parse is refused."""
    answer = await sql(mills, " ".join(["SELECT a.name FROM account AS a", clauses]))
    if expected is None:
        assert answer.status_code == 400
    else:
        assert numbers(answer) == expected


async def test_sql_is_paged_by_links(mills: Organisation) -> None:
    """The link repeats the statement."""
    found: list[int] = []
    answer = await sql(mills, "SELECT name FROM account ORDER BY name", Prefer="odata.maxpagesize=2")
    for _ in range(3):
        found += numbers(answer)
        link = answer.json().get("@odata.nextLink")
        if link is None:
            break
        answer = await mills.client.get(link, headers={"Prefer": "odata.maxpagesize=2"})
    assert found == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("SELECT * FROM account", 400),
        ("SELECT nix FROM account", 400),
        ("SELECT name FROM contact", 400),
        ("SELECT COUNT(*) AS n FROM account", 501),
        ("SELECT TOP 1 name FROM account", 501),
        ("SELECT name FROM account a INNER JOIN contact c ON a.accountid = c.parentcustomerid", 501),
        ("SELECT name FROM account WHERE name BETWEEN 'a' AND 'b'", 501),
        ("SELECT name", 400),
    ],
)
async def test_sql_beyond_one_table_is_not_pretended(mills: Organisation, text: str, status: int) -> None:
    """What is wrong is refused, what nobody imitated is 501."""
    assert (await sql(mills, text)).status_code == status


def bulk_delete(*ids: str) -> dict[str, Any]:
    """A bulk deletion of accounts by their ids."""
    values = [{"Value": row_id, "Type": "System.Guid"} for row_id in ids]
    one = {"AttributeName": "accountid", "Operator": "In", "Values": values}
    query = {"EntityName": "account", "Criteria": {"FilterOperator": "And", "Conditions": [one]}}
    return {
        "JobName": "Clean up",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "",
        "StartDateTime": "2026-03-02T08:00:00Z",
        "QuerySet": [query],
    }


async def test_a_bulk_deletion_runs_as_a_job_later(mills: Organisation) -> None:
    """The answer names the job; the rows go when it runs, and each raises its event."""
    ids = list(mills.sandbox.rows("account"))
    await mills.sandbox.register_webhook("account", ["Delete"], "https://f.example/x", header=("a", "b"))
    answer = await mills.client.post("/BulkDelete", json=bulk_delete(*ids[:2]))
    job = f"/asyncoperations({answer.json()['JobId']})?$select=name,statuscode,operationtype"
    assert (await mills.client.get(job)).json()["statuscode"] == 0
    await mills.sandbox.deliver_due()
    assert len(mills.sandbox.rows("account")) == 5
    await mills.clock.advance(20)
    assert await mills.sandbox.deliver_due() == 2
    told = (await mills.client.get(job)).json()
    assert (told["name"], told["statuscode"], told["operationtype"]) == ("Clean up", 30, 13)
    assert list(mills.sandbox.rows("account")) == ids[2:]


async def test_a_bulk_deletion_of_anything_else_is_not_pretended(mills: Organisation) -> None:
    """A missing parameter is refused, other queries are 501."""
    body = bulk_delete("00000000-0000-4000-8000-000000000001")
    missing = await mills.client.post("/BulkDelete", json={"QuerySet": body["QuerySet"]})
    assert (missing.status_code, code_of(missing)) == (400, "0x80048d19")
    body["QuerySet"][0]["Criteria"]["Conditions"][0]["Operator"] = "NotIn"
    assert (await mills.client.post("/BulkDelete", json=body)).status_code == 501


def test_no_table_is_both_imitated_and_said_to_be_missing() -> None:
    """The list of what is missing is asked first, so that a table on it would never answer."""
    assert not ELSEWHERE & load_model().by_set.keys()
