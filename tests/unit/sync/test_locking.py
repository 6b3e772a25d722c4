"""Which columns are locked, read from definitions alone."""

from __future__ import annotations

from pathlib import Path

from local.definitions import compile_folder, read_definition
from shared.sync.locking import locks_of

TRANSFERS = Path(__file__).parents[3] / "transfers"

TEXT = """\
pair: {dataverse: account, business_central: customers}
transfers:
  account_to_business_central: {write_back: [accountnumber]}
  customer_to_dataverse: {}
fields:
  - {dataverse: accountnumber, business_central: number, master: business_central}
  - {dataverse: name, business_central: displayName, master: {unlinked: dataverse, linked: business_central}}
  - {dataverse: telephone1, business_central: phoneNumber, master: dataverse}
  - {dataverse: websiteurl, business_central: website, master: both}
  - {dataverse: owner.code, business_central: salespersonCode, master: {unlinked: nobody, linked: business_central}}
"""


def test_a_column_is_locked_where_the_other_system_is_its_master() -> None:
    """R-060: by state; shared fields and those without a master are open; a dotted column by its reference."""
    definition = read_definition(TEXT, "transfers/a.yaml")
    (account,) = locks_of([definition], "dataverse")
    assert account.columns(linked=True) == ["accountnumber", "name", "owner"]
    assert account.columns(linked=False) == ["accountnumber"]
    assert account.sign == "accountnumber"
    (customers,) = locks_of([definition], "business_central")
    assert customers.columns(linked=True) == ["phoneNumber"]
    assert customers.columns(linked=False) == ["displayName", "phoneNumber"]
    assert customers.sign is None


def test_a_table_of_two_pairs_is_locked_where_either_says_so() -> None:
    """R-060: and its sign is that of the pair that has one."""
    other = TEXT.replace("account_to", "second_to").replace("customer_to", "other_to")
    other = other.replace("telephone1, business_central: phoneNumber, master: dataverse",
                          "telephone1, business_central: phoneNumber, master: business_central")  # fmt: skip
    both = [read_definition(TEXT, "transfers/a.yaml"), read_definition(other, "transfers/b.yaml")]
    (account,) = locks_of(both, "dataverse")
    assert "telephone1" in account.columns(linked=True)


def test_every_shipped_lock_names_its_rule() -> None:
    """R-060: file and line, so that a person can look why."""
    for table in locks_of(compile_folder(TRANSFERS).definitions, "dataverse"):
        assert all(lock.rule.startswith("transfers/") and ":" in lock.rule for lock in table.locks)
