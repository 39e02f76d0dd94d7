"""Control headless Chromium over its debugging pipe, without a driver or further packages."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --disable-extensions "
    "--remote-debugging-pipe"
)


def chromium() -> str | None:
    """Return the path of the installed browser, or ``None``."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


class PageLeft(AssertionError):
    """A link or a form led to another page before the answer came."""


class Browser:
    """A browser with one page, which records requests and messages of the console."""

    def __init__(self, profile: Path) -> None:
        program = chromium()
        assert program is not None
        browser_in, self._out = os.pipe()
        self._in, browser_out = os.pipe()
        line = f'exec "{program}" {_FLAGS} --user-data-dir="{profile}" 3<&{browser_in} 4>&{browser_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", line],
            pass_fds=(browser_in, browser_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(browser_in)
        os.close(browser_out)
        self._rest, self._number, self._session = b"", 0, None
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._loaded = False
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, page: Path | str, *, width: int = 1200, height: int = 900, phone: bool = False) -> None:
        """Open a file or an address and wait until it is loaded."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self._loaded = False
        self._call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        self._until(lambda: self._loaded)

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float = 120) -> Any:
        """Wait until an expression is true and return its value."""
        end, value = time.monotonic() + seconds, None
        while not value:
            assert time.monotonic() < end, f"still false after {seconds} s: {script}\n{self.messages[-3:]}"
            with contextlib.suppress(PageLeft):
                value = self.evaluate(script)
            if not value:
                time.sleep(0.05)
        return value

    def press(self, key: str, code: int, modifiers: int = 0) -> None:
        """Press and release a key; modifiers are 1 for Alt, 2 for Ctrl, 8 for Shift, and their sums."""
        for kind in ("rawKeyDown", "char", "keyUp"):
            text: dict[str, Any] = {"text": "\r"} if key == "Enter" and kind == "char" else {}
            text |= {"modifiers": modifiers} if modifiers else {}
            if kind != "char" or "text" in text:
                self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def type(self, text: str) -> None:
        """Type text into the focused element."""
        self._call("Input.insertText", text=text)

    def screenshot(self, path: Path, height: int | None = None) -> None:
        """Save the page, or its first ``height`` pixels, as PNG."""
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        picture = self._call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(picture))

    def close(self) -> None:
        os.close(self._out)  # this ends the browser
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answers: list[dict[str, Any]] = []

        def answered() -> bool:
            answers.extend(one for one in self._new() if one.get("id") == self._number)
            return bool(answers)

        self._until(answered)
        error = answers[0].get("error")
        if error and any(words in error["message"] for words in ("navigated or closed", "context was destroyed")):
            raise PageLeft(f"{method}: {error}")
        assert not error, f"{method}: {error}"
        return answers[0]["result"]

    def _until(self, done: Callable[[], bool], seconds: float = 240) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert self._process.poll() is None, "the browser has exited"
            assert time.monotonic() < end, "the browser does not respond"
            if done.__name__ == "<lambda>":
                self._new()

    def _new(self) -> list[dict[str, Any]]:
        """Read new messages and record events."""
        if select.select([self._in], [], [], 0.2)[0]:
            self._rest += os.read(self._in, 1 << 20)
        *whole, self._rest = self._rest.split(b"\0")
        new = [json.loads(one) for one in whole]
        for one in new:
            method, parameters = one.get("method"), one.get("params", {})
            if method == "Page.loadEventFired":
                self._loaded = True
            elif method == "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            elif method == "Runtime.exceptionThrown":
                self.messages.append(str(parameters["exceptionDetails"]))
            elif method in ("Log.entryAdded", "Runtime.consoleAPICalled"):
                self.messages.append(json.dumps(parameters))
        return new
