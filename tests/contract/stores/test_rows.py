"""What every row store does, on SQLite in a file, SQLite in memory and Azurite."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest

from shared.stores.rows import (
    Delete,
    Insert,
    Operation,
    Properties,
    Replace,
    Row,
    RowChanged,
    RowExists,
    RowInvalid,
    RowStore,
    Upsert,
    Value,
    encode_key,
)

PARTITION = encode_key("dataverse", "org-1", "account")


async def keys_of(rows: RowStore, partition: str = PARTITION, *, key_prefix: str = "", limit: int = 1000) -> list[str]:
    """All keys of a partition, page by page."""
    keys: list[str] = []
    after: str | None = None
    while True:
        page = await rows.list("links", partition, after=after, key_prefix=key_prefix, limit=limit)
        assert len(page.rows) <= limit
        keys += [row.key for row in page.rows]
        if page.next is None:
            return keys
        after = page.next


class TestSingleRows:
    async def test_an_inserted_row_is_read_back_with_the_etag_of_the_insert(self, rows: RowStore) -> None:
        """Insert and get agree on keys, properties and etag."""
        etag = await rows.insert("links", PARTITION, "a", {"name": "Nordwind", "count": 1})
        assert await rows.get("links", PARTITION, "a") == Row(PARTITION, "a", {"name": "Nordwind", "count": 1}, etag)

    async def test_a_row_that_is_not_there_is_none(self, rows: RowStore) -> None:
        """Neither another key, nor another partition, nor another table answers for it."""
        await rows.insert("links", PARTITION, "a", {})
        assert await rows.get("links", PARTITION, "b") is None
        assert await rows.get("links", "other", "a") is None
        assert await rows.get("journal", PARTITION, "a") is None

    async def test_keys_that_differ_only_in_case_are_two_rows(self, rows: RowStore) -> None:
        """Canonical forms are the callers' business."""
        await rows.insert("links", PARTITION, "Key", {"n": 1})
        await rows.insert("links", PARTITION, "key", {"n": 2})
        first, second = await rows.get("links", PARTITION, "Key"), await rows.get("links", PARTITION, "key")
        assert first is not None
        assert second is not None
        assert (first.properties, second.properties) == ({"n": 1}, {"n": 2})

    async def test_a_second_insert_is_refused_and_changes_nothing(self, rows: RowStore) -> None:
        """Also after a lost answer: the caller must compare the row with its own."""
        await rows.insert("links", PARTITION, "a", {"attempt": "first"})
        with pytest.raises(RowExists) as raised:
            await rows.insert("links", PARTITION, "a", {"attempt": "second"})
        assert raised.value.index is None
        row = await rows.get("links", PARTITION, "a")
        assert row is not None
        assert row.properties == {"attempt": "first"}

    async def test_a_replace_swaps_all_properties_and_the_etag(self, rows: RowStore) -> None:
        """A property left out of a replace is gone: absent is absent."""
        etag = await rows.insert("links", PARTITION, "a", {"old": 1, "both": "x"})
        new = await rows.replace("links", PARTITION, "a", {"both": "y"}, etag)
        assert new != etag
        assert await rows.get("links", PARTITION, "a") == Row(PARTITION, "a", {"both": "y"}, new)

    async def test_a_replace_with_an_old_etag_is_refused_and_changes_nothing(self, rows: RowStore) -> None:
        """Of two writers that read the same row only the first gets through; repeating one's own write fails too."""
        old = await rows.insert("links", PARTITION, "a", {"n": 1})
        await rows.replace("links", PARTITION, "a", {"n": 2}, old)
        for properties in ({"n": 2}, {"n": 3}):
            with pytest.raises(RowChanged):
                await rows.replace("links", PARTITION, "a", properties, old)
        row = await rows.get("links", PARTITION, "a")
        assert row is not None
        assert row.properties == {"n": 2}

    async def test_a_replace_of_a_row_that_is_gone_is_refused(self, rows: RowStore) -> None:
        """A conditional write never brings back what somebody has deleted."""
        etag = await rows.insert("links", PARTITION, "a", {"n": 1})
        await rows.delete("links", PARTITION, "a")
        with pytest.raises(RowChanged):
            await rows.replace("links", PARTITION, "a", {"n": 2}, etag)
        assert await rows.get("links", PARTITION, "a") is None

    async def test_an_upsert_writes_whatever_is_there(self, rows: RowStore) -> None:
        """It inserts, then replaces all properties; repeating it changes only the etag."""
        first = await rows.upsert("links", PARTITION, "a", {"old": 1})
        second = await rows.upsert("links", PARTITION, "a", {"new": 2})
        third = await rows.upsert("links", PARTITION, "a", {"new": 2})
        assert len({first, second, third}) == 3
        assert await rows.get("links", PARTITION, "a") == Row(PARTITION, "a", {"new": 2}, third)

    async def test_a_delete_says_whether_there_was_a_row(self, rows: RowStore) -> None:
        """The second delete, or the repetition after a lost answer, finds nothing; with an etag as well."""
        etag = await rows.insert("links", PARTITION, "a", {})
        assert await rows.delete("links", PARTITION, "a") is True
        assert await rows.delete("links", PARTITION, "a") is False
        assert await rows.delete("links", PARTITION, "a", etag) is False
        assert await rows.get("links", PARTITION, "a") is None

    async def test_a_delete_with_an_etag_needs_the_row_to_have_it(self, rows: RowStore) -> None:
        """A row that was changed since is kept."""
        old = await rows.insert("links", PARTITION, "a", {"n": 1})
        new = await rows.replace("links", PARTITION, "a", {"n": 2}, old)
        with pytest.raises(RowChanged):
            await rows.delete("links", PARTITION, "a", old)
        assert await rows.get("links", PARTITION, "a") is not None
        assert await rows.delete("links", PARTITION, "a", new) is True

    async def test_an_etag_never_comes_back(self, rows: RowStore) -> None:
        """Not even when the row is deleted and the same row is inserted again: an old reader must notice."""
        seen: list[str] = []
        for _ in range(10):
            seen.append(await rows.insert("links", PARTITION, "a", {"n": 1}))
            seen.append(await rows.replace("links", PARTITION, "a", {"n": 1}, seen[-1]))
            await rows.delete("links", PARTITION, "a", seen[-1])
        assert len(set(seen)) == len(seen)

    async def test_twenty_tasks_counting_by_conditional_replace_lose_nothing(self, rows: RowStore) -> None:
        """Each reads, adds one and replaces by condition, and starts over when another was faster."""
        await rows.insert("links", PARTITION, "counter", {"n": 0})

        async def count() -> None:
            while True:
                row = await rows.get("links", PARTITION, "counter")
                assert row is not None
                await asyncio.sleep(0)
                n = row.properties["n"]
                assert isinstance(n, int)
                try:
                    await rows.replace("links", PARTITION, "counter", {"n": n + 1}, row.etag)
                except RowChanged:
                    continue
                return

        await asyncio.gather(*(count() for _ in range(20)))
        row = await rows.get("links", PARTITION, "counter")
        assert row is not None
        assert row.properties == {"n": 20}

    async def test_of_twenty_tasks_inserting_one_row_a_single_one_succeeds(self, rows: RowStore) -> None:
        """That is what makes a claim a claim."""

        async def claim(attempt: int) -> bool:
            try:
                await rows.insert("links", PARTITION, "claim", {"attempt": attempt})
            except RowExists:
                return False
            return True

        assert sum(await asyncio.gather(*(claim(attempt) for attempt in range(20)))) == 1


