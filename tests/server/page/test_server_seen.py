"""What visitors see of the server: its state, its tokens, and that it is gone and back."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect
from tests.server.page.axe import judge
from tests.server.page.hands import pick

from beedex.server.access.roles import Role
from beedex.server.access.tokens import Holder, hash_token


def test_state_tells_snapshot_embedder_lane_and_times_and_keeps_up(visit, http_get):
    page = visit("#/state")
    status = http_get("/v1/status")
    expect(page.locator(".pairs")).to_contain_text(f"{status['snapshot']['version']}, 18 photos of 3 families")
    expect(page.locator(".pairs")).to_contain_text(status["fingerprint"][:16])
    expect(page.locator(".panel", has_text="How busy it is")).to_contain_text("places in the embedding lane taken")
    expect(page.locator("tbody th", has_text="Whole request")).to_be_visible()
    with page.expect_response("**/v1/status"):
        pass


def test_state_shows_what_the_trainer_measured(visit, http_get):
    page = visit()
    report = http_get("/v1/report")
    metrics = {"n": 40, "recall_at_1": {"value": 0.9, "low": 0.8, "high": 0.96}, "chance_recall_at_1": 0.3}
    reply = {**report, "metrics": {**metrics, "families": {"amber": 20, "blue": 20}}, "has_page": True}
    page.route("**/v1/report", lambda route: route.fulfill(json=reply))
    page.goto(page.url + "#/state")
    expect(page.locator(".measures")).to_contain_text("between 80 % and 96 %, at 95 % confidence; by chance 30 %")
    expect(page.get_by_role("link", name="The whole report")).to_have_attribute("href", "/v1/report/page")


TOKEN = "bee-0123456789abcdef0123456789abcdef"  # noqa: S105 - of a server of the test's own


@pytest.fixture(scope="module")
def guarded_url(tiny_index, tiny_gallery, web_process, tmp_path_factory):
    """The address of a server that asks for `TOKEN`."""
    home = tmp_path_factory.mktemp("guarded")
    tokens = home / "tokens"
    tokens.write_text(Holder(name="visitor", role=Role.READER, digest=hash_token(TOKEN)).line + "\n")
    tokens.chmod(0o600)
    with web_process(tiny_index, home / "ready", "--gallery", tiny_gallery, "--tokens", tokens) as (_, url):
        yield url


def sign_in(page, token):
    page.get_by_label("Token").fill(token)
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()


def test_a_token_is_asked_for_sent_with_everything_and_kept_in_the_tab(visit, guarded_url, photos):
    page = visit(url=guarded_url)
    expect(page.get_by_role("dialog")).to_contain_text("answers those who have a token")
    sign_in(page, TOKEN)
    expect(page.locator(".strip img")).to_have_count(3)
    expect(page.locator(".strip img").first).not_to_have_js_property("naturalWidth", 0)
    pick(page, photos[0])
    expect(page.locator(".verdict h1")).to_contain_text("Amber")
    expect(page.locator(".nearest img").first).not_to_have_js_property("naturalWidth", 0)
    assert page.evaluate("() => [sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]
    page.reload()
    expect(page.locator(".strip img")).to_have_count(3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_where_a_token_is_asked_for(visit, guarded_url, page_tools, scheme):
    page = visit(url=guarded_url, color_scheme=scheme)
    expect(page.get_by_role("dialog")).to_contain_text("answers those who have a token")
    assert judge(page, page_tools) == []


def test_a_token_that_is_not_known_is_asked_for_again(visit, guarded_url):
    page = visit("#/gallery", url=guarded_url)
    sign_in(page, "bee-unknown")
    expect(page.get_by_role("dialog")).to_contain_text("doesn't know that token")
    sign_in(page, TOKEN)
    expect(page.locator(".tile")).to_have_count(3)


def test_who_has_no_token_is_told_and_can_sign_in_later(visit, guarded_url):
    page = visit("#/gallery", url=guarded_url)
    page.get_by_role("button", name="Not now").click()
    expect(page.get_by_role("alert")).to_contain_text("A token is needed")
    page.get_by_role("button", name="Try again").click()
    sign_in(page, TOKEN)
    expect(page.locator(".tile")).to_have_count(3)


def test_a_server_that_goes_is_told_and_the_page_goes_on_when_it_is_back(
    visit, tiny_index, tiny_gallery, web_process, tmp_path, photos
):
    with web_process(tiny_index, tmp_path / "first", "--gallery", tiny_gallery) as (_, url):
        page = visit("#/identify", url=url)
        expect(page.locator(".strip img")).to_have_count(3)
    pick(page, photos[0])
    expect(page.locator("#connection")).to_contain_text("can't be reached")
    expect(page.get_by_role("alert")).to_contain_text("The server can't be reached")
    port = urlsplit(url).netloc
    with web_process(tiny_index, tmp_path / "second", "--gallery", tiny_gallery, web=port):
        expect(page.locator("#connection")).to_be_empty()
        expect(page.locator(".verdict h1")).to_contain_text("Amber")
