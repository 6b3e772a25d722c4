/* Opens the Sales Cockpit from an opportunity. A web resource of Dynamics 365, written by `manage.py cockpit-button`
 * for one site's address; write it anew instead of editing it.
 *
 * The button in the command bar calls Crossdock.openCockpit. The page of the form's tab loads this file, too, and shows
 * the Cockpit in a frame. Nothing but the opportunity's id and the number of the user's language leaves Dynamics here.
 */
"use strict";

var Crossdock = window.Crossdock || {};
window.Crossdock = Crossdock;

Crossdock.cockpit = {/*COCKPIT*/};

/** By the primary language: the low ten bits of the number that Dynamics has for the user's language. */
Crossdock.cockpitTexts = {
  9: {
    save: "The Sales Cockpit appears here once the opportunity has been saved and the form is opened again.",
    unknown: "This tab does not know its opportunity. Please tell your administrator.",
  },
  7: {
    save: "Das Sales Cockpit erscheint hier, sobald die Verkaufschance gespeichert und das Formular neu geöffnet ist.",
    unknown: "Dieser Reiter kennt seine Verkaufschance nicht. Bitte geben Sie Ihrem Administrator Bescheid.",
  },
  16: {
    save: "Il Sales Cockpit appare qui quando l'opportunità è stata salvata e il modulo viene riaperto.",
    unknown: "Questa scheda non conosce la sua opportunità. Avvisare l'amministratore.",
  },
  12: {
    save: "Le Sales Cockpit s'affiche ici une fois l'opportunité enregistrée et le formulaire rouvert.",
    unknown: "Cet onglet ne connaît pas son opportunité. Veuillez prévenir votre administrateur.",
  },
};

/** The address that opens an opportunity's project; empty for anything that is no id. mode: "tab" or "embed". */
Crossdock.cockpitAddress = function (id, mode, language) {
  var plain = String(id || "").replace(/^\{(.*)\}$/, "$1");
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(plain)) {
    return "";
  }
  var address = Crossdock.cockpit.address + "/api/cockpit/launch?opportunityid=" + plain.toLowerCase() + "&mode=" + mode;
  if (/^[0-9]{4,5}$/.test(String(language))) {
    address += "&userlcid=" + language;
  }
  if (Crossdock.cockpit.solution) {
    address += "&solutionid=" + encodeURIComponent(Crossdock.cockpit.solution);
  }
  return address;
};

/** Called by the button with the record's id and the user's language. */
Crossdock.openCockpit = function (id, language) {
  var address = Crossdock.cockpitAddress(id, "tab", language);
  if (address) {
    Xrm.Navigation.openUrl(address);
  }
};

/** Show the Cockpit, or why it is not there. query: what Dynamics tells the page of the record. */
Crossdock.showCockpit = function (place, query) {
  var told = new URLSearchParams(query);
  var language = told.get("userlcid");
  var isOpportunity = told.get("typename") === "opportunity";
  var address = isOpportunity ? Crossdock.cockpitAddress(told.get("id"), "embed", language) : "";
  if (!address) {
    var texts = Crossdock.cockpitTexts[Number(language) & 0x3ff] || Crossdock.cockpitTexts[9];
    place.textContent = isOpportunity && !told.get("id") ? texts.save : texts.unknown;
    return;
  }
  var frame = document.createElement("iframe");
  frame.title = "Sales Cockpit";
  frame.referrerPolicy = "no-referrer";
  frame.src = address;
  place.replaceChildren(frame);
};

Crossdock.cockpitPlace = document.getElementById("crossdock_sales_cockpit");
if (Crossdock.cockpitPlace) {
  Crossdock.showCockpit(Crossdock.cockpitPlace, window.location.search);
}