class _Word(StrEnum):
    LINKED = "linked"


VALUES: dict[str, Properties] = {
    "text": {"v": "Grüße an Ōsaka 🚚 'quoted' \"twice\" \\ / # ? %41 & <x> \r\n\t"},
    "empty text": {"v": ""},
    "text that looks like something else": {
        "zero": "007",
        "yes": "true",
        "no": "null",
        "day": "2026-03-01T00:00:00Z",
        "guid": "c0ffee00-1111-4222-8333-444455556666",
        "json": '{"time": "x", "bytes": "y"}',
    },
    "control characters": {"v": "".join(map(chr, range(32))) + "\x7f\x85\u2028\ufeff"},
    "truth": {"yes": True, "no": False},
    "integers": {"zero": 0, "one": 1, "minus": -1, "small": 2**31 - 1, "more": 2**31, "low": -(2**31) - 1},
    "64 bit integers": {"high": 2**63 - 1, "low": -(2**63)},
    "bytes": {"all": bytes(range(256)), "none": b""},
    "times": {
        "first": datetime(1601, 1, 1, tzinfo=UTC),
        "micro": datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC),
        "tenth": datetime(2026, 3, 29, 1, 59, 59, 100_000, tzinfo=UTC),
        "whole": datetime(2026, 3, 29, 2, 0, 0, tzinfo=UTC),
        "last": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    },
    "nothing": {},
    "names": {"A": 1, "a_1": 2, "camelCase": 3, "n" * 255: 4},
}


