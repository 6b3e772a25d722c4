"""Query options and paging."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from tests.contract.business_central_sandbox.conftest import MakeRig
from tests.contract.business_central_sandbox.rig import COMPANY, COMPANY_URL, CUSTOMERS, Rig, error_of


async def three(rig: Rig) -> None:
    await rig.create(number="K1", displayName="Alpha", city="Bolzano", creditLimit=100)
    await rig.clock.advance(10)
    await rig.create(number="K2", displayName="Beta", city="Merano", creditLimit=200, currencyCode="CHF")
    await rig.clock.advance(10)
    await rig.create(number="K3", displayName="Gamma", city="Bolzano", blocked="All")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("displayName eq 'Beta'", ["K2"]),
        ("displayName eq 'beta'", []),
        ("number eq 'k2'", ["K2"]),
        ("displayName ne 'Beta'", ["K1", "K3"]),
        ("creditLimit gt 100", ["K2"]),
        ("creditLimit ge 100 and creditLimit lt 200.5", ["K1", "K2"]),
        ("city eq 'Bolzano' and startswith(displayName,'G')", ["K3"]),
        ("startswith(number,'k')", ["K1", "K2", "K3"]),
        ("endswith(displayName,'ta')", ["K2"]),
        ("contains(displayName,'mm')", ["K3"]),
        ("displayName eq 'Alpha' or displayName eq 'Gamma'", ["K1", "K3"]),
        ("(number eq 'K1' or number eq 'K2') and city eq 'Merano'", ["K2"]),
        ("currencyCode eq 'CHF'", ["K2"]),
        ("lastModifiedDateTime gt 2026-03-05T19:19:22.37Z", ["K2", "K3"]),
        ("lastModifiedDateTime le 2026-03-05T19:19:32.37Z", ["K1", "K2"]),
        ("defaultDimensions/any(d:d/dimensionCode eq 'X')", ["K1", "K2", "K3"]),
    ],
)
async def test_filters_find_what_they_say(rig: Rig, text: str, numbers: list[str]) -> None:
    """Text compares exactly, codes in upper case, times as times; a lambda is accepted and ignored."""
    await three(rig)
    rows = await rig.values(f"{CUSTOMERS}?$filter={text}&$select=number")
    assert [row["number"] for row in rows] == numbers


async def test_a_row_can_be_filtered_by_its_identifier(rig: Rig) -> None:
    """Identifiers are compared without quotes."""
    row = await rig.create()
    assert len(await rig.values(f"{CUSTOMERS}?$filter=id eq {row['id']}")) == 1
    assert error_of(await rig.http.get(f"{CUSTOMERS}?$filter=id eq '{row['id']}'"), 400)[0] == "BadRequest"


async def test_an_index_finds_the_same_rows_as_a_search_through_all(rig: Rig) -> None:
    """Names that are not unique, several values, a further condition, an older state, a changed value."""
    await three(rig)
    await rig.create(number="K4", displayName="Beta", taxRegistrationNumber="00743110157")
    for text, numbers in (
        ("displayName eq 'Beta'", ["K2", "K4"]),
        ("displayName eq 'Beta' and city eq 'Merano'", ["K2"]),
        ("city eq 'Merano' and displayName eq 'Beta'", ["K2"]),
        ("number eq 'k4' or number eq 'K1' or number eq 'K9'", ["K1", "K4"]),
        ("taxRegistrationNumber eq '00743110157'", ["K4"]),
        ("taxRegistrationNumber eq '00743110157' and number eq 'K1'", []),
        ("displayName eq 'beta'", []),
    ):
        rows = await rig.values(f"{CUSTOMERS}?$filter={text}&$select=number")
        assert [row["number"] for row in rows] == numbers, text


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        (
            "$filter=city eq 'A' or displayName eq 'B'",
            "BadRequest_MethodNotImplemented",
            "The 'OR' operator is not supported on distinct fields on an OData filter.",
        ),
        ("$filter=number in ('K1','K2')", "BadRequest_MethodNotImplemented", "The 'In' operator"),
        ("$filter=blocked eq 'All'", "BadRequest", "A binary operator with incompatible types was detected."),
        (
            "$filter=nick eq 'A'",
            "BadRequest",
            "Could not find a property named 'nick' on type 'Microsoft.NAV.customer'.",
        ),
        ("$filter=city eq", "BadRequest", "Syntax error"),
        ("$filter=creditLimit eq 'x'", "BadRequest", "A binary operator with incompatible types"),
        ("$select=nick", "BadRequest", "Could not find a property named 'nick'"),
        ("$orderby=nick", "BadRequest", "Could not find a property named 'nick'"),
        ("$expand=nick", "BadRequest", "Could not find a property named 'nick'"),
        ("$top=-1", "BadRequest", "Invalid value"),
        ("$skiptoken=5d115c9c-44e3-ea11-bb43-000d3a2feca1", "SkipTokenIsNoLongerValid", "The skip token"),
    ],
)
async def test_queries_the_service_refuses_are_refused(rig: Rig, query: str, code: str, text: str) -> None:
    """Each with the code of the service; none of them counts as unforeseen."""
    found = error_of(await rig.http.get(f"{CUSTOMERS}?{query}"), 400)
    assert found[0] == code
    assert found[1].startswith(text)
    assert rig.sandbox.requests.unforeseen() == []


@pytest.mark.parametrize(
    "query",
    [
        "$filter=not startswith(city,'A')",
        "$filter=tolower(city) eq 'a'",
        "$expand=picture",
        "$schemaversion=2.1",
        "$search=x",
    ],
)
async def test_queries_nobody_imitates_are_unforeseen(rig: Rig, query: str) -> None:
    """The real service may answer them; here they fail loudly."""
    assert (await rig.http.get(f"{CUSTOMERS}?{query}")).status_code == 501
    assert len(rig.sandbox.requests.unforeseen()) == 1


async def test_a_selection_leaves_the_rest_out_but_keeps_the_etag(rig: Rig) -> None:
    """The context names the selected properties."""
    row = await rig.create(number="K1")
    body = await rig.get(f"{CUSTOMERS}?$select=number,city")
    assert body["value"] == [{"@odata.etag": row["@odata.etag"], "number": "K1", "city": ""}]
    assert body["@odata.context"].endswith(f"$metadata#companies({COMPANY})/customers(number,city)")
    assert set(await rig.get(f"{CUSTOMERS}({row['id']})?$select=number")) == {"@odata.context", "@odata.etag", "number"}


async def test_rows_are_ordered_counted_and_cut(rig: Rig) -> None:
    """By number unless asked otherwise; the count ignores the cut but not the filter."""
    await three(rig)
    body = await rig.get(f"{CUSTOMERS}?$orderby=city desc,number desc&$top=2&$count=true&$select=number")
    assert body["@odata.count"] == 3
    assert [row["number"] for row in body["value"]] == ["K2", "K3"]
    assert "@odata.nextLink" not in body
    rows = await rig.values(f"{CUSTOMERS}?$skip=1&$top=1")
    assert [row["number"] for row in rows] == ["K2"]
    count = await rig.http.get(f"{CUSTOMERS}/$count?$filter=city eq 'Bolzano'")
    assert (count.text, count.headers["content-type"].split(";")[0]) == ("2", "text/plain")


async def test_pages_are_followed_by_their_links_to_an_empty_last_one(rig: Rig) -> None:
    """Two full pages and an empty one; the link repeats the options and ends with the last row's id."""
    for number in range(4):
        await rig.create(number=f"K{number}")
    seen: list[str] = []
    url, sizes = f"{CUSTOMERS}?$select=id,number&$filter=startswith(number,'K')", []
    while url:
        body = await rig.get(url, Prefer="odata.maxpagesize=2")
        seen += [row["number"] for row in body["value"]]
        sizes.append(len(body["value"]))
        url = body.get("@odata.nextLink", "")
        if url:
            assert unquote(url).endswith(f"&aid=FIN&$skiptoken={body['value'][-1]['id']}")
            assert "$select=id,number" in unquote(url)
    assert seen == ["K0", "K1", "K2", "K3"]
    assert sizes == [2, 2, 0]


async def test_a_row_that_vanishes_between_two_pages_ends_the_walk(rig: Rig) -> None:
    """The token's row is gone: the walk has to be started again."""
    rows = [await rig.create(number=f"K{number}") for number in range(3)]
    link = (await rig.get(CUSTOMERS, Prefer="odata.maxpagesize=1"))["@odata.nextLink"]
    await rig.sandbox.delete(COMPANY, "customers", rows[0]["id"])
    assert error_of(await rig.http.get(link), 400)[0] == "SkipTokenIsNoLongerValid"


async def test_a_top_larger_than_the_page_travels_on_in_the_link(rig: Rig) -> None:
    """The link carries what is left of $top."""
    for number in range(5):
        await rig.create(number=f"K{number}")
    first = await rig.get(f"{CUSTOMERS}?$top=3", Prefer="odata.maxpagesize=2")
    assert "$top=1" in unquote(first["@odata.nextLink"])
    second = await rig.get(first["@odata.nextLink"], Prefer="odata.maxpagesize=2")
    assert [row["number"] for row in second["value"]] == ["K2"]
    assert "@odata.nextLink" not in second


async def test_no_page_is_larger_than_the_services_own_limit(make: MakeRig) -> None:
    """20,000 rows at most in reality; a wish for more changes nothing."""
    rig = make(page_size=2)
    for number in range(3):
        await rig.create(number=f"K{number}")
    assert len(await rig.values(CUSTOMERS, Prefer="odata.maxpagesize=50")) == 2
    assert len(await rig.values(CUSTOMERS)) == 2


