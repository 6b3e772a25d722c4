"""Pages for people who opened the Cockpit and cannot go on: what is wrong and what to do, in their language.

They hold no word of an opportunity and nothing of another host: no script, no picture, no style from elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Final

from shared.errors import CrossdockError

LANGUAGES: Final = ("en", "de", "it", "fr")
BY_LCID: Final = {9: "en", 7: "de", 16: "it", 12: "fr"}
"""The primary language in the low ten bits of the number that Dynamics calls a language by (Microsoft, 'Windows
Language Code Identifier Reference')."""


@dataclass(frozen=True, slots=True)
class Text:
    """A heading, what happened, and what the reader can do."""

    heading: str
    happened: str
    do: str


_TITLE: Final = "Sales Cockpit"
_OPEN_IN_TAB: Final = {
    "en": "Sign in in a new tab, then reload this one.",
    "de": "In einem neuen Tab anmelden, danach diesen neu laden.",
    "it": "Accedere in una nuova scheda, poi ricaricare questa.",
    "fr": "Se connecter dans un nouvel onglet, puis recharger celui-ci.",
}
_CODE: Final = {"en": "Code for support", "de": "Kennung für den Support", "it": "Codice per l'assistenza",
                "fr": "Code pour le support"}  # fmt: skip

TEXTS: Final[dict[str, dict[str, Text]]] = {
    "CD-5001": {
        "en": Text("This address is incomplete", "It names no opportunity.", "Use the button on the opportunity."),
        "de": Text(
            "Diese Adresse ist unvollständig",
            "Sie nennt keine Verkaufschance.",
            "Öffnen Sie das Cockpit mit der Schaltfläche auf der Verkaufschance.",
        ),
        "it": Text(
            "Questo indirizzo è incompleto",
            "Non indica alcuna opportunità.",
            "Aprire il Cockpit con il pulsante sull'opportunità.",
        ),
        "fr": Text(
            "Cette adresse est incomplète",
            "Elle ne désigne aucune opportunité.",
            "Ouvrez le Cockpit avec le bouton de l'opportunité.",
        ),
    },
    "CD-5002": {
        "en": Text("Please sign in", "You are not signed in.", "Sign in with your Microsoft 365 account."),
        "de": Text("Bitte anmelden", "Sie sind nicht angemeldet.", "Melden Sie sich mit Ihrem Microsoft-365-Konto an."),
        "it": Text("Accedere", "Non è stato effettuato l'accesso.", "Accedere con l'account Microsoft 365."),
        "fr": Text(
            "Veuillez vous connecter", "Vous n'êtes pas connecté.", "Connectez-vous avec votre compte Microsoft 365."
        ),
    },
    "CD-7001": {
        "en": Text(
            "Opportunity not found",
            "It does not exist, or you have no access to it.",
            "Open it in Dynamics first. If it is missing there, too, ask your administrator.",
        ),
        "de": Text(
            "Verkaufschance nicht gefunden",
            "Es gibt sie nicht, oder Sie haben keinen Zugriff darauf.",
            "Öffnen Sie sie zuerst in Dynamics. Fehlt sie auch dort, wenden Sie sich an Ihren Administrator.",
        ),
        "it": Text(
            "Opportunità non trovata",
            "Non esiste, oppure non vi si ha accesso.",
            "Aprirla prima in Dynamics. Se manca anche lì, rivolgersi all'amministratore.",
        ),
        "fr": Text(
            "Opportunité introuvable",
            "Elle n'existe pas, ou vous n'y avez pas accès.",
            "Ouvrez-la d'abord dans Dynamics. Si elle y manque aussi, adressez-vous à votre administrateur.",
        ),
    },
    "CD-7002": {
        "en": Text(
            "Not available inside Dynamics",
            "Showing the Cockpit in this tab is not switched on.",
            "Open it with the button in the command bar.",
        ),
        "de": Text(
            "In Dynamics nicht verfügbar",
            "Die Anzeige in diesem Reiter ist nicht eingeschaltet.",
            "Öffnen Sie das Cockpit mit der Schaltfläche in der Befehlsleiste.",
        ),
        "it": Text(
            "Non disponibile in Dynamics",
            "La visualizzazione in questa scheda non è attivata.",
            "Aprire il Cockpit con il pulsante nella barra dei comandi.",
        ),
        "fr": Text(
            "Non disponible dans Dynamics",
            "L'affichage dans cet onglet n'est pas activé.",
            "Ouvrez le Cockpit avec le bouton de la barre de commandes.",
        ),
    },
    "CD-7003": {
        "en": Text(
            "The opportunity is closed",
            "It has no project, and closed opportunities get none.",
            "Reopen it in Dynamics if it goes on.",
        ),
        "de": Text(
            "Die Verkaufschance ist abgeschlossen",
            "Sie hat kein Projekt, und abgeschlossene erhalten keines.",
            "Öffnen Sie sie in Dynamics wieder, wenn sie weitergeht.",
        ),
        "it": Text(
            "L'opportunità è chiusa",
            "Non ha un progetto, e quelle chiuse non ne ricevono.",
            "Riaprirla in Dynamics se prosegue.",
        ),
        "fr": Text(
            "L'opportunité est fermée",
            "Elle n'a pas de projet, et les opportunités fermées n'en reçoivent pas.",
            "Rouvrez-la dans Dynamics si elle continue.",
        ),
    },
    "CD-7005": {
        "en": Text(
            "Unknown solution",
            "The Cockpit has no solution of the id in this address.",
            "Ask your administrator to correct the button.",
        ),
        "de": Text(
            "Unbekannte Solution",
            "Das Cockpit kennt die Solution in dieser Adresse nicht.",
            "Bitten Sie Ihren Administrator, die Schaltfläche zu berichtigen.",
        ),
        "it": Text(
            "Soluzione sconosciuta",
            "Il Cockpit non conosce la soluzione indicata in questo indirizzo.",
            "Chiedere all'amministratore di correggere il pulsante.",
        ),
        "fr": Text(
            "Solution inconnue",
            "Le Cockpit ne connaît pas la solution de cette adresse.",
            "Demandez à votre administrateur de corriger le bouton.",
        ),
    },
    "CD-7006": {
        "en": Text("The Cockpit does not answer", "Nothing was lost.", "Try again in a few minutes."),
        "de": Text(
            "Das Cockpit antwortet nicht",
            "Es ging nichts verloren.",
            "Versuchen Sie es in einigen Minuten noch einmal.",
        ),
        "it": Text("Il Cockpit non risponde", "Nulla è andato perduto.", "Riprovare tra qualche minuto."),
        "fr": Text("Le Cockpit ne répond pas", "Rien n'est perdu.", "Réessayez dans quelques minutes."),
    },
    "CD-7007": {
        "en": Text("Dynamics does not answer", "Nothing was lost.", "Try again in a few minutes."),
        "de": Text(
            "Dynamics antwortet nicht", "Es ging nichts verloren.", "Versuchen Sie es in einigen Minuten noch einmal."
        ),
        "it": Text("Dynamics non risponde", "Nulla è andato perduto.", "Riprovare tra qualche minuto."),
        "fr": Text("Dynamics ne répond pas", "Rien n'est perdu.", "Réessayez dans quelques minutes."),
    },
    "CD-7008": {
        "en": Text("Please sign in again", "Your sign-in has ended or is not enough for Dynamics.", "Sign in again."),
        "de": Text(
            "Bitte neu anmelden",
            "Ihre Anmeldung ist abgelaufen oder genügt Dynamics nicht.",
            "Melden Sie sich neu an.",
        ),
        "it": Text(
            "Accedere di nuovo",
            "L'accesso è scaduto o non è sufficiente per Dynamics.",
            "Accedere di nuovo.",
        ),
        "fr": Text(
            "Veuillez vous reconnecter",
            "Votre connexion a expiré ou ne suffit pas à Dynamics.",
            "Connectez-vous de nouveau.",
        ),
    },
}
"""What people can do something about, by code. Everything else is the administrator's."""

_ELSE: Final = {
    "en": Text("The Cockpit cannot be opened", "Something is not set up rightly.", "Give your administrator the code."),
    "de": Text(
        "Das Cockpit lässt sich nicht öffnen",
        "Etwas ist nicht richtig eingerichtet.",
        "Geben Sie Ihrem Administrator die Kennung.",
    ),
    "it": Text(
        "Impossibile aprire il Cockpit",
        "Qualcosa non è configurato correttamente.",
        "Comunicare il codice all'amministratore.",
    ),
    "fr": Text(
        "Le Cockpit ne peut pas être ouvert",
        "Quelque chose n'est pas bien configuré.",
        "Donnez le code à votre administrateur.",
    ),
}

_PAGE: Final = Template("""<!doctype html>
<html lang="$language">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title: $heading</title>
<style>
body { margin: 0; background: #f3f2f1; color: #201f1e; font: 16px/1.5 "Segoe UI", system-ui, sans-serif; }
main { max-width: 32rem; margin: 12vh auto 0; padding: 2rem; background: #fff; border-top: 4px solid #0f6cbd;
       box-shadow: 0 1px 4px rgb(0 0 0 / 20%); }
h1 { font-size: 1.4rem; font-weight: 600; margin: 0 0 1rem; }
a { color: #0f6cbd; }
small { color: #605e5c; }
</style>
</head>
<body>
<main role="alert">
<h1>$heading</h1>
<p>$happened</p>
<p>$do</p>
$more<p><small>$code_name: $code</small></p>
</main>
</body>
</html>
""")


def language_of(accepted: str, lcid: str = "") -> str:
    """The first of our languages that the reader takes; English where there is none.

    accepted: the header Accept-Language (RFC 9110, 12.5.4), whose order browsers keep. lcid: Dynamics' number of his
    language there, which goes first.
    """
    if lcid.isascii() and lcid.isdigit() and len(lcid) < 7 and (known := BY_LCID.get(int(lcid) & 0x3FF)):
        return known
    wanted = (part.partition(";")[0].strip().lower()[:2] for part in accepted[:500].split(","))
    return next((one for one in wanted if one in LANGUAGES), "en")


def page(error: CrossdockError, language: str, sign_in: str = "") -> str:
    """The page for an error. sign_in: an address of ours where the reader can sign in, opened in a tab of its own."""
    text = TEXTS.get(error.code, _ELSE)[language]
    link = f'<p><a href="{escape(sign_in)}" target="_blank">{_OPEN_IN_TAB[language]}</a></p>\n' if sign_in else ""
    return _PAGE.substitute(
        language=language,
        title=_TITLE,
        heading=escape(text.heading),
        happened=escape(text.happened),
        do=escape(text.do),
        more=link,
        code_name=escape(_CODE[language]),
        code=escape(error.code) if re.fullmatch(r"CD-\d{4}", error.code) else "",
    )
