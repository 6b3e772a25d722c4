"""Answers to checks: claimed by one who asks, kept for repeats, and swept when their time is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import StoreUnavailable
from shared.field_service.ports import AnswerRow
from shared.stores.stores import Stores
from shared.sync.ports import RowTaken
from tests.contract.domain_stores.fakes import START, WatchedRows

ROW = AnswerRow("fsm", "credit", "q/1", "print", "holder", START + timedelta(seconds=5))
LONG = '{"lines":[' + ",".join(f'{{"lineId":"{number:0100}"}}' for number in range(1000)) + "]}"


async def test_one_claims_a_question_and_keeps_its_answer(stores: Stores) -> None:
    """Whoever comes second finds the claim, then the answer; answers may be longer than a property of the store."""
    assert await stores.answers.get("fsm", "credit", "q/1") is None
    claimed = await stores.answers.put(ROW)
    with pytest.raises(RowTaken):
        await stores.answers.put(replace(ROW, holder="somebody else"))
    assert await stores.answers.get("fsm", "credit", "q/1") == claimed
    answered = await stores.answers.put(replace(claimed, answer=LONG))
    assert await stores.answers.get("fsm", "credit", "q/1") == answered
    with pytest.raises(RowTaken):
        await stores.answers.put(replace(claimed, answer="{}"))
    assert await stores.answers.get("fsm", "stock", "q/1") is None


@pytest.mark.parametrize("way", ["lose", "quietly"])
async def test_a_claim_whose_answer_was_lost_is_ones_own(stores: Stores, rows: WatchedRows, way: str) -> None:
    """It carries its holder's name."""
    setattr(rows, way, 1)
    if way == "lose":
        with pytest.raises(StoreUnavailable):
            await stores.answers.put(ROW)
    assert (await stores.answers.put(ROW)).holder == "holder"


async def test_who_gives_up_takes_his_own_claim_away_and_no_other(stores: Stores) -> None:
    """Somebody else may have taken it over meanwhile."""
    claimed = await stores.answers.put(ROW)
    taken_over = await stores.answers.put(replace(claimed, holder="somebody else"))
    await stores.answers.remove(claimed)
    assert await stores.answers.get("fsm", "credit", "q/1") == taken_over
    await stores.answers.remove(taken_over)
    await stores.answers.remove(taken_over)
    assert await stores.answers.get("fsm", "credit", "q/1") is None


async def test_the_sweep_takes_what_counts_no_more(stores: Stores) -> None:
    """However many there are, and nothing else."""
    for number in range(7):
        until = START + timedelta(seconds=number)
        await stores.answers.put(replace(ROW, request=f"q-{number}", until=until, answer="{}"))
    assert await stores.answers.sweep(START + timedelta(seconds=3)) == 4
    assert await stores.answers.sweep(START + timedelta(seconds=3)) == 0
    left = [await stores.answers.get("fsm", "credit", f"q-{number}") for number in range(7)]
    assert [row is not None for row in left] == [False] * 4 + [True] * 3
