"""That everybody can use the page: by keys, by ear, on small and large screens, by day and by night."""

import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.server.page.axe import judge
from tests.server.page.hands import pick

STATIC_DIR = Path(__file__).parents[3] / "server/beedex/server/web/static"

VIEWS = {
    "#/identify": ".strip img",
    "#/gallery": ".tile",
    "#/gallery/amber": ".card",
    "#/gallery/%3Fsuspects": ".heading",
    "#/map": ".surface canvas",
    "#/state": ".pairs",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(visit, page_tools, amber_id, scheme):
    page = visit(color_scheme=scheme)
    for address, sign in VIEWS.items():
        page.goto(page.url.partition("#")[0] + address)
        expect(page.locator(sign).first).to_be_visible()
        assert judge(page, page_tools) == [], address
    page.goto(f"{page.url.partition('#')[0]}#/entry/{amber_id}")
    expect(page.locator(".entry .verdict h1")).to_be_visible()
    assert judge(page, page_tools) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_answers_refusals_and_dialogs(visit, page_tools, photos, tmp_path, scheme):
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear bee")
    page = visit(color_scheme=scheme)
    pick(page, *photos[:3], letter)
    expect(page.locator(".line.failed")).to_be_visible()
    expect(page.locator(".verdict h1")).to_be_visible()
    expect(page.locator(".progress")).to_have_text("4 photos")
    assert judge(page, page_tools) == []
    page.locator(".enlarge").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert judge(page, page_tools) == []
    page.keyboard.press("Escape")
    page.locator(".line").last.click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert judge(page, page_tools) == []


def test_everything_is_reached_by_keys_alone_and_the_focus_is_seen(visit, photos):
    page = visit()
    expect(page.locator(".strip img")).to_have_count(3)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Choose photos")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(photos[0])
    expect(page.locator(".verdict h1")).to_contain_text("Amber")
    page.locator(".sight button").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        if page.evaluate("() => document.activeElement.className") == "enlarge":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".enlarge").first).to_be_focused()


def test_each_view_begins_at_its_heading_for_those_who_follow_a_link_in_it(visit):
    page = visit("#/gallery")
    page.get_by_role("link", name="Amber").click()
    expect(page.get_by_role("heading", name="Amber", level=1)).to_be_focused()


@pytest.mark.parametrize("width", [320, 390, 768, 3840])
def test_no_view_is_wider_than_its_window(visit, photos, width):
    page = visit(viewport={"width": width, "height": 700 if width < 1000 else 2160})
    pick(page, *photos[:2])
    expect(page.locator(".verdict h1")).to_be_visible()
    fits = "() => document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    for address, sign in VIEWS.items():
        page.goto(page.url.partition("#")[0] + address)
        expect(page.locator(sign if address != "#/identify" else ".verdict").first).to_be_visible()
        assert page.evaluate(fits), address


def test_night_is_dark_and_day_is_light(visit):
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    light, dark = (visit(color_scheme=scheme).evaluate(ground) for scheme in ("light", "dark"))
    assert (light, dark) == ("rgb(251, 250, 247)", "rgb(21, 18, 13)")


def test_nothing_moves_for_those_who_ask_for_it(visit, photos):
    page = visit(reduced_motion="reduce")
    pick(page, photos[0])
    expect(page.locator(".verdict h1")).to_be_visible()
    assert page.evaluate("() => document.getAnimations().length") == 0


def test_addresses_lead_to_their_views_and_back(visit):
    page = visit("#/map")
    for address in ("#/state", "#/gallery", "#/gallery/blue"):
        page.goto(page.url.partition("#")[0] + address)
        expect(page.locator(VIEWS.get(address, ".card")).first).to_be_visible()
    for address in ("#/gallery", "#/state", "#/map"):
        page.go_back()
        expect(page.locator(VIEWS[address]).first).to_be_visible()


def test_the_camera_is_asked_for_where_photos_are_taken(visit):
    page = visit()
    taken = page.locator("input[capture]")
    assert taken.get_attribute("capture") == "environment"
    assert taken.get_attribute("accept") == "image/*"


def test_the_page_has_no_script_or_style_of_its_own_in_its_markup():
    markup = (STATIC_DIR / "index.html").read_text()
    assert "style=" not in markup
    assert "<style" not in markup
    assert markup.count("<script") == markup.count('<script type="module" src=')


def test_every_module_that_is_fetched_early_is_there():
    markup = (STATIC_DIR / "index.html").read_text()
    named = [part.partition('"')[0] for part in markup.split('href="/')[1:] if not part.startswith("openapi")]
    assert named
    assert [name for name in named if not (STATIC_DIR / name).is_file()] == []


@pytest.mark.slow
def test_the_types_in_the_comments_hold(page_tools):
    compiler, project = page_tools / "typescript/bin/tsc", Path(__file__).parent / "tsconfig.json"
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js on this machine, which TypeScript runs in")
    judged = subprocess.run([node, compiler, "-p", project], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout
