/* Locks the fields of a form that another system masters. A web resource of Dynamics 365.
 *
 * In the form's properties: library crossdock_locks.js, event OnLoad, function Crossdock.onLoad, "Pass execution
 * context as first parameter" ticked. The table of locks below is written by `manage.py locks`; edit the definitions
 * and write it anew instead of editing it.
 *
 * A lock of the form is a courtesy to people: imports, flows and other programs do not see it. What they change is put
 * back by the transfers.
 */
"use strict";

var Crossdock = window.Crossdock || {};
window.Crossdock = Crossdock;

Crossdock.locks = {/*LOCKS*/};

Crossdock.texts = {
  1033: "Some fields are kept in another system and cannot be changed here.",
  1031: "Einige Felder werden in einem anderen System gepflegt und sind hier gesperrt.",
  1040: "Alcuni campi sono gestiti da un altro sistema e qui non sono modificabili.",
  1036: "Certains champs sont gérés par un autre système et ne sont pas modifiables ici.",
  1049: "Некоторые поля ведутся в другой системе и здесь недоступны для изменения.",
};

/** Called by the form when it has loaded. */
Crossdock.onLoad = function (executionContext) {
  var form = executionContext.getFormContext();
  var table = Crossdock.locks[form.data.entity.getEntityName()];
  if (!table) {
    return;
  }
  var sign = table.sign && form.getAttribute(table.sign);
  if (sign) {
    sign.addOnChange(function () {
      Crossdock.apply(form, table);
    });
  }
  if (form.data.entity.addOnPostSave) {
    form.data.entity.addOnPostSave(function () {
      Crossdock.apply(form, table);
    });
  }
  Crossdock.apply(form, table);
};

/** Lock what the record's state demands, and let go what Crossdock has locked before. */
Crossdock.apply = function (form, table) {
  var sign = table.sign && form.getAttribute(table.sign);
  var linked = Boolean(sign && sign.getValue());
  var locked = linked ? table.linked : table.unlinked;
  var touched = table.linked.concat(table.unlinked);
  touched.forEach(function (name) {
    var attribute = form.getAttribute(name);
    if (!attribute) {
      return; // the column is not on this form
    }
    attribute.controls.forEach(function (control) {
      if (control.setDisabled) {
        Crossdock.setLock(control, locked.indexOf(name) >= 0);
      }
    });
  });
  Crossdock.tell(form, locked.length > 0);
};

/** A control that somebody else has disabled stays disabled. */
Crossdock.setLock = function (control, wanted) {
  if (wanted && !control.getDisabled()) {
    control.setDisabled(true);
    control.crossdockLocked = true;
  } else if (!wanted && control.crossdockLocked) {
    control.setDisabled(false);
    control.crossdockLocked = false;
  }
};

/** Say why fields are grey, in the user's language. */
Crossdock.tell = function (form, wanted) {
  if (!wanted) {
    form.ui.clearFormNotification("crossdock_locks");
    return;
  }
  var language = 1033;
  try {
    language = Xrm.Utility.getGlobalContext().userSettings.languageId;
  } catch (missing) {
    language = 1033; // a form outside of an app has no global context
  }
  form.ui.setFormNotification(Crossdock.texts[language] || Crossdock.texts[1033], "INFO", "crossdock_locks");
};
