"""The package that an administrator of Dynamics 365 imports: a button on opportunities, and the page of a form's tab.

Its shape follows what Dataverse exports and Microsoft documents: 'Ribbon core schema', 'Ribbon types schema' and
'Ribbon WSS schema' for the button, 'Web page (HTML) web resources' for the page. The table comes without its definition
(`behavior="2"`), so that an import touches nothing of it but the button. The same input gives the same bytes.
"""

from __future__ import annotations

import io
import json
import re
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
PREFIX: Final = "cdock"
OPTION_PREFIX: Final = 57310
"""The publisher's two prefixes: of names, and of choices' values (five digits), of which there are none."""
BUTTON: Final = f"{PREFIX}.opportunity.SalesCockpit"
PLACE: Final = "{/*COCKPIT*/}"
STATES: Final = ("Existing", "ReadOnly", "Disabled")
"""Forms of records that are saved; closed opportunities and those of others are shown read-only."""

LABELS: Final = {
    "LabelText": dict.fromkeys((1033, 1031, 1040, 1036), "iSA-Portal"),
    "Alt": dict.fromkeys((1033, 1031, 1040, 1036), "iSA-Portal"),
    "ToolTipTitle": {
        1033: "Open the Sales Cockpit",
        1031: "Sales Cockpit öffnen",
        1040: "Apri il Sales Cockpit",
        1036: "Ouvrir le Sales Cockpit",
    },
    "ToolTipDescription": {
        1033: "Opens the project of this opportunity in a new tab.",
        1031: "Öffnet das Projekt dieser Verkaufschance in einem neuen Tab.",
        1040: "Apre il progetto di questa opportunità in una nuova scheda.",
        1036: "Ouvre le projet de cette opportunité dans un nouvel onglet.",
    },
}
"""By the numbers that Windows and Dynamics have for languages: English, German, Italian, French."""

_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~-]+)*")
_VERSION: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){1,3}")
_SOLUTION: Final = re.compile(r"[A-Za-z0-9._-]{0,64}")
_KINDS: Final = {".html": 1, ".js": 3, ".svg": 11}
"""Types of web resources, by the ends of their names (table `webresource`, column `webresourcetype`)."""
_NAMES: Final = uuid.UUID("3c0c3a0e-6f0b-5d1c-9b7e-2f5f4f1d8a61")
_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)


class NotSo(ValueError):
    """Something that the package cannot be made for; the text says what."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a package is made for. address: of the site, without `/api`. solution: the Cockpit's own, that new projects
    are assigned to; empty: none. managed: as a layer of its own that leaves other buttons alone and can be removed."""

    address: str
    version: str = "1.0.0.0"
    solution: str = ""
    embed: bool = False
    managed: bool = True

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.address):
            raise NotSo("An address is https://, a host, and at most a plain path.")
        if not _VERSION.fullmatch(self.version):
            raise NotSo("A version has two to four numbers with dots between them, such as 1.0.0.1.")
        if not _SOLUTION.fullmatch(self.solution):
            raise NotSo("A solution's id in the Cockpit has up to 64 letters, digits, dots, underscores and hyphens.")


@dataclass(frozen=True, slots=True)
class WebResource:
    """A file that Dynamics serves. told: its display name."""

    file: str
    told: str
    text: str

    @property
    def name(self) -> str:
        """How Dynamics calls it."""
        return f"{PREFIX}_/{self.file}"

    @property
    def path(self) -> str:
        """Where it lies in the package."""
        return f"WebResources/{PREFIX}_{self.file}"

    @property
    def id(self) -> str:
        """The same in every package, so that an import updates."""
        return str(uuid.uuid5(_NAMES, self.name))

    @property
    def kind(self) -> int:
        """What Dynamics takes it for."""
        return _KINDS[Path(self.file).suffix]


def package(wanted: Wanted) -> bytes:
    """The zip file to import."""
    files = {name: _filled(source, wanted) for name, source in _DESCRIPTIONS.items()}
    files |= {one.path: one.text for one in web_resources(wanted)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.create_system = 0
            archive.writestr(entry, text.encode())
    return buffer.getvalue()


def web_resources(wanted: Wanted) -> list[WebResource]:
    """The script and the icon of the button, and the page of the tab if it is wanted."""
    facts = json.dumps({"address": wanted.address, "solution": wanted.solution})
    script = _read("sales_cockpit.js").replace(PLACE, facts)
    found = [
        WebResource("sales_cockpit.js", "Sales Cockpit (script)", script),
        WebResource("sales_cockpit.svg", "Sales Cockpit (icon)", _read("sales_cockpit.svg")),
    ]
    page = WebResource("sales_cockpit.html", "Sales Cockpit (tab)", _read("sales_cockpit.html"))
    return [*found, page] if wanted.embed else found


_DESCRIPTIONS: Final = {
    "[Content_Types].xml": "content_types.xml",
    "solution.xml": "solution.xml",
    "customizations.xml": "customizations.xml",
}


def _filled(source: str, wanted: Wanted) -> str:
    from jinja2 import Environment, StrictUndefined

    resources = web_resources(wanted)
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(_read(source))
    return template.render(
        address=wanted.address,
        version=wanted.version,
        managed=wanted.managed,
        prefix=PREFIX,
        option_prefix=OPTION_PREFIX,
        id=BUTTON,
        script=resources[0],
        icon=resources[1],
        resources=resources,
        extensions=sorted({"xml", *(one.file.rpartition(".")[2] for one in resources)}),
        states=STATES,
        labels=LABELS,
        languages=sorted(LABELS["LabelText"]),
    )


def _read(name: str) -> str:
    return (HERE / name).read_text("utf-8")
