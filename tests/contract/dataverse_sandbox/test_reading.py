"""Reading rows: properties, filters, order, pages, counts, annotations, conditional reads."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from tests.contract.dataverse_sandbox.conftest import ROOT, Build, Organisation, code_of

ANNOTATED = {"Prefer": 'odata.include-annotations="*"'}


async def names(org: Organisation, query: str, table: str = "accounts") -> list[str]:
    """Return the names of the rows a query gives, in order."""
    answer = await org.client.get(f"/{table}?$select=name&{query}")
    assert answer.status_code == 200, answer.text
    return [row["name"] for row in answer.json()["value"]]


async def test_a_row_is_read_by_id_with_etag_and_primary_id(org: Organisation) -> None:
    """The primary id comes along even when it was not selected; the etag is the version number."""
    row_id = await org.create(name="Rossi Srl")
    body = (await org.client.get(f"/accounts({row_id})?$select=name")).json()
    version = org.sandbox.rows("account")[row_id]["versionnumber"]
    assert body == {
        "@odata.context": f"{ROOT}/$metadata#accounts(name)/$entity",
        "@odata.etag": f'W/"{version}"',
        "name": "Rossi Srl",
        "accountid": row_id,
    }


async def test_without_select_every_readable_column_comes(org: Organisation) -> None:
    """Lookups are `_name_value`; empty columns are null, not absent."""
    row_id = await org.create(name="Rossi Srl")
    body = (await org.client.get(f"/accounts({row_id})")).json()
    assert body["telephone1"] is None
    assert body["_ownerid_value"]
    assert body["createdon"] == "2026-03-02T08:00:00Z"
    assert "ownerid" not in body


async def test_a_missing_row_is_404(org: Organisation) -> None:
    """The text names table and id."""
    missing = "00000000-0000-4000-8000-000000000001"
    answer = await org.client.get(f"/accounts({missing})")
    assert (answer.status_code, code_of(answer)) == (404, "0x80040217")
    assert answer.json()["error"]["message"] == f"Entity 'Account' With Id = {missing} Does Not Exist"


async def test_an_unknown_table_is_404(org: Organisation) -> None:
    """Set names are case-sensitive."""
    for name in ("Accounts", "account", "customers"):
        answer = await org.client.get(f"/{name}")
        assert (answer.status_code, code_of(answer)) == (404, "0x80060888")


@pytest.mark.parametrize(
    "query",
    ["$select=Name", "$filter=nix eq 1", "$orderby=nix", "$filter=primarycontactid/nix eq 'a'", "$select=ownerid"],
)
async def test_an_unknown_property_is_refused(org: Organisation, query: str) -> None:
    """In whatever option it stands, and in whatever case."""
    answer = await org.client.get(f"/accounts?{query}")
    assert (answer.status_code, code_of(answer)) == (400, "0x80060888")
    assert "Could not find a property named" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "query",
    ["$skip=1", "$top=x", "$count=maybe", "$filter=name eq 5", "$filter=name eq", "$filter=name", "$orderby=name up"],
)
async def test_a_query_that_does_not_parse_or_fit_is_refused(org: Organisation, query: str) -> None:
    """$skip does not exist here at all."""
    assert (await org.client.get(f"/accounts?{query}")).status_code == 400


FILTERS: list[tuple[str, list[str]]] = [
    ("name eq 'ALFA spa'", ["Alfa SpA"]),
    ("name ne 'alfa spa'", ["Beta Srl", "O'Neil & Co"]),
    ("name eq 'O''Neil & Co'", ["O'Neil & Co"]),
    ("startswith(name,'b')", ["Beta Srl"]),
    ("contains(name,'s') and not endswith(name,'spa')", ["Beta Srl"]),
    ("numberofemployees gt 10 and numberofemployees le 50", ["Beta Srl"]),
    ("numberofemployees eq null", ["O'Neil & Co"]),
    ("numberofemployees lt 100", ["Alfa SpA", "Beta Srl"]),
    ("revenue ge 1000.5", ["Beta Srl"]),
    ("creditonhold eq true", ["Beta Srl"]),
    ("creditonhold", ["Beta Srl"]),
    ("customertypecode eq 3 or customertypecode eq 8", ["Alfa SpA", "Beta Srl"]),
    ('Microsoft.Dynamics.CRM.In(PropertyName=\'customertypecode\',PropertyValues=["3","10"])', ["Alfa SpA"]),
    ("Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=['beta srl'])", ["Beta Srl"]),
    ("createdon ge 2026-03-02T08:00:00Z", ["Alfa SpA", "Beta Srl", "O'Neil & Co"]),
    ("createdon gt 2026-03-02T08:00:00Z", []),
    ("createdon ge 2026-03-02", ["Alfa SpA", "Beta Srl", "O'Neil & Co"]),
    ("cdock_customersince eq 2020-02-29", ["Alfa SpA"]),
    ("transactioncurrencyid/isocurrencycode eq 'EUR'", ["Alfa SpA", "Beta Srl", "O'Neil & Co"]),
    ("name eq @p1", ["Beta Srl"]),
]


@pytest.mark.parametrize(("text", "expected"), FILTERS)
async def test_filters_give_what_the_database_would(org: Organisation, text: str, expected: list[str]) -> None:
    """Text is compared without regard to case; null is neither greater nor smaller than anything."""
    more: dict[str, Any] = {"numberofemployees": 5, "customertypecode": 3, "cdock_customersince": "2020-02-29"}
    await org.create(name="Alfa SpA", **more)
    await org.create(name="Beta Srl", numberofemployees=50, customertypecode=8, revenue=2000, creditonhold=True)
    await org.create(name="O'Neil & Co")
    query = {"$filter": text, "$orderby": "name", "$select": "name", "@p1": "'Beta Srl'"}
    answer = await org.client.get("/accounts", params=query)
    assert [row["name"] for row in answer.json()["value"]] == expected


async def test_rows_are_ordered_and_cut(org: Organisation) -> None:
    """Null comes first ascending, last descending; $top cuts without a link to more."""
    for name, employees in (("a", 2), ("b", None), ("C", 2), ("d", 9)):
        await org.create(name=name, numberofemployees=employees)
    assert await names(org, "$orderby=numberofemployees,name desc") == ["b", "C", "a", "d"]
    assert await names(org, "$orderby=numberofemployees desc,name") == ["d", "a", "C", "b"]
    answer = await org.client.get("/accounts?$top=3&$orderby=name")
    assert len(answer.json()["value"]) == 3
    assert "@odata.nextLink" not in answer.json()


async def test_pages_are_linked_by_an_opaque_cookie(org: Organisation) -> None:
    """Each row comes once, the last page has no link, and the link repeats the query."""
    for number in range(5):
        await org.create(name=f"Customer {number}")
    prefer, link, seen = {"Prefer": "odata.maxpagesize=2"}, "/accounts?$select=name&$filter=startswith(name,'C')", []
    links = []
    while link:
        answer = await org.client.get(link, headers=prefer)
        assert answer.headers["Preference-Applied"] == "odata.maxpagesize=2"
        seen += [row["name"] for row in answer.json()["value"]]
        link = answer.json().get("@odata.nextLink", "")
        links.append(link)
    assert sorted(seen) == [f"Customer {number}" for number in range(5)]
    assert links[0].startswith(f"{ROOT}/accounts?$select=name&$filter=startswith")
    assert unquote(links[0].rsplit("$skiptoken=", 1)[1]).startswith('<cookie pagenumber="2" pagingcookie="%253Ccookie')
    assert links[-1] == ""


async def test_a_row_deleted_between_two_pages_hides_no_other(org: Organisation) -> None:
    """The cookie names the last row seen, not a number of rows."""
    ids = sorted([await org.create(name=str(number)) for number in range(4)])
    prefer = {"Prefer": "odata.maxpagesize=2"}
    first = (await org.client.get("/accounts?$select=name", headers=prefer)).json()
    await org.client.delete(f"/accounts({ids[1]})")
    second = (await org.client.get(first["@odata.nextLink"], headers=prefer)).json()
    assert [row["accountid"] for row in second["value"]] == ids[2:]


async def test_no_page_is_larger_than_5000(build: Build) -> None:
    """A larger preference is cut to the limit (made small here)."""
    org = build(max_page_size=3)
    for number in range(4):
        await org.create(name=str(number))
    answer = await org.client.get("/accounts?$select=name", headers={"Prefer": "odata.maxpagesize=9999"})
    assert len(answer.json()["value"]) == 3


async def test_an_address_has_a_length_limit(org: Organisation) -> None:
    """32,768 characters; a filter over many values has to be split."""
    values = " or ".join(f"name eq 'customer {number}'" for number in range(2000))
    assert (await org.client.get("/accounts", params={"$filter": values})).status_code == 414


async def test_a_made_up_skiptoken_is_refused(org: Organisation) -> None:
    """The cookie is the server's own."""
    assert (await org.client.get("/accounts?$skiptoken=2")).status_code == 400


