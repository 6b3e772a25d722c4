"""A world with the real connectors of Dataverse and PostOffice on their sandboxes, struck at every call.

PostOffice tells nobody of its changes, so they are found by walks. The site offers all of its contract or the least of
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import ClassVar

from local.definitions import read_definition
from sandbox.postoffice.options import Auth, PostOfficeOptions, poor
from sandbox.postoffice.sandbox import PostOfficeSandbox
from shared.connectors.postoffice.connector import PostOfficeConnector
from shared.connectors.postoffice.site import Site
from shared.http_client import basic
from shared.identity import FixedCredential
from shared.sites import SiteOperations
from shared.stores.rows import RowStore
from shared.sync.definition import Definition
from shared.sync.ports import Connector, SiteMode
from tests.scenarios.postoffice.world import LEAST
from tests.simulation.site_world import SiteWorld, for_a_story
from tests.simulation.world import TRANSFERS, Faults

FOLDER = TRANSFERS / "postoffice"
MANAGER_TYPE = "10001"
"""The id of the first record that a site makes."""
SITES: Mapping[str, tuple[PostOfficeOptions, Site]] = {
    "whole": (PostOfficeOptions(auth=Auth.BASIC), Site()),
    "poor": (poor(), Site(**LEAST, page_size=2)),
}
"""A site that offers all of the contract, and one that offers the least, with a page of as few rows as may be."""


@cache
def definitions(*names: str) -> tuple[Definition, ...]:
    """The product's definitions of these names, walked every minute; without fields that refer to others."""
    paths = {name: FOLDER / f"{name}.yaml" for name in names}
    read = [
        read_definition(path.read_text("utf-8"), f"transfers/postoffice/{name}.yaml") for name, path in paths.items()
    ]
    return tuple(for_a_story(one, read) for one in read)


class PostWorld(SiteWorld):
    """The engine between a CRM and a site of PostOffice."""

    kind = "postoffice"
    moded: ClassVar[bool] = True
    numbers: ClassVar[frozenset[str]] = frozenset({"crmId", "number", "cdock_number", "cdock_postnumber"})

    def __init__(
        self,
        site: str,
        names: Sequence[str],
        faults: Faults,
        rows: RowStore | None = None,
        *,
        by_requests: bool = False,
    ) -> None:
        self.options, binding = SITES[site]
        self.binding = binding.model_copy(update={"account_manager_type": MANAGER_TYPE})
        super().__init__(definitions(*names), faults, rows, by_requests=by_requests)

    def _open_site(self) -> Connector:
        self.site = PostOfficeSandbox(clock=self.clock, issuer=self.issuer, base_path="/gateway", options=self.options)
        assert self.site.create("account-manager-types", {"number": "1", "name": "Sales"})["id"] == MANAGER_TYPE
        signed_in = FixedCredential(f"{self.options.user}:{self.options.password}")
        client = self._site_client("https://post.example", self.site.app, signed_in, basic)
        return PostOfficeConnector(
            [client], self.clock, instance="post.example/gateway", base_path="/gateway", site=self.binding
        )

    async def _close_site(self) -> None:
        await self.site.aclose()

    def held(self, table: str) -> int:
        return len(self.site.rows(table))

    async def prepare(self) -> None:
        """Everything that the definitions allow is exchanged."""
        await self.rows.prepare()
        await self.choose_mode(SiteMode.AUTOMATIC)
        await super().prepare()

    async def choose_mode(self, mode: SiteMode) -> None:
        """Move the mode, as it stands in the store; each process finds out by itself."""
        row = await self.stores.site_modes.get("postoffice", "dataverse")
        await self.stores.site_modes.put(replace(row, mode=mode, since=self.clock.now(), by="test"))

    def site_operations(self) -> SiteOperations:
        """Those of a site's mode and of taking over, behind which no fault strikes."""
        return SiteOperations(self._app(), self._engine())
