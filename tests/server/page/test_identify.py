import csv
import io
import re

import pytest
from PIL import Image
from playwright.sync_api import expect
from tests.server.page.hands import give, pick, watch_photos

AMBER = re.compile(r"^Amber, (over )?\d+ %$")


@pytest.fixture
def page(visit):
    return visit()


def test_a_photo_that_is_picked_is_named_with_its_neighbors_and_their_families(page, photos):
    pick(page, photos[0])
    expect(page.locator(".verdict h1")).to_have_text(AMBER)
    expect(page.locator(".bars li")).to_have_count(3)
    expect(page.locator(".nearest .card")).to_have_count(12)
    expect(page.locator(".nearest img").first).not_to_have_js_property("naturalWidth", 0)
    expect(page.locator(".sight img")).not_to_have_js_property("naturalWidth", 0)


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_photo_that_is_dropped_or_pasted_on_any_view_is_named(visit, photos, kind):
    page = visit("#/state")
    expect(page.locator(".pairs")).to_be_visible()
    give(page, photos[0], kind)
    expect(page.locator(".verdict h1")).to_have_text(AMBER)
    assert page.url.endswith("#/identify")


def test_the_verdict_is_told_to_those_who_hear_the_page(page, photos):
    pick(page, photos[0])
    expect(page.locator("#announcer")).to_have_text(AMBER)


def test_several_photos_are_listed_and_one_that_is_none_stops_no_other(page, photos, tmp_path):
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear bee")
    pick(page, photos[0], letter, *photos[2:])
    expect(page.locator(".progress")).to_have_text(f"{len(photos)} photos")
    expect(page.locator(".line.failed .said")).to_have_text("This file isn't a photo")
    expect(page.locator(".line .said", has_text="%")).to_have_count(len(photos) - 1)
    page.locator(".line").last.click()
    expect(page.locator(".verdict h1")).to_contain_text("Clover")


def test_a_list_is_downloaded_as_csv_with_a_row_for_each_photo_and_no_formulas(page, photos, tmp_path):
    formula = tmp_path / "=HYPERLINK(1),2.jpg"
    formula.write_bytes(photos[0].read_bytes())
    pick(page, photos[2], formula)
    expect(page.locator(".progress")).to_have_text("2 photos")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    with download.value.path().open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["photo"] for row in rows] == [photos[2].name, "'" + formula.name]
    assert [row["family"] for row in rows] == ["blue", "amber"]
    assert all(0 < float(row["probability"]) <= 1 and len(row["fingerprint"]) == 64 for row in rows)


def test_what_is_no_photo_is_told_with_what_to_do(page, tmp_path):
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear bee")
    pick(page, letter)
    expect(page.get_by_role("alert")).to_contain_text("Use a JPEG, PNG or WebP file")


def test_a_photo_over_the_limit_that_this_browser_cannot_shrink_is_told_to_be_too_large(page, tmp_path):
    huge = tmp_path / "huge.jpg"
    huge.write_bytes(b"\xff\xd8\xff" + bytes(35 << 20))
    pick(page, huge)
    expect(page.get_by_role("alert")).to_contain_text("The photo is too large")


def test_a_large_photo_travels_small_upright_and_without_what_the_camera_wrote(page, lying_photo):
    read_last = watch_photos(page)
    pick(page, lying_photo)
    expect(page.locator(".verdict h1")).to_be_visible()
    sent = Image.open(io.BytesIO(read_last()))
    assert (sent.format, sent.size) == ("JPEG", (853, 1280))
    assert not sent.getexif()


def test_a_small_photo_travels_as_it_is(page, photos):
    read_last = watch_photos(page)
    pick(page, photos[0])
    expect(page.locator(".verdict h1")).to_be_visible()
    assert read_last() == photos[0].read_bytes()


def test_a_photo_is_shown_as_the_embedder_sees_it_on_request_and_back(page, photos):
    pick(page, photos[0])
    toggle = page.get_by_role("button", name="As the embedder sees it")
    toggle.click()
    seen = page.get_by_alt_text("The photo as the embedder sees it")
    expect(seen).to_have_js_property("naturalWidth", 299)
    expect(toggle).to_have_attribute("aria-pressed", "true")
    toggle.click()
    expect(page.get_by_alt_text(f"Your photo {photos[0].name}")).to_be_visible()


def test_a_neighbor_is_enlarged_leafed_through_and_searched_from_and_back_leads_to_the_answer(page, photos):
    pick(page, photos[0])
    page.locator(".enlarge").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("img.photo")).not_to_have_js_property("naturalWidth", 0)
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text("2 of 12")
    dialog.get_by_role("link", name="Search from this photo").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".entry .verdict h1")).to_be_visible()
    page.go_back()
    expect(page.locator(".identify .verdict h1")).to_have_text(AMBER)


def test_a_busy_server_is_asked_again_after_the_time_that_it_names(page, photos):
    refusals: list[str] = []

    def refuse_once(route):
        if refusals:
            route.continue_()
            return
        refusals.append(route.request.url)
        error = {"code": "RESOURCE_EXHAUSTED", "reason": "LANE_FULL", "message": "full", "retry_after_s": 0.05}
        route.fulfill(status=429, json={"error": {**error, "field": "", "details": {}, "request_id": "1"}})

    page.route("**/v1/identify*", refuse_once)
    pick(page, photos[0])
    expect(page.locator(".verdict h1")).to_have_text(AMBER)
    assert len(refusals) == 1


def test_nothing_of_a_photo_is_kept_in_the_browser(page, photos):
    pick(page, photos[0])
    expect(page.locator(".verdict h1")).to_be_visible()
    kept = """async () => {
      const databases = await indexedDB.databases();
      return [localStorage.length, sessionStorage.length, databases.length, document.cookie];
    }"""
    assert page.evaluate(kept) == [0, 0, 0, ""]


def test_verdicts_are_worded_for_people(page):
    word = """async (answer) => (await import("/identify/answer.js")).wordVerdict(answer)"""

    def tell(verdict, *candidates):
        answer = {"verdict": verdict, "family": candidates[0] if candidates else None, "candidates": candidates}
        return page.evaluate(word, {**answer, "probability": 0.874, "families": [], "neighbors": []})

    assert tell("MATCH", "mason") == "Mason bee, 87 %"
    assert tell("MATCH", "Bombus_terrestris") == "Bombus terrestris, 87 %"
    assert tell("AMBIGUOUS", "mason", "mining") == "Mason or mining bee"
    assert tell("AMBIGUOUS", "bumble", "mason", "honey") == "Bumblebee, mason bee or honey bee"
    assert tell("AMBIGUOUS", "oak", "elm") == "Oak or elm"
    assert tell("UNKNOWN") == "Nothing like this in the gallery"