async def test_counts_come_when_asked(org: Organisation) -> None:
    """$count counts what the filter leaves; the totals are annotations; /$count is plain text."""
    for name in ("a", "b"):
        await org.create(name=name)
    body = (await org.client.get("/accounts?$count=true&$top=1", headers=ANNOTATED)).json()
    assert body["@odata.count"] == 2
    assert body["@Microsoft.Dynamics.CRM.totalrecordcount"] == 2
    assert body["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] is False
    assert (await org.client.get("/accounts/$count")).text == "2"
    assert "@odata.count" not in (await org.client.get("/accounts")).json()


async def test_annotations_come_only_when_asked(org: Organisation) -> None:
    """Labels, amounts, names of linked rows and their tables; each kind can be asked for alone."""
    contact = await org.create("contacts", firstname="Example", lastname="Contact")
    bind = {"primarycontactid@odata.bind": f"/contacts({contact})"}
    row_id = await org.create(name="Rossi", revenue=1234.5, customertypecode=3, **bind)
    url = f"/accounts({row_id})?$select=revenue,customertypecode,creditonhold,createdon,_primarycontactid_value"
    plain = (await org.client.get(url)).json()
    assert not [name for name in plain if "@" in name and not name.startswith("@odata")]
    answer = await org.client.get(url, headers=ANNOTATED)
    assert answer.headers["Preference-Applied"] == 'odata.include-annotations="*"'
    body, formatted = answer.json(), "@OData.Community.Display.V1.FormattedValue"
    assert body[f"revenue{formatted}"] == "€1,234.50"
    assert body[f"customertypecode{formatted}"] == "Customer"
    assert body[f"creditonhold{formatted}"] == "No"
    assert body[f"createdon{formatted}"] == "3/2/2026 8:00 AM"
    assert body[f"_primarycontactid_value{formatted}"] == "Example Contact"
    assert body["_primarycontactid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "contact"
    only = {"Prefer": 'odata.include-annotations="Microsoft.Dynamics.CRM.*"'}
    some = (await org.client.get(url, headers=only)).json()
    assert f"revenue{formatted}" not in some
    assert some["_primarycontactid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"] == "primarycontactid"


async def test_an_unchanged_row_is_304(org: Organisation) -> None:
    """If-None-Match with the known etag saves the body, but not when annotations are wanted."""
    row_id = await org.create(name="Rossi")
    url = f"/accounts({row_id})?$select=name"
    tag = (await org.client.get(url)).json()["@odata.etag"]
    assert (await org.client.get(url, headers={"If-None-Match": tag})).status_code == 304
    assert (await org.client.get(url, headers={"If-None-Match": tag, **ANNOTATED})).status_code == 200
    await org.client.patch(f"/accounts({row_id})", json={"name": "Bianchi"})
    assert (await org.client.get(url, headers={"If-None-Match": tag})).status_code == 200


async def test_amounts_are_exact_numbers(org: Organisation) -> None:
    """Money has four decimals in answers, whatever its precision; nothing goes through a float."""
    row_id = await org.create(name="Rossi", revenue=0.1, creditlimit=12345678901.23)
    text = (await org.client.get(f"/accounts({row_id})?$select=revenue,creditlimit")).text
    assert '"revenue":0.1000' in text
    assert '"creditlimit":12345678901.2300' in text


async def test_rows_of_a_collection_are_read_through_their_parent(org: Organisation) -> None:
    """A collection-valued navigation property lists the rows that point here."""
    one, other = await org.create(name="one"), await org.create(name="other")
    for parent, name in ((one, "First"), (other, "Second")):
        bind = {"parentcustomerid_account@odata.bind": f"/accounts({parent})"}
        await org.create("contacts", lastname=name, **bind)
    answer = await org.client.get(f"/accounts({one})/contact_customer_accounts?$select=lastname")
    assert [row["lastname"] for row in answer.json()["value"]] == ["First"]
