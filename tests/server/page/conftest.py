"""A real browser in front of a real server; every test also fails on errors in the console and requests elsewhere."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

TOOLS_DIR = Path(__file__).parents[3] / "build/page/node_modules"

SAYING = "beedex: the web page is "

# Nothing but what is tested goes out; a test's user may be root, whom Chromium gives no sandbox.
CHROMIUM_FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")

# What browsers log of every refusal, wanted or not.
REFUSAL = "Failed to load resource"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; for one file, as Playwright holds the thread's event loop while it runs."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine; `make browser` installs one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def web_process(server_process):
    """`with web_process(index, ready_file, *options, web=...) as (process, url)`."""

    @contextmanager
    def run(index, ready_file, *options, web="127.0.0.1:0"):
        words = ("--threads", "1", "--web", web, *options)
        with server_process(index, ready_file, *words) as (process, _):
            line = next(line for line in process.stdout if line.startswith(SAYING))
            yield process, line.removeprefix(SAYING).strip().rstrip("/")

    return run


@pytest.fixture(scope="session")
def page_url(tiny_index, tiny_gallery, web_process, tmp_path_factory):
    """http://HOST:PORT of one server for all tests that leave it as it is."""
    ready = tmp_path_factory.mktemp("page") / "ready"
    with web_process(tiny_index, ready, "--gallery", tiny_gallery) as (_, url):
        yield url


@pytest.fixture(scope="session")
def http_get(page_url):
    """What the API says at a path, of a photo if there is one."""

    def get(path, photo=None):
        headers = {} if photo is None else {"Content-Type": "image/jpeg"}
        request = Request(f"{page_url}{path}", photo, headers)  # noqa: S310 - a server of the test's own
        with urlopen(request, timeout=30) as reply:  # noqa: S310 - the same
            return json.load(reply)

    return get


@pytest.fixture
def visit(browser, page_url):
    """Open the page as a visitor does: `visit("#/map", color_scheme="dark", url=...)`."""
    opened: list[Page] = []
    wrong: list[str] = []

    def open_page(address="", *, url=page_url, **visitor):
        context = browser.new_context(accept_downloads=True, **visitor)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda message: _judge_message(message, wrong))
        page.on("request", lambda request: _judge_request(request.url, url, wrong))
        page.goto(f"{url}/{address}")
        opened.append(page)
        return page

    yield open_page
    for page in opened:
        page.context.close()
    assert not wrong


def _judge_message(message, wrong):
    if message.type in {"error", "warning"} and not message.text.startswith(REFUSAL):
        wrong.append(f"{message.type}: {message.text}")


def _judge_request(requested, url, wrong):
    asked, own = urlsplit(requested), urlsplit(url)
    if asked.scheme not in {"blob", "data"} and asked.netloc != own.netloc:
        wrong.append(f"a request elsewhere: {requested}")


@pytest.fixture(scope="session")
def photos(tiny_gallery) -> list[Path]:
    """Photos to be dropped, two of each family."""
    return [file for family in sorted(tiny_gallery.iterdir()) for file in sorted(family.iterdir())[:2]]


@pytest.fixture(scope="session")
def lying_photo(tmp_path_factory) -> Path:
    """A large JPEG of a camera that was held upright: 3000 x 2000 pixels that are to be turned by a quarter."""
    path: Path = tmp_path_factory.mktemp("lying") / "lying.jpg"
    coarse = np.random.default_rng(3).integers(0, 256, (2000, 3000, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(path, quality=60, exif=exif)
    return path


@pytest.fixture(scope="session")
def page_tools() -> Path:
    """The folder of axe-core and TypeScript."""
    if not (TOOLS_DIR / "axe-core/axe.min.js").exists():
        pytest.skip("no axe-core and TypeScript here; `make page-tools` fetches them")
    return TOOLS_DIR


@pytest.fixture
def amber_id(http_get):
    """An entry of the family amber."""
    return http_get("/v1/entries?family=amber")["entries"][0]["entry_id"]
