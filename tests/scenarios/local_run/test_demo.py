"""The demo's stories, as a stranger starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CUSTOMERS = (
    "A new account becomes a customer, once",
    "A field that the CRM masters goes over",
    "A field that the ERP masters, edited in the CRM, is put back and recorded",
    "A change in the ERP comes back",
    "The same company, created on both sides at once, ends as one pair",
    "The ERP is down, and comes back",
)
POSTOFFICE = (
    "A fresh installation exchanges nothing, although every switch is on",
    "Mode manual: PostOffice's lists arrive in the CRM",
    "A person takes over a customer and its cost centre",
    "Mode automatic, after its warning: what the CRM has and PostOffice has not is made there",
    "What belongs to a customer follows it",
    "What happens in PostOffice is shown in the CRM",
    "Pick-up locations go both ways",
)
COCKPIT = (
    "The first click on an opportunity makes its project, with two ids and the name",
    "Every later click opens the same project, whoever clicks",
    "Who may not see an opportunity sees nothing of its project",
    "A rating stands in the opportunity before the page is back, in the rater's name",
    "The CRM takes no changes for a while: the rating goes over by itself, still in the rater's name",
    "The project bears the opportunity's name",
    "A won opportunity keeps its project, and takes no more ratings",
)
FIELD_SERVICE = (
    "Every customer of the CRM is there in the field",
    "A job asked for in the CRM is planned, done and reported in the field",
    "A warranty to be extended, and a quotation that the customer confirmed on the spot",
    "The technician wants to sell parts: the ERP says whether the customer may owe that much more",
    "An order in the CRM beyond the limit is not registered, and the salesperson reads why",
)


def told(story: str) -> str:
    """What a story prints; settings for a real system of the environment stay outside."""
    environment = {**os.environ, "CROSSDOCK_DATAVERSE_URL": "https://real.invalid", "PYTHONUTF8": "1"}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-W", "error", "-m", story],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.xdist_group("local_run")
@pytest.mark.parametrize(
    ("story", "chapters"),
    [
        ("local.demo_customers", CUSTOMERS),
        ("local.demo_postoffice", POSTOFFICE),
        ("local.demo_sales_cockpit", COCKPIT),
        ("local.demo_field_service", FIELD_SERVICE),
    ],
)
def test_the_demo_tells_its_whole_stories_and_ends_with_0(story: str, chapters: tuple[str, ...]) -> None:
    """R-098, R-099, R-100, R-101, R-102, R-103, R-104, R-105, R-106, R-107, R-108, R-109, R-110, R-111, R-112, R-113,
    R-114, R-115: every chapter is there in its order, in the second story all kinds of data in their directions. R-007,
    R-009, R-011, R-016, R-017, R-018, R-021, R-022, R-024, R-026: the third, from the opportunity to the project and
    back, as two people. R-201, R-204, R-205, R-208, R-209, R-217, R-229, R-233, R-234: the fourth, from the CRM to the
    field and back, and a check while somebody waits."""
    said = told(story)
    places = [said.find(f"\n{chapter}\n") for chapter in chapters]
    assert -1 not in places, said
    assert places == sorted(places)
