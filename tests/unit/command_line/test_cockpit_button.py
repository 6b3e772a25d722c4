"""What administrators import into Dynamics: whole, sound and for one site; and the command that writes it."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from local.cockpit_button.package import NotSo, Wanted, package
from local.command_line.context import Surroundings
from local.command_line.exits import Exit
from local.command_line.running import run_command

SITE = "https://crossdock.example"
LANGUAGES = {"1033", "1031", "1040", "1036"}
BUTTON_ATTRIBUTES = {
    "Id",
    "Command",
    "Sequence",
    "TemplateAlias",
    "ModernImage",
    *("LabelText", "Alt", "ToolTipTitle", "ToolTipDescription"),
}
"""Some of those that the vendor's 'Ribbon WSS schema' knows for a button."""


def files_of(archive: bytes) -> dict[str, str]:
    """The package's files by their names."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name).decode() for name in opened.namelist()}


def parsed(text: str) -> ElementTree.Element:
    """A file of the package as XML."""
    return ElementTree.fromstring(text.encode())  # noqa: S314 # our own file


def customizations(wanted: Wanted) -> ElementTree.Element:
    """The description of what is imported."""
    return parsed(files_of(package(wanted))["customizations.xml"])


def children(element: ElementTree.Element | None) -> list[str]:
    """The names of an element's parts in their order."""
    assert element is not None
    return [one.tag for one in element]


def values(root: ElementTree.Element, path: str, attribute: str) -> list[str]:
    """An attribute of every element at a path."""
    return [str(one.get(attribute)) for one in root.iterfind(path)]


@pytest.mark.parametrize("embed", [False, True])
@pytest.mark.parametrize("managed", [False, True])
def test_the_package_is_whole(embed: bool, managed: bool) -> None:
    """R-012, R-013: what one of its files names is in another one, and nothing else is."""
    files = files_of(package(Wanted(SITE, embed=embed, managed=managed)))
    manifest, root = parsed(files["solution.xml"]), parsed(files["customizations.xml"])
    names = [one.findtext("Name") for one in root.iterfind("WebResources/WebResource")]
    paths = [str(one.findtext("FileName")) for one in root.iterfind("WebResources/WebResource")]
    assert ("cdock_/sales_cockpit.html" in names) == embed
    assert sorted(path[1:] for path in paths) == sorted(name for name in files if name.startswith("WebResources/"))
    parts = manifest.findall("SolutionManifest/RootComponents/RootComponent")
    assert [one.get("schemaName") for one in parts if one.get("type") == "61"] == names
    assert [one.attrib for one in parts if one.get("type") != "61"] == [
        {"type": "1", "schemaName": "opportunity", "behavior": "2"}
    ]
    assert manifest.findtext("SolutionManifest/Managed") == str(int(managed))
    assert manifest.findtext("SolutionManifest/Publisher/CustomizationPrefix") == "cdock"


def test_every_kind_of_file_has_a_content_type() -> None:
    """R-012: a part without one is none for whoever opens the package; the list of types comes first."""
    files = files_of(package(Wanted(SITE, embed=True)))
    types = parsed(files["[Content_Types].xml"])
    known = {one.get("Extension") for one in types}
    assert {name.rpartition(".")[2] for name in list(files)[1:]} == known
    assert next(iter(files)) == "[Content_Types].xml"


def test_the_table_comes_with_its_button_and_nothing_else() -> None:
    """R-012: no column, form or property of the customer's table is in the package, so none can be overwritten."""
    (entity,) = customizations(Wanted(SITE, embed=True)).findall("Entities/Entity")
    assert children(entity) == ["Name", "ObjectTypeCode", "RibbonDiffXml"]
    assert entity.findtext("Name") == "Opportunity"


