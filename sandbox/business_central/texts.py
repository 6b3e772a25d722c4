"""Texts of the refusals, by language. The service follows Accept-Language; clients must not compare texts."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "no_resource": {
        "en": "Resource not found for the segment '{segment}'.",
        "de": "Die Ressource für das Segment '{segment}' wurde nicht gefunden.",
    },
    "no_property": {
        "en": "Could not find a property named '{name}' on type 'Microsoft.NAV.{entity}'.",
        "de": "Eine Eigenschaft namens '{name}' wurde im Typ 'Microsoft.NAV.{entity}' nicht gefunden.",
    },
    "method": {
        "en": "The method {method} is not allowed for '{segment}'.",
        "de": "Die Methode {method} ist für '{segment}' nicht zulässig.",
    },
    "changed": {
        "en": "Another user has already changed the record.",
        "de": "Ein anderer Benutzer hat den Datensatz bereits geändert.",
    },
    "token": {
        "en": "Could not validate the client concurrency token required by the service. "
        "Please provide a valid token in the client request.",
        "de": "Das vom Dienst benötigte Parallelitätstoken des Clients konnte nicht überprüft werden. "
        "Geben Sie in der Anforderung ein gültiges Token an.",
    },
    "credentials": {
        "en": "The server has rejected the client credentials.",
        "de": "Der Server hat die Anmeldeinformationen des Clients abgelehnt.",
    },
    "no_company": {
        "en": "Cannot process the request because the company '{company}' cannot be found.",
        "de": "Die Anforderung kann nicht verarbeitet werden, weil der Mandant '{company}' nicht gefunden wurde.",
    },
    "throttled": {
        "en": "Too many requests. The limit of requests of this user has been reached.",
        "de": "Zu viele Anforderungen. Das Limit der Anforderungen dieses Benutzers ist erreicht.",
    },
    "unavailable": {
        "en": "The tenant is not accessible.",
        "de": "Auf den Mandanten kann nicht zugegriffen werden.",
    },
    "server_error": {
        "en": "An error occurred while processing this request.",
        "de": "Bei der Verarbeitung der Anforderung ist ein Fehler aufgetreten.",
    },
    "bad_body": {"en": "Invalid Request Body", "de": "Ungültiger Anforderungstext"},
    "bad_literal": {
        "en": "Cannot convert the value of property '{name}' to the expected type '{kind}'.",
        "de": "Der Wert der Eigenschaft '{name}' kann nicht in den erwarteten Typ '{kind}' konvertiert werden.",
    },
    "bad_date": {
        "en": "Unable to convert value to Date",
        "de": "Der Wert kann nicht in ein Datum konvertiert werden",
    },
    "bad_guid": {
        "en": "Invalid format of GUID string. The correct format of the GUID string is: "
        "CDEF7890-ABCD-0123-1234-567890ABCDEF where 0-9, A-F symbolizes hexadecimal digits.",
        "de": "Ungültiges Format der GUID-Zeichenfolge. Das richtige Format ist: "
        "CDEF7890-ABCD-0123-1234-567890ABCDEF, wobei 0-9, A-F für Hexadezimalziffern stehen.",
    },
    "read_only": {
        "en": "Control '{name}' is read-only",
        "de": "Das Steuerelement '{name}' ist schreibgeschützt",
    },
    "too_long": {
        "en": "The length of the string is {length}, but it must be less than or equal to {maximum} characters. "
        "Value: {value}",
        "de": "Die Länge der Zeichenfolge beträgt {length}, darf aber höchstens {maximum} Zeichen betragen. "
        "Wert: {value}",
    },
    "not_an_option": {
        "en": "'{value}' is not an option. The existing options are: {options}",
        "de": "'{value}' ist keine Option. Die vorhandenen Optionen sind: {options}",
    },
    "must_be_equal": {
        "en": "{field} must be equal to '{wanted}' in {table}: No.={number}. Current value is '{value}'.",
        "de": "{field} muss '{wanted}' sein in {table}: Nr.={number}. Der aktuelle Wert ist '{value}'.",
    },
    "registration_length": {
        "en": "Registration No. must not have the length more than 20 symbols in {table} No.='{number}'.",
        "de": "Registrierungsnr. darf nicht länger als 20 Zeichen sein in {table} Nr.='{number}'.",
    },
    "given_once": {
        "en": 'The "{name}" is given once and cannot be changed.',
        "de": '"{name}" wird einmal vergeben und kann nicht geändert werden.',
    },
    "contact_not_related": {
        "en": "Contact {contact} {name} is not related to customer {number} {customer}.",
        "de": "Kontakt {contact} {name} ist nicht mit dem Debitor {number} {customer} verknüpft.",
    },
    "privacy_blocked": {
        "en": "You cannot use contact {number} {name} because they are marked as blocked due to privacy.",
        "de": "Sie können den Kontakt {number} {name} nicht verwenden, da er aus Datenschutzgründen gesperrt ist.",
    },
    "related_already": {
        "en": "Contact {number} already has a Contact Business Relation with {kind}.",
        "de": "Kontakt {number} hat bereits eine Kontaktgeschäftsbeziehung mit {kind}.",
    },
    "not_related": {
        "en": "The field {field} of table {table} contains a value ({value}) that cannot be found in the related "
        "table ({related}).",
        "de": "Das Feld {field} der Tabelle {table} enthält einen Wert ({value}), der in der verbundenen Tabelle "
        "({related}) nicht vorhanden ist.",
    },
    "not_provided": {
        "en": 'A "{name}" must be provided.',
        "de": 'Ein Wert für "{name}" muss angegeben werden.',
    },
    "blank_name": {
        "en": 'The blank "displayName" is not allowed.',
        "de": 'Ein leerer Wert für "displayName" ist nicht zulässig.',
    },
    "no_match": {
        "en": 'The "{name}" does not match to a {table}.',
        "de": '"{name}" stimmt mit keinem Datensatz der Tabelle {table} überein.',
    },
    "currency_mismatch": {
        "en": "The currency values do not match to a specific Currency.",
        "de": "Die Währungswerte passen nicht zu einer bestimmten Währung.",
    },
    "no_record": {
        "en": "The {table} does not exist. Identification fields and values: {field}='{value}'",
        "de": "{table} ist nicht vorhanden. Identifikationsfelder und -werte: {field}='{value}'",
    },
    "same_key": {
        "en": "The record in table {table} already exists. Identification fields and values: {field}='{value}'",
        "de": "Der Datensatz in der Tabelle {table} ist bereits vorhanden. Identifikationsfelder und -werte: "
        "{field}='{value}'",
    },
    "manual_numbers": {
        "en": "You may not enter numbers manually. If you want to enter numbers manually, please activate "
        "Manual Nos. in No. Series {series}.",
        "de": "Nummern dürfen nicht manuell eingegeben werden. Um Nummern manuell einzugeben, aktivieren Sie "
        "'Manuelle Nr.' in der Nummernserie {series}.",
    },
    "must_have_value": {
        "en": "{field} must have a value in {table}: {record}. It cannot be zero or empty.",
        "de": "{field} muss einen Wert in {table} enthalten: {record}. Der Wert darf nicht Null oder leer sein.",
    },
    "must_be_person": {
        "en": "Type must be equal to 'Person' in Contact: No.={number}. Current value is 'Company'.",
        "de": "Typ muss in Kontakt: Nr.={number} gleich 'Person' sein. Der aktuelle Wert ist 'Unternehmen'.",
    },
    "phone_letters": {
        "en": "{field} must not contain letters in {table} No.='{number}'.",
        "de": "{field} darf keine Buchstaben enthalten in {table} Nr.='{number}'.",
    },
    "email": {
        "en": 'The email address "{value}" is not valid.',
        "de": 'Die E-Mail-Adresse "{value}" ist ungültig.',
    },
    "vat_format": {
        "en": "The entered VAT Registration number for {table} {number} is not in agreement with the format "
        "specified for Country/Region Code {country}.\\The following formats are acceptable: {formats}",
        "de": "Die eingegebene USt-IdNr. für {table} {number} entspricht nicht dem Format, das für den "
        "Länder-/Regionscode {country} angegeben ist.\\Die folgenden Formate sind zulässig: {formats}",
    },
    "vat_format_new": {
        "en": "The following formats are acceptable: {formats}",
        "de": "Die folgenden Formate sind zulässig: {formats}",
    },
    "salesperson_blocked": {
        "en": "You cannot use the Salesperson/Purchaser {value} because it is blocked.",
        "de": "Sie können den Verkäufer/Einkäufer {value} nicht verwenden, weil er gesperrt ist.",
    },
    "ledger_entries": {
        "en": "You cannot delete Customer {number} because it has ledger entries in a fiscal year that has not been "
        "closed yet.",
        "de": "Debitor {number} kann nicht gelöscht werden, weil Posten in einem noch nicht abgeschlossenen "
        "Geschäftsjahr vorhanden sind.",
    },
    "parent_needed": {
        "en": "You must specify a parent ID to get {segment}.",
        "de": "Sie müssen eine übergeordnete ID angeben, um {segment} abzurufen.",
    },
    "or_on_distinct_fields": {
        "en": "The 'OR' operator is not supported on distinct fields on an OData filter.",
        "de": "Der Operator 'OR' wird für verschiedene Felder in einem OData-Filter nicht unterstützt.",
    },
    "in_operator": {
        "en": "The 'In' operator is not supported on an OData filter of this schema version.",
        "de": "Der Operator 'In' wird in einem OData-Filter dieser Schemaversion nicht unterstützt.",
    },
    "types": {
        "en": "A binary operator with incompatible types was detected. Found operand types "
        "'Microsoft.NAV.{entity}{name}' and 'Edm.String' for operator kind 'Equal'.",
        "de": "Ein binärer Operator mit nicht kompatiblen Typen wurde gefunden: "
        "'Microsoft.NAV.{entity}{name}' und 'Edm.String'.",
    },
    "query": {"en": "{reason}", "de": "{reason}"},
    "skiptoken": {
        "en": "The skip token is no longer valid.",
        "de": "Das Skip-Token ist nicht mehr gültig.",
    },
    "replica_write": {
        "en": "The request is read-only and cannot change data.",
        "de": "Die Anforderung ist schreibgeschützt und kann keine Daten ändern.",
    },
    "too_many_parts": {
        "en": "The current batch message contains too many parts. A maximum number of '100' query operations and "
        "change sets are allowed in a batch message.",
        "de": "Die aktuelle Batchnachricht enthält zu viele Teile. In einer Batchnachricht sind höchstens '100' "
        "Abfragevorgänge und Änderungssätze zulässig.",
    },
    "dependency": {
        "en": "The request depends on the request '{part}', which has failed.",
        "de": "Die Anforderung hängt von der Anforderung '{part}' ab, die fehlgeschlagen ist.",
    },
    "media": {
        "en": "The content type of the request is not supported.",
        "de": "Der Inhaltstyp der Anforderung wird nicht unterstützt.",
    },
    "no_webhooks": {
        "en": "The resource '{resource}' does not support webhooks.",
        "de": "Die Ressource '{resource}' unterstützt keine Webhooks.",
    },
    "bad_url": {
        "en": "The notificationUrl must be an absolute https address.",
        "de": "notificationUrl muss eine absolute https-Adresse sein.",
    },
    "handshake": {
        "en": "The notification address did not confirm the subscription: it must answer 200 with the validation "
        "token as plain text within 5 seconds.",
        "de": "Die Benachrichtigungsadresse hat das Abonnement nicht bestätigt: Sie muss innerhalb von 5 Sekunden "
        "mit 200 und dem Validierungstoken als Text antworten.",
    },
    "too_many_subscriptions": {
        "en": "The maximum number of {maximum} subscriptions has been reached.",
        "de": "Die maximale Anzahl von {maximum} Abonnements ist erreicht.",
    },
}


def language_of(accept_language: str | None, default: str = "en") -> str:
    """Return the language the texts are given in: the first language of the header that there are texts for."""
    for part in (accept_language or default).split(","):
        primary = part.split(";")[0].strip().lower().split("-")[0]
        if primary in ("en", "de"):
            return primary
    return "en"
