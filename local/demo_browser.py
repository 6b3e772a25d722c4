"""A browser of the demo's own: it follows redirects, keeps cookies, fills forms in and presses buttons. It runs no
script; a page that would submit its form by itself is submitted by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin

import httpx

SUBMITS_ITSELF: Final = "document.forms[0].submit()"
MOST_STEPS: Final = 10
_VOID: Final = frozenset({"meta", "link", "input", "br", "hr", "img"})


@dataclass
class Form:
    """A form: where it goes, its hidden and chosen fields, and its buttons by their text with name and value."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass
class Page:
    """What a page shows. texts: by the ids of elements; told: by the names of fields."""

    url: str
    status: int
    html: str
    forms: list[Form] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    def form(self, ending: str) -> Form:
        """The form whose address ends like this; raises LookupError."""
        found = next((one for one in self.forms if one.action.partition("?")[0].endswith(ending)), None)
        if found is None:
            raise LookupError(f"no form of {self.url.partition('?')[0]} goes to {ending}")
        return found


class Browser:
    """One person's browser."""

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(follow_redirects=True, timeout=30.0)

    async def aclose(self) -> None:
        """Close it, with its cookies."""
        await self._http.aclose()

    async def open(self, url: str) -> Page:
        """Go to an address, and on to where it leads."""
        return await self._shown(await self._http.get(url))

    async def press(self, form: Form, button: str = "", values: Mapping[str, str] | None = None) -> Page:
        """Fill a form in and send it, by the button whose text begins like this if there are several."""
        pressed = next((pair for text, pair in form.buttons.items() if button and text.startswith(button)), None)
        if button and pressed is None:
            raise LookupError(f"there is no button {button}")
        filled = form.fields | dict(values or {}) | ({pressed[0]: pressed[1]} if pressed and pressed[0] else {})
        if form.method == "get":
            return await self._shown(await self._http.get(form.action, params=filled))
        return await self._shown(await self._http.post(form.action, data=filled))

    async def _shown(self, answer: httpx.Response) -> Page:
        for _ in range(MOST_STEPS):
            page = read(answer)
            if SUBMITS_ITSELF not in page.html:
                return page
            form = page.forms[0]
            answer = await self._http.post(form.action, data=form.fields)
        raise LookupError("the pages lead in a circle")


def read(answer: httpx.Response) -> Page:
    """A page as it came."""
    page = Page(str(answer.url), answer.status_code, answer.text)
    reader = _Reader(page)
    reader.feed(answer.text)
    reader.close()
    return page


class _Reader(HTMLParser):
    """Collects forms, and the texts of elements that have a name."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page
        self._open: list[tuple[str, dict[str, str]]] = []
        self._button: tuple[str, str] | None = None
        self._button_text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in _VOID:
            self._open.append((tag, given))
        if tag == "form":
            action = urljoin(self._page.url, given.get("action") or self._page.url)
            self._page.forms.append(Form(action, given.get("method", "get").lower()))
        elif tag == "input" and self._page.forms and "name" in given:
            if given.get("type") not in ("radio", "checkbox") or "checked" in given:
                self._page.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "option" and self._page.forms:
            name = next((one.get("name", "") for tag_, one in reversed(self._open) if tag_ == "select"), "")
            self._page.forms[-1].fields.setdefault(name, given.get("value", ""))
        elif tag == "button":
            self._button, self._button_text = (given.get("name", ""), given.get("value", "")), ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "button" and self._button is not None:
            if self._page.forms:
                self._page.forms[-1].buttons[" ".join(self._button_text.split())] = self._button
            self._button = None
        while self._open and tag in {name for name, _ in self._open}:
            if self._open.pop()[0] == tag:
                break

    def handle_data(self, data: str) -> None:
        if self._button is not None:
            self._button_text += data
        for _, given in self._open:
            for name, texts in (("id", self._page.texts), ("data-field", self._page.told)):
                if name in given:
                    texts[given[name]] = f"{texts.get(given[name], '')} {data}".strip()
