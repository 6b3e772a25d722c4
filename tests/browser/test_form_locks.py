"""The form script of Dynamics 365 in a real browser, on a stub of a form: what a user can type into, and when."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from local.command_line.commands.locks import form_script
from local.definitions import compile_folder
from shared.sync.locking import locks_of
from tests.browser.chromium import rendered

TRANSFERS = Path(__file__).parents[2] / "transfers"
COLUMNS = ("name", "telephone1", "creditlimit", "accountnumber", "transactioncurrencyid", "cdock_vatnumber")

STUB = """<!doctype html><html><body><pre id="told"></pre><script>
var Xrm = {Utility: {getGlobalContext: function () { return {userSettings: {languageId: LANGUAGE}}; }}};
function Attribute(value, disabled) {
  var self = {value: value, listeners: [], controls: {list: []}};
  self.getValue = function () { return self.value; };
  self.addOnChange = function (listener) { self.listeners.push(listener); };
  self.setByUser = function (value) { self.value = value; self.listeners.forEach(function (one) { one(); }); };
  function Control() {
    var control = {disabled: disabled};
    control.getDisabled = function () { return control.disabled; };
    control.setDisabled = function (wanted) { control.disabled = wanted; };
    return control;
  }
  self.controls.list = [Control(), Control()]; // on the form and in its header
  self.controls.forEach = function (visit) { self.controls.list.forEach(visit); };
  return self;
}
var attributes = {}, notes = {};
VALUES.forEach(function (one) { attributes[one[0]] = Attribute(one[1], one[2]); });
var saved = [];
var form = {
  getAttribute: function (name) { return attributes[name] || null; },
  data: {entity: {
    getEntityName: function () { return "TABLE"; },
    addOnPostSave: function (listener) { saved.push(listener); },
  }},
  ui: {
    setFormNotification: function (text, level, id) { notes[id] = text; },
    clearFormNotification: function (id) { delete notes[id]; },
  },
};
function state() {
  var disabled = {};
  Object.keys(attributes).forEach(function (name) {
    disabled[name] = attributes[name].controls.list.map(function (one) { return one.disabled; });
  });
  return {disabled: disabled, notes: JSON.parse(JSON.stringify(notes))};
}
SCRIPT
var told = [];
Crossdock.onLoad({getFormContext: function () { return form; }});
told.push(state());
STEPS
document.getElementById("told").textContent = JSON.stringify(told);
</script></body></html>"""


def states(
    values: dict[str, Any], *, table: str = "account", steps: str = "", language: int = 1033, disabled: str = ""
) -> list[dict[str, Any]]:
    """What the form looks like after loading, and after every step that reports."""
    script = form_script(locks_of(compile_folder(TRANSFERS).definitions, "dataverse"))
    rows = [[name, values.get(name), name == disabled] for name in COLUMNS]
    page = STUB.replace("VALUES", json.dumps(rows)).replace("TABLE", table).replace("LANGUAGE", str(language))
    page = page.replace("STEPS", steps).replace("SCRIPT", script)
    found = re.search(r'<pre id="told">(.*?)</pre>', rendered(page), re.DOTALL)
    assert found
    answer: list[dict[str, Any]] = json.loads(html.unescape(found.group(1)))
    return answer


def locked(state: dict[str, Any]) -> set[str]:
    """The columns of which every control is locked; none is locked by half."""
    assert all(len(set(controls)) == 1 for controls in state["disabled"].values())
    return {name for name, controls in state["disabled"].items() if controls[0]}


def test_a_prospect_is_open_but_for_what_the_erp_always_masters() -> None:
    """R-053, R-060: its name and VAT number can be edited; number and credit limit never."""
    (loaded,) = states({"name": "Prospect"})
    assert locked(loaded) == {"accountnumber", "creditlimit"}


def test_a_customer_is_locked_where_the_erp_is_master_and_open_where_the_crm_is() -> None:
    """R-058, R-059, R-060: and the form says why, in the user's language."""
    (loaded,) = states({"name": "Customer", "accountnumber": "10000"}, language=1031)
    assert locked(loaded) == {"accountnumber", "creditlimit", "name", "cdock_vatnumber", "transactioncurrencyid"}
    assert "anderen System" in loaded["notes"]["crossdock_locks"]


def test_the_form_follows_when_the_record_becomes_a_customer_and_when_it_is_one_no_longer() -> None:
    """R-054, R-060: without a reload; what was locked by somebody else is never let go."""
    steps = """
    attributes.accountnumber.setByUser("10000"); told.push(state());
    attributes.accountnumber.value = null; saved.forEach(function (one) { one(); }); told.push(state());
    """
    before, during, after = states({"name": "Prospect"}, steps=steps, disabled="telephone1")
    assert locked(before) == locked(after) == {"accountnumber", "creditlimit", "telephone1"}
    assert "name" in locked(during)


@pytest.mark.parametrize("table", ["lead", "competitor"])
def test_a_form_of_a_table_without_transfers_is_left_alone(table: str) -> None:
    """R-060: the script may sit on any form."""
    (loaded,) = states({"name": "Somebody"}, table=table)
    assert locked(loaded) == set()
    assert loaded["notes"] == {}