async def test_links_can_be_expanded_and_followed(rig: Rig) -> None:
    """One row or null for a single link, a list for a collection, with a selection of their own."""
    terms = await rig.id_of("paymentTerms", "30T")
    row = await rig.create(paymentTermsId=terms)
    wanted = "paymentTerm($select=code),currency,contactsInformation"
    expanded = await rig.get(f"{CUSTOMERS}({row['id']})?$expand={wanted}")
    assert set(expanded["paymentTerm"]) == {"@odata.etag", "code"}
    assert expanded["currency"] is None
    assert [one["contactType"] for one in expanded["contactsInformation"]] == ["Company"]
    assert (await rig.values(f"{CUSTOMERS}?$expand=paymentTerm"))[0]["paymentTerm"]["code"] == "30T"
    assert (await rig.get(f"{CUSTOMERS}({row['id']})/paymentTerm"))["code"] == "30T"
    assert error_of(await rig.http.get(f"{CUSTOMERS}({row['id']})/currency"), 404)


async def test_the_replica_lags_behind_and_cannot_be_written(make: MakeRig) -> None:
    """A read after a write may show the old row; the same read without the intent shows the new one."""
    rig = make(replica_lag_seconds=5)
    row = await rig.create(city="Bolzano")
    await rig.clock.advance(60)
    await rig.change(row, city="Merano")
    url, intent = f"{CUSTOMERS}({row['id']})", {"Data-Access-Intent": "ReadOnly"}
    assert (await rig.get(url, **intent))["city"] == "Bolzano"
    assert (await rig.get(url))["city"] == "Merano"
    await rig.clock.advance(5)
    assert (await rig.get(url, **intent))["city"] == "Merano"
    answer = await rig.http.post(CUSTOMERS, json={"displayName": "X"}, headers=intent)
    assert error_of(answer, 400)[0] == "BadRequest_InvalidOperation"


async def test_malformed_identifiers_are_a_syntax_error(rig: Rig) -> None:
    """An identifier is a GUID without quotes."""
    for key in ("abc", "'5d115c9c-44e3-ea11-bb43-000d3a2feca1'"):
        assert error_of(await rig.http.get(f"{COMPANY_URL}/customers({key})"), 400)[0] == "BadRequest_NotFound"


async def test_options_that_mean_nothing_for_one_record_are_unforeseen(rig: Rig) -> None:
    """They are not silently ignored."""
    row = await rig.create()
    url = f"{CUSTOMERS}({row['id']})"
    assert (await rig.http.get(f"{url}?$filter=number eq 'K1'")).status_code == 501
    assert (await rig.patch(f"{url}?$select=number", "*", city="Merano")).status_code == 501
    assert (await rig.get(url))["city"] == ""
