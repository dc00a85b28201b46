"""The report in a real browser, where there is one: the map shows pictures, and nothing is asked for."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from beedex.training.report import ReportContent
from beedex.training.report.page import render_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BROWSER_TIMEOUT_S = 60

# Does what a reader does, and leaves what it saw in the page's title.
DRIVER = """
const seen = [], broken = [];
addEventListener("securitypolicyviolation", (event) => broken.push(event.violatedDirective));
addEventListener("error", (event) => broken.push(event.message));
const plane = document.getElementById("plane"), tip = document.getElementById("tip");
const look = () => seen.push(tip.hidden ? "hidden" : tip.querySelector("use").getAttribute("href"));
look();
const mark = plane.querySelector("use[data-photo='4']");
const place = mark.getBoundingClientRect();
const at = { clientX: place.x + place.width / 2, clientY: place.y + place.height / 2, bubbles: true };
plane.dispatchEvent(new PointerEvent("pointermove", at));
look();
plane.dispatchEvent(new PointerEvent("pointerleave"));
look();
plane.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
seen.push(document.getElementById("said").textContent.split("\\n")[0]);
document.getElementById("by-frozen").click();
seen.push(getComputedStyle(mark).getPropertyValue("--f").length > 0);
seen.push(document.documentElement.scrollWidth <= innerWidth);
addEventListener("load", () => {
  seen.push("requests " + performance.getEntriesByType("resource").filter((e) => !e.name.startsWith("data:")).length);
  document.title = JSON.stringify({ seen, broken });
});
"""


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [320, 1280])
def test_the_map_shows_pictures_and_the_page_keeps_to_itself(
    content: ReportContent, tmp_path: Path, width: int
) -> None:
    assert BROWSER is not None
    digest = base64.b64encode(hashlib.sha256(DRIVER.encode()).digest()).decode()
    html = render_report(content)
    html = html.replace("script-src ", f"script-src 'sha256-{digest}' ").replace(
        "</body>", f"<script>{DRIVER}</script></body>"
    )
    page = tmp_path / "report.html"
    page.write_text(html, encoding="utf-8")
    words = [BROWSER, "--headless=new", "--disable-gpu", f"--window-size={width},900", "--enable-logging=stderr"]
    words += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom", page.as_uri()]
    if os.geteuid() == 0:
        words.insert(1, "--no-sandbox")

    done = subprocess.run(words, capture_output=True, text=True, timeout=BROWSER_TIMEOUT_S, check=True)

    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found is not None
    said = "amber|blue|clover"
    assert re.fullmatch(
        rf'{{"seen":\["hidden","#p4","hidden","({said})",true,true,"requests 0"\],"broken":\[\]}}', found[1]
    ), found[1]
    assert "CONSOLE" not in done.stderr
