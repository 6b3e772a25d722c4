"""The benchmarks run and report: with tiny counts, and with assertions on counts only, never on speed."""

from __future__ import annotations

import json
import logging

import pytest

from tests.bench import __main__ as bench
from tests.bench import accept, calls, checks, clients, load, memory, outage, statistics, tables, transfer
from tests.bench.figures import Figure


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """As in a run by hand: nobody listens to lines below a warning."""
    caplog.set_level(logging.WARNING)


def test_accepting_a_notice_is_measured_beside_an_empty_function() -> None:
    """Every notice must have reached both transfers, otherwise the benchmark ends with a sentence."""
    figures = accept.measure(rounds=2, times=5)
    assert [(one.case, one.unit) for one in figures] == [("B1", "us CPU")] * 3
    assert all(one.value > 0 and one.baseline > 0 and one.baseline_is for one in figures)
    assert 3800 <= len(accept.body()) <= accept.SIZE_BYTES


def test_a_whole_transfer_is_measured_beside_loops_without_safety() -> None:
    """Every measured transfer must have been an update, otherwise the benchmark ends with a sentence."""
    figures = transfer.measure(rounds=1, records=3)
    assert [(one.case, one.unit) for one in figures] == [("B2", "ms CPU")] * 2
    assert all(one.value > 0 and one.baseline > 0 and one.baseline_is for one in figures)


def test_a_transfer_costs_two_requests_an_echo_one_read_and_an_outage_one_write() -> None:
    """One read and one write in the steady state; no write for an echo; one write and two reads for five changes of one
    record."""
    figures = {one.what: one for one in calls.measure()}
    assert _value(figures, "one changed field: reads") + _value(figures, "one changed field: writes") == 2
    echoes = [name for name in figures if name.endswith((": reads", ": writes")) and not name.startswith("one changed")]
    assert {name: figures[name].value for name in echoes} == {name: int(name.endswith("reads")) for name in echoes}
    assert len(echoes) == 6
    outage = f"{calls.CHANGES} changes of one record while the ERP was away"
    assert _value(figures, f"{outage}: writes executed") == 1
    assert _value(figures, f"{outage}: CRM reads") == 2


def test_loads_in_both_directions_bring_everything_over_and_are_never_throttled() -> None:
    """Small ones: the run itself ends with a sentence if a company is missing, there twice or not updated."""
    figures = load.measure(records=60)
    refused = [one.value for one in figures if "429" in one.what]
    assert refused == [0, 0, 0, 0]
    into_the_erp = [one.value for one in figures if "into the ERP" in one.what and "429" not in one.what]
    assert all(54 <= requests <= 60 + 40 for requests in into_the_erp)
    assert len([one for one in figures if "calls of the CRM" in one.what]) == 2


def test_statistics_cost_little_more_calls_than_the_limits_allow() -> None:
    """R-103, R-121: new, unchanged, and one row in a hundred changed or gone; the run itself ends with a sentence
    unless exactly those rows were written. On top of the least: what a process learns once, and two questions a day
    whether the databases belong together."""
    days = 4
    figures = statistics.measure(customers=100, days=days)
    assert [one.baseline for one in figures] == [3 * days, 2 * days, 2 * days + 2 * (days - 2)]
    assert figures[0].value - figures[0].baseline <= 2 * days + 20
    assert all(one.value - one.baseline <= 2 * days + 10 for one in figures[1:])


@pytest.mark.skipif(not memory.STATUS.exists(), reason="/proc tells what a process holds; only Linux has it")
def test_the_memory_of_a_load_is_measured_beside_a_list() -> None:
    """Every record must have been created, otherwise the benchmark ends with a sentence."""
    figures = memory.measure((5, 10))
    assert [(one.case, one.unit) for one in figures] == [("B6", "MB")] * 3
    assert all(one.value > 0 for one in figures[:2])
    with pytest.raises(SystemExit):
        memory.main(["--records", "10"])


def test_links_in_azure_tables_cost_two_point_requests_however_many_there_are() -> None:
    """Nothing lists or searches. What a run has written is journalled by itself, before it is remembered."""
    figures = {one.what: one for one in tables.measure(rounds=1, many=200, records=10, times=5)}
    assert _value(figures, "a transfer: requests for links") == 2
    assert _value(figures, "a transfer among 200 links: requests for links") == 2
    assert _value(figures, "a transfer: requests for the journal") == 1
    assert _value(figures, "a transfer in a chunk of 10: requests for the journal") == 1
    assert _value(figures, "lists and searches among all these") == 0
    assert {one.case for one in figures.values()} == {"B5"}


def test_an_outage_loses_nothing_and_costs_one_write_for_each_record() -> None:
    """A small one: six changes of each account, one write, nothing parked, nothing asked but probes."""
    figures = {one.what: one.value for one in outage.measure(records=30)}
    assert figures["writes"] == 30
    nothing = ("last values lost", "parked, dead letters among them", "other requests while it was open")
    assert [figures[what] for what in nothing] == [0, 0, 0]


def test_checks_at_once_are_measured_beside_a_loop() -> None:
    """R-229: few of them; the run itself ends with a sentence if one was confirmed without the system's answer."""
    figures = {one.what: one for one in checks.measure(count=10)}
    assert [one.case for one in figures.values()] == ["B11"] * 6
    assert all(one.value <= checks.BUDGET_SECONDS for what, one in figures.items() if what.endswith("p99"))
    assert _value(figures, "10 credit checks at once, 4 identities: answered") == 10
    assert _value(figures, "10 at once, the CRM slow and the ERP dead: confirmed") == 0


@pytest.mark.xdist_group("dataverse client")
def test_our_connector_is_measured_beside_microsofts_client() -> None:
    """Each in a process of its own, single records and a hundred in a call."""
    figures = clients.measure(rounds=1, singles=2, batches=1)
    assert [(one.case, one.unit) for one in figures] == [("B9", "us CPU")] * 5
    assert all(one.value > 0 and one.baseline > 0 for one in figures)


def test_figures_are_printed_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """The table and the JSON hold the same figures with their baselines."""
    assert bench.main(["--only", "b1", "--rounds", "1"]) == 0
    assert "an empty function, same request" in capsys.readouterr().out
    assert bench.main(["--only", "B1", "--rounds", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["case"] for one in told["figures"]} == {"B1"}
    assert {"value", "baseline", "ratio"} <= told["figures"][0].keys()


@pytest.mark.parametrize("arguments", [["--only", "B99"], ["--only", ""], ["--rounds", "0"], ["--rounds", "many"]])
def test_a_wrong_wish_is_refused_with_what_can_be_given(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage errors end with 2 and name the choices."""
    with pytest.raises(SystemExit) as refused:
        bench.main(arguments)
    assert refused.value.code == 2
    assert "give" in capsys.readouterr().err


def _value(figures: dict[str, Figure], what: str) -> float:
    return figures[what].value