class TestValues:
    @pytest.mark.parametrize("properties", VALUES.values(), ids=VALUES.keys())
    async def test_a_value_comes_back_as_it_went_in(self, rows: RowStore, properties: Properties) -> None:
        """Value and type are kept by insert, replace, list and transaction alike."""
        etag = await rows.insert("links", PARTITION, "a", properties)
        await rows.replace("links", PARTITION, "a", properties, etag)
        await rows.transact("links", PARTITION, [Insert("b", properties)])
        page = await rows.list("links", PARTITION)
        for row in (await rows.get("links", PARTITION, "a"), *page.rows):
            assert row is not None
            assert row.properties == properties
            kinds = {name: type(value) for name, value in row.properties.items()}
            assert kinds == {name: type(value) for name, value in properties.items()}

    async def test_a_time_in_another_zone_comes_back_in_utc(self, rows: RowStore) -> None:
        """The moment is kept, the zone is not."""
        there = datetime(2026, 7, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
        await rows.insert("links", PARTITION, "a", {"at": there})
        row = await rows.get("links", PARTITION, "a")
        assert row is not None
        at = row.properties["at"]
        assert isinstance(at, datetime)
        assert (at, at.utcoffset()) == (there, timedelta(0))

    async def test_a_word_of_an_enumeration_comes_back_as_plain_text(self, rows: RowStore) -> None:
        """Subclasses are stored as what they are underneath."""
        await rows.insert("links", PARTITION, "a", {"state": _Word.LINKED})
        row = await rows.get("links", PARTITION, "a")
        assert row is not None
        assert (row.properties["state"], type(row.properties["state"])) == ("linked", str)

    async def test_values_and_rows_up_to_the_limits_are_kept(self, rows: RowStore) -> None:
        """64 KiB in a property (32 Ki characters of text), and almost 1 MiB in a row."""
        properties: dict[str, Value] = {f"part{i}": "x" * 32_000 for i in range(14)}
        properties |= {"text": "ü" * 32_768, "bytes": bytes(range(256)) * 256}
        await rows.insert("links", PARTITION, "a", properties)
        row = await rows.get("links", PARTITION, "a")
        assert row is not None
        assert row.properties == properties

    async def test_as_many_properties_as_allowed_are_kept(self, rows: RowStore) -> None:
        """252 besides keys and timestamp."""
        properties: Properties = {f"p{i}": i for i in range(252)}
        await rows.insert("links", PARTITION, "a", properties)
        row = await rows.get("links", PARTITION, "a")
        assert row is not None
        assert row.properties == properties

    @pytest.mark.parametrize(
        ("properties", "said"),
        [
            ({"v": "x" * 32_769}, "property v has 65538 bytes"),
            ({"v": bytes(65_537)}, "property v has 65537 bytes"),
            ({f"p{i}": "x" * 32_000 for i in range(17)}, "a row has"),
            ({f"p{i}": i for i in range(253)}, "253 properties"),
            ({"v": 2**63}, "property v"),
            ({"v": -(2**63) - 1}, "property v"),
            ({"v": None}, "property v"),
            ({"v": 1.5}, "property v"),
            ({"v": datetime(2026, 3, 1)}, "property v"),  # noqa: DTZ001 - a time without zone is what is refused
            ({"v": datetime(1600, 12, 31, tzinfo=UTC)}, "property v"),
            ({"v": "half \ud83d"}, "property v"),
            ({"": 1}, "property name"),
            ({"has space": 1}, "property name"),
            ({"1st": 1}, "property name"),
            ({"n" * 256: 1}, "property name"),
            ({"RowKey": "b"}, "RowKey"),
            ({"timestamp": 1}, "timestamp"),
        ],
    )
    async def test_what_cannot_be_kept_is_refused_by_name(
        self, rows: RowStore, properties: Properties, said: str
    ) -> None:
        """Every write refuses it before anything happens, and says which property it is."""
        etag = await rows.insert("links", PARTITION, "a", {"n": 1})
        with pytest.raises(RowInvalid, match=said):
            await rows.insert("links", PARTITION, "b", properties)
        with pytest.raises(RowInvalid, match=said):
            await rows.replace("links", PARTITION, "a", properties, etag)
        with pytest.raises(RowInvalid, match=said):
            await rows.upsert("links", PARTITION, "a", properties)
        with pytest.raises(RowInvalid, match=said):
            await rows.transact("links", PARTITION, [Upsert("a", properties)])
        assert await keys_of(rows) == ["a"]


class TestAddresses:
    async def test_a_key_of_any_characters_finds_its_row_again(self, rows: RowStore) -> None:
        """Once encoded, whatever Azure Tables refuse in keys or treat specially is harmless."""
        texts = ["/", "\\", "#", "?", "%2F", "\x00", "\x7f", "it's", "a b", "+&=;,", "Ä", "🚚", "..", ".", "|", "~", ""]
        for number, text in enumerate(texts):
            await rows.insert("links", encode_key("p", text), encode_key(text, "k"), {"n": number})
        for number, text in enumerate(texts):
            partition, key = encode_key("p", text), encode_key(text, "k")
            row = await rows.get("links", partition, key)
            assert row is not None
            assert (row.partition, row.key, row.properties) == (partition, key, {"n": number})
            assert await keys_of(rows, partition) == [key]
            await rows.replace("links", partition, key, {"n": -number}, row.etag)
            await rows.transact("links", partition, [Upsert(key, {})])
            assert await rows.delete("links", partition, key) is True

    async def test_the_longest_keys_are_kept(self, rows: RowStore) -> None:
        """512 characters each."""
        partition, key = "p" * 512, "|" + "~2f" * 170 + "-"
        etag = await rows.insert("links", partition, key, {"n": 1})
        await rows.replace("links", partition, key, {"n": 2}, etag)
        await rows.transact("links", partition, [Upsert(key, {"n": 3})])
        assert await keys_of(rows, partition) == [key]

    @pytest.mark.parametrize("bad", ["", "a/b", "a b", "ä", "a%41", "it's", "x" * 513])
    async def test_a_key_that_was_not_encoded_is_refused(self, rows: RowStore, bad: str) -> None:
        """The error names the field, whichever operation it is."""
        with pytest.raises(RowInvalid, match=r"^key "):
            await rows.get("links", PARTITION, bad)
        with pytest.raises(RowInvalid, match=r"^partition "):
            await rows.insert("links", bad, "a", {})
        with pytest.raises(RowInvalid, match=r"^key "):
            await rows.replace("links", PARTITION, bad, {}, "etag")
        with pytest.raises(RowInvalid, match=r"^key "):
            await rows.upsert("links", PARTITION, bad, {})
        with pytest.raises(RowInvalid, match=r"^partition "):
            await rows.delete("links", bad, "a")
        with pytest.raises(RowInvalid, match=r"^partition "):
            await rows.list("links", bad)
        with pytest.raises(RowInvalid, match=r"^after "):
            await rows.list("links", PARTITION, after=bad)
        with pytest.raises(RowInvalid, match=r"^key "):
            await rows.transact("links", PARTITION, [Delete(bad)])

    @pytest.mark.parametrize("etag", ["", "*"])
    async def test_an_etag_that_means_any_is_refused(self, rows: RowStore, etag: str) -> None:
        """A condition that is none would hide lost updates."""
        await rows.insert("links", PARTITION, "a", {"n": 1})
        with pytest.raises(RowInvalid, match="etag"):
            await rows.replace("links", PARTITION, "a", {"n": 2}, etag)
        with pytest.raises(RowInvalid, match="etag"):
            await rows.delete("links", PARTITION, "a", etag)
        for operation in (Replace("a", {"n": 2}, etag), Delete("a", etag)):
            with pytest.raises(RowInvalid, match="etag"):
                await rows.transact("links", PARTITION, [operation])

    async def test_a_table_that_was_not_named_is_refused(self, rows: RowStore) -> None:
        """With the name and where to add it."""
        with pytest.raises(RowInvalid, match="'claims'"):
            await rows.get("claims", PARTITION, "a")
        with pytest.raises(RowInvalid, match="'claims'"):
            await rows.insert("claims", PARTITION, "a", {})
        with pytest.raises(RowInvalid, match="'claims'"):
            await rows.list("claims", PARTITION)
        with pytest.raises(RowInvalid, match="'claims'"):
            await rows.transact("claims", PARTITION, [])

    async def test_preparing_again_keeps_the_rows(self, rows: RowStore) -> None:
        """Every start of every instance prepares."""
        await rows.insert("links", PARTITION, "a", {})
        await rows.prepare()
        assert await keys_of(rows) == ["a"]

    async def test_closing_again_does_nothing(self, rows: RowStore) -> None:
        """Shutting down may come from two sides."""
        await rows.aclose()
        await rows.aclose()


class TestLists:
    async def test_a_list_has_one_partition_in_key_order(self, rows: RowStore) -> None:
        """Order is by character code: upper case before lower case, digits before both."""
        keys = ["b", "a", "B", "10", "9", "a|b", "a-", "a.", "a_", "a~2f", "~"]
        await rows.transact("links", PARTITION, [Insert(key, {"key": key}) for key in keys])
        await rows.insert("links", PARTITION + "2", "other", {})
        await rows.insert("journal", PARTITION, "other", {})
        page = await rows.list("links", PARTITION)
        assert [row.key for row in page.rows] == sorted(keys)
        assert [row.properties for row in page.rows] == [{"key": key} for key in sorted(keys)]
        assert page.next is None

    async def test_listed_rows_have_the_etag_that_a_replace_needs(self, rows: RowStore) -> None:
        """A drain lists, works and then deletes or replaces by condition."""
        etag = await rows.insert("links", PARTITION, "a", {})
        page = await rows.list("links", PARTITION)
        assert [row.etag for row in page.rows] == [etag]

    async def test_an_empty_partition_is_an_empty_page(self, rows: RowStore) -> None:
        """Not an error."""
        page = await rows.list("links", "nothing")
        assert (page.rows, page.next) == ((), None)

    @pytest.mark.parametrize("limit", [1, 3, 5, 7, 10, 11])
    async def test_pages_give_every_row_once(self, rows: RowStore, limit: int) -> None:
        """Whether or not the last page is full."""
        keys = [f"k{number:02}" for number in range(10)]
        await rows.transact("links", PARTITION, [Insert(key, {}) for key in keys])
        assert await keys_of(rows, limit=limit) == keys

    async def test_rows_deleted_between_two_pages_do_not_disturb_the_list(self, rows: RowStore) -> None:
        """A drain deletes what it has read, also the row that `next` names."""
        await rows.transact("links", PARTITION, [Insert(f"k{number}", {}) for number in range(6)])
        first = await rows.list("links", PARTITION, limit=3)
        await rows.transact("links", PARTITION, [Delete(row.key) for row in first.rows])
        second = await rows.list("links", PARTITION, after=first.next, limit=3)
        assert [row.key for row in second.rows] == ["k3", "k4", "k5"]

    async def test_a_prefix_narrows_the_list(self, rows: RowStore) -> None:
        """Also together with `after`, before, inside and behind the prefix."""
        keys = ["a", "a|1", "a|2", "a|3", "a~2f", "a~", "ab", "b|1", "~", "~~", "~2f"]
        await rows.transact("links", PARTITION, [Insert(key, {}) for key in keys])
        for prefix in ("", "a", "a|", "a|2", "b", "c", "~", "a~", "~~"):
            expected = sorted(key for key in keys if key.startswith(prefix))
            assert await keys_of(rows, key_prefix=prefix, limit=2) == expected
            for after in ("A", "a|1", "a|2", "b", "~~"):
                page = await rows.list("links", PARTITION, key_prefix=prefix, after=after)
                assert [row.key for row in page.rows] == [key for key in expected if key > after]

    async def test_more_rows_than_a_page_of_the_service_holds_are_all_listed(self, rows: RowStore) -> None:
        """1,050 rows: the service gives at most 1,000 at once."""
        keys = [f"k{number:04}" for number in range(1050)]
        for start in range(0, len(keys), 100):
            await rows.transact("links", PARTITION, [Insert(key, {}) for key in keys[start : start + 100]])
        assert await keys_of(rows) == keys

    @pytest.mark.parametrize("limit", [0, -1, 1001])
    async def test_a_limit_out_of_range_is_refused(self, rows: RowStore, limit: int) -> None:
        """1 to 1000."""
        with pytest.raises(RowInvalid, match="limit"):
            await rows.list("links", PARTITION, limit=limit)


class TestTransactions:
    async def test_all_operations_are_done_and_give_their_etags(self, rows: RowStore) -> None:
        """In their order, None for a delete."""
        old = {key: await rows.insert("links", PARTITION, key, {"n": 0}) for key in ("b", "d", "e")}
        operations: list[Operation] = [
            Insert("a", {"n": 1}),
            Replace("b", {"n": 2}, old["b"]),
            Upsert("c", {"n": 3}),
            Delete("d"),
            Delete("e", old["e"]),
        ]
        etags = list(await rows.transact("links", PARTITION, operations))
        assert etags[3:] == [None, None]
        page = await rows.list("links", PARTITION)
        assert [(row.key, row.properties, row.etag) for row in page.rows] == [
            ("a", {"n": 1}, etags[0]),
            ("b", {"n": 2}, etags[1]),
            ("c", {"n": 3}, etags[2]),
        ]

    async def test_no_operation_is_a_transaction_too(self, rows: RowStore) -> None:
        """It does nothing."""
        assert list(await rows.transact("links", PARTITION, [])) == []

    @pytest.mark.parametrize(
        ("culprit", "error"),
        [
            (Insert("there", {}), RowExists),
            (Replace("there", {}, "stale"), RowChanged),
            (Delete("there", "stale"), RowChanged),
            (Replace("missing", {}, "stale"), RowChanged),
            (Delete("missing"), RowChanged),
            (Delete("missing", "stale"), RowChanged),
        ],
        ids=lambda value: repr(value) if not isinstance(value, type) else value.__name__,
    )
    @pytest.mark.parametrize("index", [0, 1, 3])
    async def test_one_operation_that_does_not_fit_undoes_all_and_is_named(
        self, rows: RowStore, culprit: Operation, error: type[RowExists | RowChanged], index: int
    ) -> None:
        """Nothing of the transaction is seen afterwards, not even what came before the culprit."""
        stale = await rows.insert("links", PARTITION, "there", {"n": 0})
        await rows.replace("links", PARTITION, "there", {"n": 1}, stale)
        if getattr(culprit, "etag", None) is not None:
            culprit = Replace(culprit.key, {}, stale) if isinstance(culprit, Replace) else Delete(culprit.key, stale)
        operations: list[Operation] = [Insert("a", {}), Upsert("b", {}), Upsert("c", {})]
        operations.insert(index, culprit)
        with pytest.raises(error) as raised:
            await rows.transact("links", PARTITION, operations)
        assert raised.value.index == index
        page = await rows.list("links", PARTITION)
        assert [(row.key, row.properties) for row in page.rows] == [("there", {"n": 1})]

    async def test_a_hundred_operations_are_allowed_and_no_more(self, rows: RowStore) -> None:
        """The service's limit holds everywhere."""
        with pytest.raises(RowInvalid, match="101 operations"):
            await rows.transact("links", PARTITION, [Insert(f"k{number}", {}) for number in range(101)])
        assert len(await rows.transact("links", PARTITION, [Insert(f"k{n}", {"n": n}) for n in range(100)])) == 100
        assert len(await keys_of(rows)) == 100

    async def test_a_key_may_come_only_once(self, rows: RowStore) -> None:
        """The service refuses it, so every store does."""
        with pytest.raises(RowInvalid, match="twice"):
            await rows.transact("links", PARTITION, [Insert("a", {}), Delete("a")])

    @pytest.mark.parametrize(
        "value",
        ["x" * 5_000, "ü" * 5_000, "\x01" * 5_000, bytes(range(250)) * 40],
        ids=["ascii", "umlauts", "control", "bytes"],
    )
    async def test_a_transaction_of_the_allowed_size_fits_and_a_larger_one_is_refused(
        self, rows: RowStore, value: str | bytes
    ) -> None:
        """Whatever its values become in JSON, 1 MiB of them stays below the 4 MiB that the service takes."""
        assert len(await rows.transact("links", PARTITION, [Insert(f"k{n}", {"v": value}) for n in range(100)])) == 100
        with pytest.raises(RowInvalid, match="a transaction has"):
            await rows.transact("links", PARTITION, [Upsert(f"k{n}", {"v": value, "w": value}) for n in range(100)])

    async def test_two_transactions_over_the_same_rows_do_not_mix(self, rows: RowStore) -> None:
        """Of two that expect the same rows one is done whole, the other not at all."""
        etags = [await rows.insert("links", PARTITION, key, {"by": "nobody"}) for key in ("a", "b")]

        async def take(name: str) -> bool:
            operations = [Replace(key, {"by": name}, etag) for key, etag in zip(("a", "b"), etags, strict=True)]
            try:
                await rows.transact("links", PARTITION, operations)
            except RowChanged:
                return False
            return True

        won = await asyncio.gather(take("first"), take("second"))
        assert sorted(won) == [False, True]
        page = await rows.list("links", PARTITION)
        winner = "first" if won[0] else "second"
        assert [row.properties for row in page.rows] == [{"by": winner}, {"by": winner}]
