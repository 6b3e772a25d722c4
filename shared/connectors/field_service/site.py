"""What one installation of field service words otherwise than the contract; a model for each dialect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from shared.connectors.field_service.outbound import Bound
from shared.connectors.zones import TimeZone

PathName = Literal["schema", "table_schema", "read", "query", "create", "update", "delete"]
PATHS: Final[Mapping[PathName, str]] = {
    "schema": "schema",
    "table_schema": "schema/{table}",
    "read": "tables/{table}/{key}",
    "query": "tables/{table}/query",
    "create": "tables/{table}",
    "update": "tables/{table}/{key}",
    "delete": "tables/{table}/{key}",
}
EVERY_OTHER: Final = "*"
"""Stands for every table that is not named."""
_PLACE: Final = re.compile(r"\{([a-z]+)\}")
_PATH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]*(/[A-Za-z0-9_][A-Za-z0-9_.~-]*)*")

_Column = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
_Flag = Annotated[str, Field(min_length=1, max_length=20)]


def _is_below_the_base(path: str) -> str:
    if not _PATH.fullmatch(_PLACE.sub("x", path)):
        raise ValueError("is no path below the address, such as tables/{table}/{key}")
    return path


class Site(BaseModel):
    """What both dialects have. outbound: what names in their messages stand for."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    outbound: dict[str, Bound] = {}
    changed_at: _Column | dict[str, _Column]
    page_size: Annotated[int, Field(ge=2, le=1000)] = 500

    def changed_in(self, table: str) -> str:
        """The column with the time of a table's last change; empty where none is known."""
        if isinstance(self.changed_at, str):
            return self.changed_at
        return self.changed_at.get(table, self.changed_at.get(EVERY_OTHER, ""))


class FsmSite(Site):
    """An FSM server. flags: how it writes yes and no."""

    paths: dict[PathName, Annotated[str, AfterValidator(_is_below_the_base)]] = {}
    versions: bool = True
    changed_at: _Column | dict[str, _Column] = "modified_dttm"
    time_zone: TimeZone = "UTC"
    flags: tuple[_Flag, _Flag] = ("Y", "N")

    @field_validator("paths")
    @classmethod
    def _name_what_they_need(cls, paths: dict[PathName, str]) -> dict[PathName, str]:
        for name, path in paths.items():
            needed = _PLACE.findall(PATHS[name])
            if sorted(_PLACE.findall(path)) != sorted(needed):
                told = " and ".join(f"{{{one}}}" for one in needed) or "no {table}"
                raise ValueError(f"{name} needs {told}, and nothing else in braces")
        return paths

    @field_validator("flags")
    @classmethod
    def _can_be_told_apart(cls, flags: tuple[str, str]) -> tuple[str, str]:
        if flags[0] == flags[1]:
            raise ValueError("yes and no are written alike")
        return flags

    def path(self, name: PathName, **places: str) -> str:
        """A path with what belongs into it, which is encoded already."""
        return self.paths.get(name, PATHS[name]).format(**places)


class IfsCloudSite(Site):
    """An environment of IFS Cloud. base: where its projections are."""

    changed_at: _Column | dict[str, _Column] = "ModifiedTime"
    base: Annotated[str, AfterValidator(_is_below_the_base)] = "main/ifsapplications/projection/v1"
