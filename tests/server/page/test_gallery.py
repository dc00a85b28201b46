import pytest
from playwright.sync_api import expect


def test_families_are_shown_with_their_counts_and_pictures(visit):
    page = visit("#/gallery")
    expect(page.locator(".tile .named")).to_have_text(["Amber", "Blue", "Clover"])
    expect(page.locator(".tile", has_text="6 photos")).to_have_count(3)
    expect(page.locator(".quartet img")).to_have_count(12)


def test_a_family_shows_each_of_its_photos_and_back_leads_to_the_gallery(visit):
    page = visit("#/gallery")
    page.get_by_role("link", name="Clover").click()
    expect(page.locator(".card")).to_have_count(6)
    assert page.url.endswith("#/gallery/clover")
    assert page.title() == "Clover · beedex"
    page.go_back()
    expect(page.locator(".tile")).to_have_count(3)


def test_a_family_of_many_photos_is_shown_page_by_page(visit):
    page = visit()
    page.route("**/v1/entries?*", lambda route: route.continue_(url=route.request.url.replace("limit=48", "limit=4")))
    page.goto(page.url + "#/gallery/blue")
    expect(page.locator(".card")).to_have_count(4)
    page.get_by_role("button", name="More").click()
    expect(page.locator(".card")).to_have_count(6)
    expect(page.get_by_role("button", name="More")).to_be_hidden()


def test_an_entry_is_shown_with_its_neighbors_never_itself(visit, amber_id):
    page = visit(f"#/entry/{amber_id}")
    expect(page.locator(".entry .label .named")).to_have_text("Amber")
    expect(page.locator(".nearest .card")).to_have_count(12)
    expect(page.locator(f".nearest img[src*='{amber_id}']")).to_have_count(0)


@pytest.mark.parametrize("address", ["0123456789abcdef", "no-such-entry", "..%2F..%2Fmetrics"])
def test_an_address_of_no_entry_is_told(visit, address):
    page = visit(f"#/entry/{address}")
    expect(page.get_by_role("alert")).to_be_visible()


def test_possible_mislabels_are_one_click_away_with_the_rule(visit, http_get):
    page = visit("#/gallery")
    page.get_by_role("link", name="Possible mislabels").click()
    expect(page.locator(".suspect")).to_have_count(http_get("/v1/suspects")["total"])
    page.get_by_text("What is looked for").click()
    expect(page.locator(".heading")).to_contain_text("suspicion")


def test_a_mislabel_is_shown_with_what_it_looks_like(visit, http_get, amber_id):
    entry = http_get(f"/v1/entries/{amber_id}")
    suspect = {
        "entry": entry["entry"],
        "suspected_family": "blue",
        "suspicion": 0.2,
        "own_similarity": 0.5,
        "other_similarity": 0.7,
        "neighbors": entry["neighbors"][:3],
    }
    page = visit()
    reply = {"rule": "A rule", "checked": 18, "entries": 18, "total": 1, "suspects": [suspect]}
    page.route("**/v1/suspects?*", lambda route: route.fulfill(json=reply))
    page.goto(page.url + "#/gallery/%3Fsuspects")
    expect(page.locator(".suspect")).to_contain_text("Looks like Blue")
    expect(page.locator(".suspect .card")).to_have_count(3)
    page.locator(".suspect > a").click()
    expect(page.locator(".entry .verdict h1")).to_be_visible()


@pytest.mark.parametrize("address", ["nowhere", "constructor", "toString"])
def test_an_address_of_no_view_leads_to_the_first(visit, address):
    page = visit(f"#/{address}")
    expect(page.locator("nav a[aria-current=page]")).to_have_attribute("href", "#/identify")
    expect(page.locator("body")).to_have_attribute("data-view", "identify")


def test_a_family_may_have_the_name_of_what_every_object_has(visit):
    page = visit()
    name = "async () => (await import('/core/families.js')).nameFamily('constructor')"
    assert page.evaluate(name) == "Constructor"
