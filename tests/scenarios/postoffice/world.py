"""A CRM and a site's PostOffice, with everything real between them, in virtual time."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any, Self

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from local.definitions import compile_folder, read_definition
from sandbox.business_central import BusinessCentralSandbox
from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.postoffice.options import Auth, PostOfficeOptions, poor
from sandbox.postoffice.sandbox import PostOfficeSandbox
from shared.app import App
from shared.sync.context import pair_name
from shared.sync.definition import Definition, Index
from shared.sync.ports import LinkState, Side, SiteMode
from tests.scenarios.account_customer.world import APP_URL, CRM_CLIENT, CRM_URL, RealWorld, Setup

FOLDER = Path(__file__).parents[3] / "transfers" / "postoffice"
WALK_SECONDS = 300
QUIET_SECONDS = 60
"""For so long a file must not have been written to."""
WINDOW_DAYS = 3
SITE_URL = "https://post.example/gateway"
OPERATOR_KEY = "operator-key-of-at-least-32-characters"
TAKES_CUSTOMERS, TAKES_COST_CENTRES = "postoffice_customer_to_dataverse", "cost_centre_to_dataverse"
TO_POSTOFFICE = "account_to_postoffice"
SETTINGS: Mapping[str, str] = {
    "CROSSDOCK_SYSTEMS": "dataverse,postoffice",
    "CROSSDOCK_POSTOFFICE_SANDBOX_URL": SITE_URL,
    "CROSSDOCK_OPERATOR_KEY": OPERATOR_KEY,
}
OTHER_ORGANIZATION = "8e2f8b5d-3c6f-4d69-8b1c-4a7c3e2d9f66"
TWO_CRMS: Mapping[str, str] = {
    "CROSSDOCK_SYSTEMS": "dataverse,crm_test=dataverse,postoffice",
    "CROSSDOCK_CRM_TEST_SANDBOX_URL": CRM_URL,
    "CROSSDOCK_CRM_TEST_ORGANIZATION_ID": OTHER_ORGANIZATION,
    "CROSSDOCK_CRM_TEST_PROFILE": "test",
}
FOR_BOTH = """
for:
  - dataverse: dataverse
    profile: productive
  - dataverse: crm_test
    profile: test
"""
FILED = (
    "customer-groups",
    "price-groups",
    "invoicing-clients",
    "services",
    "articles",
    "employees",
    "orders",
    "invoices",
    "complaints",
    "vehicles",
    "shipment-statistics",
)
LEAST: Mapping[str, Any] = {
    "versions": False,
    "feed": False,
    "idempotency_keys": False,
    "paging": "offset",
    "filters": False,
    "account_managers": False,
}
WHOLE = (
    PostOfficeOptions(auth=Auth.API_KEY),
    {"CROSSDOCK_POSTOFFICE_SIGN_IN": "api_key", "CROSSDOCK_POSTOFFICE_IDENTITIES": "X-Api-Key:postoffice-sandbox-key"},
)
POOR = (
    poor(Auth.BASIC),
    {
        "CROSSDOCK_POSTOFFICE_SIGN_IN": "basic",
        "CROSSDOCK_POSTOFFICE_IDENTITIES": "crossdock:postoffice-sandbox-password",
        "CROSSDOCK_POSTOFFICE_SITE": json.dumps(LEAST),
    },
)
FILES = (
    poor(Auth.BASIC),
    {
        **POOR[1],
        "CROSSDOCK_POSTOFFICE_SITE": json.dumps(
            {
                **LEAST,
                "lists": {"vehicles": {"active": "yes_no", "load": "amount"}},
                "files": {"folder": "<folder>", "lists": {name: f"{name}.csv" for name in FILED}},
            }
        ),
    },
)
"""A site that offers all of the contract, one that offers the least, and one of which the lists that PostOffice alone
keeps come as files; each with the settings that say so."""
PARTIES = ("customer", "cost_centre", "customer_group", "price_group", "invoicing_client", "service", "article")
"""The definitions of customers and cost centres, and of what they refer to."""
Sites = tuple[PostOfficeOptions, Mapping[str, str]]


@cache
def _read(path: Path) -> Definition:
    """Once for all worlds: reading them takes longer than many a story."""
    return read_definition(path.read_text("utf-8"), f"transfers/postoffice/{path.name}")


def shipped(*names: str, account_managers: bool = False) -> Index:
    """The product's own definitions for PostOffice, or those of these names only, but walked every five minutes, since
    the stories take no days.

    Without the account managers, unless a story is about them: whoever edits an account would have to be an employee.
    """
    read = [_read(path) for path in sorted(FOLDER.glob("*.yaml")) if not names or path.stem in names]
    kept = read if account_managers else [one.without(Side.RIGHT, {"accountManager"}) for one in read]
    return Index(definitions=tuple(map(often_walked, kept)))


def for_two_crms(*names: str) -> Index:
    """Definitions of these names for a productive CRM and one for tests."""
    with TemporaryDirectory() as folder:
        transfers = Path(folder) / "transfers"
        copytree(FOLDER, transfers / "postoffice")
        for path in transfers.glob("*/*.yaml"):
            if path.stem not in names:  # what the others refer to has to be among them
                path.unlink()
                continue
            path.write_text(path.read_text("utf-8") + FOR_BOTH, "utf-8")
        index = compile_folder(transfers)
    assert index.problems == (), [str(problem) for problem in index.problems]
    return index.model_copy(update={"definitions": tuple(map(often_walked, index.definitions))})


def often_walked(definition: Definition) -> Definition:
    """A definition walked every five minutes; one of derived rows as it says, but over the last three days only."""
    if definition.is_derived:
        return with_window(definition, walk_seconds=None)
    walked = [one.model_copy(update={"walk_seconds": WALK_SECONDS}) for one in definition.transfers]
    return definition.model_copy(update={"transfers": tuple(walked)})


def with_window(definition: Definition, walk_seconds: int | None) -> Definition:
    """A definition of derived rows with a window of three days, walked as often as said or as it says itself."""
    transfers = [
        one.model_copy(update={"window_days": WINDOW_DAYS, "walk_seconds": walk_seconds or one.walk_seconds})
        for one in definition.transfers
    ]
    return definition.model_copy(update={"transfers": tuple(transfers)})


def with_windows_walked(index: Index, seconds: int) -> Index:
    """The definitions, the windows of those of derived rows walked as often as said."""
    changed = [with_window(one, seconds) if one.is_derived else one for one in index.definitions]
    return index.model_copy(update={"definitions": tuple(changed)})


class PostWorld(RealWorld):
    """The whole, with a site in the place of the ERP.

    index: PARTIES if not said. mode: of the site towards every CRM; None: nobody has chosen.
    """

    tick_seconds = 60.0
    """So many feeds are walked that looking at all of them more often would cost most of the time."""

    def __init__(
        self,
        world: Sites,
        index: Index | None = None,
        more: Mapping[str, str] | None = None,
        mode: SiteMode | None = SiteMode.AUTOMATIC,
        **setup: Any,
    ) -> None:
        self._mode = mode
        self.meanwhile: Callable[[int], Awaitable[None]] | None = None
        self.requests_seen, self._is_told = 0, False
        self._options, settings = world
        self._drop = TemporaryDirectory()
        self.folder = Path(self._drop.name)
        environment = {**SETTINGS, **settings, **(more or {})}
        environment = {name: text.replace("<folder>", str(self.folder)) for name, text in environment.items()}
        setup.setdefault("crm", DataverseOptions(application_users=(CRM_CLIENT,), untracked=()))
        super().__init__(Setup(index=index or shipped(*PARTIES), environment=environment, hooks=False, **setup))

    def _make_app(self) -> App:
        if not hasattr(self, "other_crm"):
            self.other_crm = self._make_crm(OTHER_ORGANIZATION)
        return super()._make_app()

    def _make_erp(self) -> BusinessCentralSandbox:
        self.site = PostOfficeSandbox(
            clock=self.clock, issuer=self.issuer, base_path="/gateway", seed=self.setup.seed, options=self._options
        )
        return super()._make_erp()

    async def _enter(self) -> None:
        await self.apps[0].engine()  # opens the store
        if self._mode is not None:
            for crm in ("dataverse", "crm_test"):
                await self.choose_mode(self._mode, crm)
        await super()._enter()

    async def choose_mode(self, mode: SiteMode, crm: str = "dataverse") -> None:
        """Move the mode, as it stands in the store; what follows from it is the operations' business."""
        row = await self.stores.site_modes.get("postoffice", crm)
        await self.stores.site_modes.put(replace(row, mode=mode, since=self.clock.now(), by="test"))
        for app in self.apps:
            (await app.engine()).pipeline.forget_switches()

    def _served(self) -> dict[str, ASGIApp]:
        served = super()._served() | {"postoffice": self.site.app, "crm_test": self.other_crm.app}
        return served | {name: self._told(served[name]) for name in ("postoffice", "dataverse")}

    def _told(self, app: ASGIApp) -> ASGIApp:
        """A system before whose requests `meanwhile` is called with their number."""

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            if self.meanwhile is not None and not self._is_told:
                self.requests_seen += 1
                self._is_told = True
                try:
                    await self.meanwhile(self.requests_seen)
                finally:
                    self._is_told = False
            await app(scope, receive, send)

        return front

    async def __aenter__(self) -> Self:
        self.export()
        await self.clock.sleep(QUIET_SECONDS + 1)
        return await super().__aenter__()

    def export(self) -> None:
        """What the export module does by its own clock: write all lists anew. Only some sites have a use for it."""
        today = self.clock.now().date()
        self.site.export_csv(self.folder, today - timedelta(days=WINDOW_DAYS), today)

    def keep_time(self, path: Path) -> None:
        """A file that was altered keeps the time of this moment by the world's clock."""
        os.utime(path, (self.clock.now().timestamp(), self.clock.now().timestamp()))

    async def linked_keys(self, table: str) -> set[str]:
        """The keys of a list's rows that are linked."""
        definition = next(one for one in self.index.definitions if one.right.table == table)
        connectors = (await self.apps[0].engine()).pipeline.ports.connectors
        rows = await self.stores.links.page(pair_name(definition, connectors), Side.RIGHT, None, 1000)
        return {row.key for row in rows if row.state is LinkState.LINKED}

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await super().__aexit__(kind, error, trace)
        self._drop.cleanup()
        await self.site.aclose()
        await self.other_crm.aclose()
        if error is None:
            assert self.site.requests.unforeseen() == []

    async def asked(self, method: str, path: str, *, status: int = 200, **wish: Any) -> Any:
        """Ask the operations API as an administrator, who says who he is and why; answers what it says."""
        answer = await self._answered(method, path, wish)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def posted(self, path: str, **wish: Any) -> httpx.Response:
        """The same, of what may be refused."""
        return await self._answered("POST", path, wish)

    async def _answered(self, method: str, path: str, wish: Mapping[str, Any]) -> httpx.Response:
        headers, url = {"x-crossdock-key": OPERATOR_KEY}, f"{APP_URL}/api/ops/{path}"
        said = {} if path.endswith("/preview") else {"by": "ticket-17", "reason": "a story"}
        told = {name: value for name, value in {**said, **wish}.items() if value is not None}
        return await self._post.request(method, url, headers=headers, json=None if method == "GET" else told)

    async def wish_mode(self, mode: str, **more: Any) -> Any:
        """Move the mode as an administrator does, over the operations API."""
        etag = (await self.asked("GET", "modes/postoffice/dataverse"))["etag"]
        moved = await self.asked("PUT", "modes/postoffice/dataverse", mode=mode, etag=etag, **more)
        await self.pass_time(seconds=6)  # until every process knows it
        return moved

    async def take_over(self, transfer: str, *keys: str) -> list[dict[str, Any]]:
        """Take records over, over the operations API; answers how it went with each."""
        answer = await self.asked("POST", f"transfers/{transfer}/take-over", keys=list(keys))
        return list(answer["items"])

    async def unlink(self, account: str, **more: Any) -> Any:
        """Undo the link of an account, over the operations API."""
        return await self.asked("POST", f"links/dataverse/account/{account}/unlink", transfer=TO_POSTOFFICE, **more)

    def definition_of(self, table: str) -> Definition:
        """The pair that has a table of PostOffice."""
        return next(one for one in self.index.definitions if one.right.table == table)

    def pair_of(self, table: str) -> str:
        """The name of that pair, part of every link key."""
        return pair_name(self.definition_of(table), self._connectors)

    def brakes(self, **limits: int) -> None:
        """Other brakes for every definition, from the next restart on."""
        given = [
            one.model_copy(update={"brakes": one.brakes.model_copy(update=limits)}) for one in self.index.definitions
        ]
        self.index = self.index.model_copy(update={"definitions": tuple(given)})

    @property
    def customers_there(self) -> Mapping[str, Mapping[str, Any]]:
        """PostOffice's customers with their parts."""
        return self.site.rows("customers")

    @property
    def cost_centres_there(self) -> Mapping[str, Mapping[str, Any]]:
        """PostOffice's cost centres with their parts."""
        return self.site.rows("cost-centres")

    def pair_of_transfer(self, transfer: str) -> str:
        """The name of a transfer's pair."""
        found = next(one for one, named in self.index.transfers() if named.name == transfer)
        return pair_name(found, self._connectors)

    async def next_walk(self) -> None:
        """Wait until the next walks have found everything and nothing is on its way."""
        self.export()
        await self.settle(quiet_seconds=WALK_SECONDS + 2 * self.tick_seconds)

    def listed(self, table: str, crm: DataverseSandbox | None = None) -> list[Mapping[str, Any]]:
        """What a CRM holds of a list, by number; the productive one if none is named."""
        return sorted((crm or self.crm).rows(table).values(), key=lambda row: str(row["cdock_number"]))