def test_the_button_names_only_what_is_there() -> None:
    """R-007, R-012: its command, rule, labels, script and icon; parts stand in the order of the vendor's schema."""
    files = files_of(package(Wanted(SITE)))
    root = parsed(files["customizations.xml"])
    ribbon = root.find("Entities/Entity/RibbonDiffXml")
    assert ribbon is not None
    assert children(ribbon) == ["CustomActions", "Templates", "CommandDefinitions", "RuleDefinitions", "LocLabels"]
    assert children(ribbon.find("CommandDefinitions/CommandDefinition")) == ["EnableRules", "DisplayRules", "Actions"]
    assert children(ribbon.find("RuleDefinitions")) == ["TabDisplayRules", "DisplayRules", "EnableRules"]
    (button,) = ribbon.iter("Button")
    assert set(button.attrib) == BUTTON_ATTRIBUTES
    assert values(ribbon, "CommandDefinitions/CommandDefinition", "Id") == [button.get("Command")]
    used = values(ribbon, "CommandDefinitions/CommandDefinition/EnableRules/EnableRule", "Id")
    assert used == values(ribbon, "RuleDefinitions/EnableRules/EnableRule", "Id")
    labels = {value.removeprefix("$LocLabels:") for value in button.attrib.values() if value.startswith("$LocLabels:")}
    assert labels == set(values(ribbon, "LocLabels/LocLabel", "Id"))
    names = [one.findtext("Name") for one in root.iterfind("WebResources/WebResource")]
    referred = re.findall(r"\$webresource:([^\"]+)", files["customizations.xml"])
    assert sorted(referred) == sorted(str(name) for name in names)


def test_the_button_stands_in_the_command_bar_of_saved_opportunities() -> None:
    """R-007, R-012: also of closed ones and those one may only read, never of one that is being entered."""
    root = customizations(Wanted(SITE))
    assert values(root, ".//CustomAction", "Location") == ["Mscrm.Form.opportunity.MainTab.Save.Controls._children"]
    assert set(values(root, ".//OrRule/Or/FormStateRule", "State")) == {"Existing", "ReadOnly", "Disabled"}
    assert len(root.findall(".//OrRule/Or")) == len(root.findall(".//OrRule/Or/FormStateRule")) == 3


def test_people_read_the_button_in_their_language() -> None:
    """R-012: it is called iSA-Portal in all of them; what it does is said in English, German, Italian and French."""
    root = customizations(Wanted(SITE))
    for label in root.iter("LocLabel"):
        titles = {str(one.get("languagecode")): one.get("description") for one in label.iter("Title")}
        assert set(titles) == LANGUAGES
        one_name = str(label.get("Id")).endswith((".LabelText", ".Alt"))
        assert (set(titles.values()) == {"iSA-Portal"}) == one_name
    assert {one.text for one in root.iterfind("Languages/Language")} == LANGUAGES


def test_no_other_address_is_in_the_package() -> None:
    """R-012, R-013: neither in a file nor in an attribute; names of XML vocabularies are no addresses."""
    for name, text in files_of(package(Wanted(f"{SITE}/base", embed=True, solution="s-1"))).items():
        if not name.endswith((".js", ".html")):
            told = [value for one in parsed(text).iter() for value in (one.text or "", *one.attrib.values())]
            text = "\n".join(told)
        for found in re.findall(r"(?:[a-z]+:)?//[^\s\"'<>]+", re.sub(r"//[ A-Z].*", "", text)):
            assert found.startswith(f"{SITE}/base"), (name, found)


def test_the_same_input_gives_the_same_bytes_and_an_update_the_same_ids() -> None:
    """R-012: a later import replaces what is there."""
    first, again = package(Wanted(SITE, embed=True)), package(Wanted(SITE, embed=True))
    later = package(Wanted("https://other.example", "1.0.0.1", embed=True))
    assert first == again != later
    ids = [values_of(archive, "WebResourceId") for archive in (first, later)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3
    versions = [parsed(files_of(one)["solution.xml"]).findtext("SolutionManifest/Version") for one in (first, later)]
    assert versions == ["1.0.0.0", "1.0.0.1"]


def values_of(archive: bytes, tag: str) -> list[str]:
    """The texts of all elements of a name in the description."""
    return [str(one.text) for one in parsed(files_of(archive)["customizations.xml"]).iter(tag)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "https://x.example/?a=b"},
        {"address": 'https://x.example/"onclick='},
        {"address": "https://x.example\n"},
        {"address": "javascript:alert(1)"},
        {"address": SITE, "version": "1"},
        {"address": SITE, "version": "1.0-beta"},
        {"address": SITE, "solution": 'a"b'},
        {"address": SITE, "solution": "x" * 65},
    ],
)
def test_a_package_is_made_of_plain_parts_only(wrong: dict[str, str]) -> None:
    """R-012: what could mean something else in XML, JSON or an address is refused."""
    with pytest.raises(NotSo):
        Wanted(**wrong)  # type: ignore[arg-type] # texts only, by the table above


