"""A browser to look at pages with: what they ask for, and what the console says."""

from __future__ import annotations

import http.server
import json
import re

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]

# Noise of the toolchain that does no harm; anything else in the console fails.
KNOWN = {
    r"'THEBE_JS_URL' has already been declared": "sphinx-thebe is loaded twice by Jupyter Book 1",
    r"Got invalid theme mode: \. Resetting": "the theme, at a reader's first visit",
    r"embed\.js.*reading 'Queue'": "the widget manager looks for MathJax 2; labels have no maths",
    r"embed\.js.*strict mode: use allowUnionTypes": "the widget manager's own schema",
}

SETTLE = """
const done = arguments[0];
const ready = window.MathJax?.startup?.promise ?? Promise.resolve();
ready.then(() => document.fonts.ready).then(() => setTimeout(done, 200));
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


def visit(browser, url: str, width: int = 1280) -> set[str]:
    """Open a page, wait until it is drawn, and return what it asked for."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for log in ("performance", "browser"):
        browser.get_log(log)  # what an earlier page left
    browser.get(url)
    browser.execute_async_script(SETTLE)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
    asked = {e["request"]["url"] for e in sent}
    return {
        u for u in asked if not u.startswith(("data:", "blob:", "chrome:", "chrome-untrusted:"))
    }


def complaints(browser) -> list[str]:
    """What the console says beyond the known."""
    said = [e["message"] for e in browser.get_log("browser") if e["level"] != "INFO"]
    return [text for text in said if not any(re.search(known, text) for known in KNOWN)]
