"""How long the page takes in a browser: until it is seen, until a photo has its family, and for a frame of the map.

    python tests/benchmarks/page.py INDEX GALLERY PHOTOS [--rounds 15] [--entries 10000] [--slowdown 4]

A server of its own on INDEX, which is only read, and its GALLERY. The photos that are identified are those of PHOTOS,
another one each round, so that no embedding is remembered. *seen* is the browser's first contentful
paint of an empty cache, *whole* until the examples' pictures are there, *identified* from the choice of a file to the
verdict on the screen, beside what the request itself took; *frame* is the time between two frames while the map of
--entries random entries is dragged and zoomed, and *drawing* the page's own part of it. --slowdown is by how much the
browser's processor is slowed, as the page's tests of phones do it: 1 for this machine's own speed. Every figure is of n
rounds, as median and as the time within which nine of ten came.
"""

import argparse
import base64
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

SAYING = "beedex: the web page is "
PHONE = {"width": 390, "height": 844}

PAINT = """() => new Promise((done) => new PerformanceObserver((list) => {
  const seen = list.getEntriesByName("first-contentful-paint")[0];
  if (seen) done(seen.startTime);
}).observe({ type: "paint", buffered: true }))"""

WHOLE = """() => Math.max(...performance.getEntriesByType("resource").map((one) => one.responseEnd))"""

# The page's own clock, from the change of the input to the frame after the verdict.
WATCH = """() => {
  window.identified = new Promise((done) => {
    const input = document.querySelector("input[type=file]");
    input.addEventListener("change", () => { window.began = performance.now(); }, { once: true, capture: true });
    new MutationObserver((_, observer) => {
      if (!document.querySelector(".verdict h1")) return;
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - window.began)));
    }).observe(document.getElementById("main"), { childList: true, subtree: true });
  });
}"""

REQUEST = """() => performance.getEntriesByType("resource").find((one) => one.name.includes("/v1/identify")).duration"""

FRAMES = """async (count) => {
  const canvas = document.querySelector(".surface canvas");
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const send = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
    pointerId: 1, pointerType: "mouse", button: 0, bubbles: true, clientX: left + x, clientY: top + y }));
  canvas.setPointerCapture = () => {};
  const frame = () => new Promise(requestAnimationFrame);
  const between = [], drawing = [];
  send("pointerdown", width / 2, height / 2);
  let before = await frame();
  for (let turn = 0; turn < count; turn += 1) {
    send("pointermove", width / 2 + 80 * Math.sin(turn / 9), height / 2 + 60 * Math.cos(turn / 7));
    canvas.dispatchEvent(new WheelEvent("wheel", {
      deltaY: turn % 40 < 20 ? -12 : 12, clientX: left + width / 2, clientY: top + height / 2, cancelable: true }));
    const asked = performance.now();
    const now = await frame();
    drawing.push(performance.now() - Math.max(now, asked));
    between.push(now - before);
    before = now;
  }
  return { between, drawing };
}"""


@contextmanager
def serve(index: Path, gallery: Path, log: Path) -> Iterator[str]:
    """Yield the address of a server's page."""
    command = [sys.executable, "-m", "beedex.server", "--index", index, "--gallery", gallery]
    command += ["--listen", "127.0.0.1:0", "--web", "127.0.0.1:0"]
    with log.open("w") as file:
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        assert process.stdout is not None
        yield next(line for line in process.stdout if line.startswith(SAYING)).removeprefix(SAYING).strip()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def open_page(browser: Browser, slowdown: float) -> Page:
    """Open a phone's page with an empty cache."""
    page = browser.new_context(viewport=PHONE, device_scale_factor=2).new_page()  # type: ignore[arg-type]
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
    return page


def time_visit(browser: Browser, url: str, photo: Path, slowdown: float) -> dict[str, float]:
    """Return the milliseconds of one visit."""
    page = open_page(browser, slowdown)
    page.goto(url)
    expect(page.locator(".strip img").first).not_to_have_js_property("naturalWidth", 0)
    page.wait_for_load_state("networkidle")
    times = {"seen": page.evaluate(PAINT), "whole": page.evaluate(WHOLE)}
    page.evaluate(WATCH)
    page.locator("input[type=file]").first.set_input_files(photo)
    times["identified"] = page.evaluate("() => window.identified")
    times["its request"] = page.evaluate(REQUEST)
    page.context.close()
    return times


def time_frames(browser: Browser, url: str, entries: int, rounds: int, slowdown: float) -> dict[str, list[float]]:
    """Return the milliseconds between the map's frames, and those in which it is drawn."""
    page = open_page(browser, slowdown)
    cloud = make_cloud(entries)

    def answer(route: Route) -> None:
        route.fulfill(json=cloud)

    page.route("**/v1/map", answer)
    page.goto(f"{url}#/map")
    expect(page.locator(".surface canvas")).to_be_visible()
    times: dict[str, list[float]] = page.evaluate(FRAMES, rounds * 20)
    page.context.close()
    return {"frame": times["between"], "drawing": times["drawing"]}


def make_cloud(entries: int) -> dict[str, object]:
    """Return a map of 12 families that overlap, as /v1/map tells it."""
    generator = np.random.default_rng(0)
    family = generator.integers(0, 12, entries)
    middles = generator.uniform(-0.7, 0.7, (12, 2))
    places = np.clip(middles[family] + generator.normal(0, 0.15, (entries, 2)), -1, 1).astype("<f4")
    arrays = {"family_index": family.astype("<u4"), "x": places[:, 0], "y": places[:, 1]}
    told = {name: base64.b64encode(array.tobytes()).decode() for name, array in arrays.items()}
    ids = base64.b64encode(np.arange(entries, dtype=">u8").tobytes()).decode()
    return {"families": [f"family{place:02}" for place in range(12)], "ids": ids, "snapshot": 1, **told}


def tell(name: str, times: list[float]) -> None:
    """Print a figure."""
    median, most = np.percentile(times, (50, 90))
    print(f"{name:>12}: n {len(times):4}  median {median:7.1f} ms  p90 {most:7.1f} ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("gallery", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--slowdown", type=float, default=1.0)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    options = parser.parse_args()
    photos = sorted(options.photos.rglob("*.jpg"))
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=options.chromium, args=flags)
        with serve(options.index, options.gallery, Path(scratch) / "log") as url:
            visits = [
                time_visit(browser, url, photos[place * 7 % len(photos)], options.slowdown)
                for place in range(options.rounds)
            ]
            for name in visits[0]:
                tell(name, [visit[name] for visit in visits])
            for name, times in time_frames(browser, url, options.entries, options.rounds, options.slowdown).items():
                tell(name, times)
        browser.close()


if __name__ == "__main__":
    main()