# --- the command ------------------------------------------------------------------------------------


async def typed(folder: Path, *words: str, **environment: str) -> tuple[int, str, str]:
    """Type the command with these settings, in a folder without others."""
    out, err = io.StringIO(), io.StringIO()
    surroundings = Surroundings(environment, out, err, folder=folder)
    code = await run_command(["cockpit-button", *words, "--state", str(folder)], surroundings)
    return code, out.getvalue(), err.getvalue()


SETTINGS = {
    "CROSSDOCK_PUBLIC_URL": f"{SITE}/",
    "CROSSDOCK_SYSTEMS": "dataverse,sales_cockpit",
    "CROSSDOCK_SALES_COCKPIT_URL": "https://cockpit.example",
}


async def test_the_file_leads_to_the_site_of_the_settings(tmp_path: Path) -> None:
    """R-012, R-014: without --embed there is no page for a tab."""
    file = tmp_path / "button.zip"
    code, out, _ = await typed(tmp_path, str(file), "--json", **SETTINGS)
    assert (code, json.loads(out)["address"]) == (Exit.FINE, SITE)
    assert file.read_bytes() == package(Wanted(SITE))


async def test_a_tab_that_the_site_does_not_show_is_told(tmp_path: Path) -> None:
    """R-013, R-014: the page is in the file, and the setting that goes with it is named."""
    file = tmp_path / "button.zip"
    code, _, err = await typed(tmp_path, str(file), "--embed", **SETTINGS)
    assert code == Exit.ATTENTION
    assert "CROSSDOCK_SALES_COCKPIT_EMBED" in err
    assert file.read_bytes() == package(Wanted(SITE, embed=True))
    code, _, err = await typed(tmp_path, str(file), "--embed", **SETTINGS, CROSSDOCK_SALES_COCKPIT_EMBED="on")
    assert code == Exit.FINE
    assert "CROSSDOCK_SALES_COCKPIT_EMBED" not in err


async def test_another_address_needs_no_installation(tmp_path: Path) -> None:
    """R-012: such as that of the productive site, written on somebody's own machine."""
    file = tmp_path / "button.zip"
    words = ("--address", "https://live.example/", "--version", "1.2.0.0", "--solution-id", "s-7", "--unmanaged")
    assert (await typed(tmp_path, str(file), *words))[0] == Exit.FINE
    assert file.read_bytes() == package(Wanted("https://live.example", "1.2.0.0", "s-7", managed=False))


@pytest.mark.parametrize(
    ("words", "settings", "code", "said"),
    [
        ((), {**SETTINGS, "CROSSDOCK_PUBLIC_URL": ""}, Exit.SET_UP, "CROSSDOCK_PUBLIC_URL"),
        ((), {}, Exit.SET_UP, "no settings"),
        (("--address", "http://live.example"), {}, Exit.USAGE, "https address"),
        (("--address", "https://live.example/?x=1"), {}, Exit.USAGE, "https address"),
        (("--address", SITE, "--version", "next"), {}, Exit.USAGE, "version"),
        (("--address", SITE, "--solution-id", "a b"), {}, Exit.USAGE, "solution's id"),
    ],
)
async def test_what_cannot_be_written_is_said(
    tmp_path: Path, words: tuple[str, ...], settings: dict[str, str], code: int, said: str
) -> None:
    """R-012: and no file is left behind."""
    file = tmp_path / "button.zip"
    ended, _, err = await typed(tmp_path, str(file), *words, **settings)
    assert (ended, said in err) == (code, True), err
    assert not file.exists()


async def test_a_folder_that_is_not_there_is_said_before_anything_else(tmp_path: Path) -> None:
    """R-012: it is not made."""
    code, _, err = await typed(tmp_path, str(tmp_path / "missing" / "button.zip"), "--address", SITE)
    assert (code, "no folder" in err) == (Exit.USAGE, True)
