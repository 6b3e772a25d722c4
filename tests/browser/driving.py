"""Drives a real Chromium as people do: pages, clicks, several people with sessions of their own.

Speaks the browser's own protocol (Chrome DevTools Protocol, https://chromedevtools.github.io/devtools-protocol/) over
one socket.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import tempfile
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.browser.chromium import ensure_chromium

_SECONDS: Final = 30.0
_OPTIONS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-port=0",
    "--window-size=1000,800",
)


class BrowserFailed(AssertionError):
    """The browser did not do what it was told, or a page never showed what was waited for."""


@dataclass
class Page:
    """One tab."""

    browser: Browser
    target: str
    session: str

    async def go(self, url: str) -> None:
        """Open an address, and wait for what comes of it."""
        answer = await self._send("Page.navigate", url=url)
        if answer.get("errorText"):
            raise BrowserFailed(answer["errorText"])
        await self.until("document.readyState === 'complete'")

    async def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = await self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserFailed(f"{script}: {answer['exceptionDetails'].get('text')}")
        return answer["result"].get("value")

    async def until(self, script: str) -> Any:
        """Wait until an expression is true; answers its value. A page that is being left counts as not yet."""
        try:
            async with asyncio.timeout(_SECONDS):
                while True:
                    with suppress(BrowserFailed):
                        if found := await self.evaluate(script):
                            return found
                    await asyncio.sleep(0.05)
        except TimeoutError:
            shown = await self.evaluate("location.href + ' says: ' + document.body.innerText")
            raise BrowserFailed(f"never true: {script}; {shown}") from None

    async def text(self) -> str:
        """What the page says."""
        return str(await self.until("document.body && document.body.innerText"))

    async def shows(self, text: str) -> None:
        """Wait until the page says this."""
        await self.until(f"document.body && document.body.innerText.includes({json.dumps(text)})")

    async def click(self, selector: str) -> None:
        """Click the first element that a selector names, with the mouse, so that the browser counts it as a person's
        doing."""
        place = await self.until(
            f"(e => e && (e.scrollIntoView(), (r => [r.x + r.width / 2, r.y + r.height / 2])"
            f"(e.getBoundingClientRect())))(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self._send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    async def url(self) -> str:
        """Where the tab is."""
        return str(await self.evaluate("location.href"))

    async def screenshot(self, path: Path) -> None:
        """A picture of the tab."""
        answer = await self._send("Page.captureScreenshot")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(answer["data"]))

    async def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self.browser.send(method, self.session, **parameters)


@dataclass
class Person:
    """Somebody at the browser, with cookies of his own."""

    browser: Browser
    context: str

    async def page(self, url: str = "about:blank") -> Page:
        """A new tab."""
        made = await self.browser.send("Target.createTarget", url="about:blank", browserContextId=self.context)
        page = await self.browser.attached(made["targetId"])
        if url != "about:blank":
            await page.go(url)
        return page

    async def opened(self, beside: Page) -> Page:
        """The tab that another one has opened."""
        async with asyncio.timeout(_SECONDS):
            while True:
                told = await self.browser.send("Target.getTargets")
                for one in told["targetInfos"]:
                    mine = one.get("browserContextId") == self.context and one["type"] == "page"
                    if mine and one["targetId"] != beside.target and one["targetId"] not in self.browser.known:
                        return await self.browser.attached(one["targetId"])
                await asyncio.sleep(0.05)


@dataclass
class Browser:
    """A running browser."""

    socket: aiohttp.ClientWebSocketResponse
    known: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)

    async def person(self) -> Person:
        """Somebody new, signed in nowhere."""
        made = await self.send("Target.createBrowserContext")
        return Person(self, made["browserContextId"])

    async def attached(self, target: str) -> Page:
        """A tab that can be driven."""
        self.known.add(target)
        made = await self.send("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self, target, made["sessionId"])
        await self.send("Page.enable", page.session)
        return page

    async def send(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """One command and its answer."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        told = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        await self.socket.send_json(told)
        async with asyncio.timeout(_SECONDS):
            return await answer

    async def listen(self) -> None:
        """Hand answers to who waits for them, until the socket closes."""
        async for message in self.socket:
            told = json.loads(message.data)
            waiting = self._waiting.pop(told.get("id", 0), None)
            if waiting is None or waiting.done():
                continue
            if "error" in told:
                waiting.set_exception(BrowserFailed(told["error"]["message"]))
            else:
                waiting.set_result(told["result"])


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A browser, ended when the context ends."""
    program = ensure_chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = await create_subprocess_exec(
            program, *_OPTIONS, f"--user-data-dir={folder}", stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        )
        try:
            address = await _address(Path(folder) / "DevToolsActivePort", process)
            async with aiohttp.ClientSession() as http, http.ws_connect(address, max_msg_size=0) as socket:
                browser = Browser(socket)
                listening = asyncio.create_task(browser.listen())
                yield browser
                listening.cancel()
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _address(file: Path, process: Process) -> str:
    """Where the browser listens, as it writes it down when it is up."""
    async with asyncio.timeout(_SECONDS):
        while process.returncode is None:
            if lines := await asyncio.to_thread(_lines_of, file):
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            await asyncio.sleep(0.05)
    raise BrowserFailed("the browser did not start")


def _lines_of(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []
