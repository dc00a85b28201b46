import base64
import itertools
import re

import numpy as np
import pytest
from playwright.sync_api import expect
from tests.server.page.hands import pick

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
DEFECTS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])

SPOT = """async ([x, y]) => {
  const canvas = document.querySelector(".surface canvas");
  const box = canvas.getBoundingClientRect();
  const scale = Math.min(box.width, box.height) / 2 - 36;
  return [box.left + box.width / 2 + x * scale, box.top + box.height / 2 - y * scale];
}"""

INK = """() => {
  const canvas = document.querySelector(".surface canvas");
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  let inked = 0;
  for (let place = 3; place < data.length; place += 4) inked += data[place] > 0;
  return inked;
}"""

PICTURE = """() => document.querySelector(".surface canvas").toDataURL()"""

CHANGED = """(before) => document.querySelector(".surface canvas").toDataURL() !== before"""

COLOURS = """() => {
  const canvas = document.querySelector(".surface canvas");
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let place = 0; place < data.length; place += 4) {
    found.add("#" + [0, 1, 2].map((one) => data[place + one].toString(16).padStart(2, "0")).join(""));
  }
  return [...found];
}"""

SETTLE = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def cloud(http_get):
    """The map as the API tells it: ids, families and positions."""
    reply = http_get("/v1/map")
    kinds = {"ids": ">u8", "family_index": "<u4", "x": "<f4", "y": "<f4"}
    ids, places, x, y = (np.frombuffer(base64.b64decode(reply[name]), kind) for name, kind in kinds.items())
    families = [reply["families"][place] for place in places]
    return [f"{one:016x}" for one in ids.tolist()], families, np.stack([x, y], axis=1)


@pytest.fixture
def page(visit):
    page = visit("#/map")
    expect(page.locator(".surface canvas")).to_be_visible()
    page.evaluate(SETTLE)
    return page


def find_lonely(positions):
    """The entry furthest from all others."""
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=2) + np.eye(len(positions)) * 9
    return int(apart.min(axis=1).argmax())


def test_the_photo_at_the_pointer_is_shown_and_a_click_opens_it(page, cloud):
    ids, families, positions = cloud
    lonely = find_lonely(positions)
    across, down = page.evaluate(SPOT, positions[lonely].tolist())
    page.mouse.move(across, down)
    expect(page.locator(".tip")).to_contain_text(families[lonely].capitalize())
    expect(page.locator(f".tip img[src*='{ids[lonely]}']")).not_to_have_js_property("naturalWidth", 0)
    page.mouse.click(across, down)
    expect(page.locator(".entry .verdict h1")).to_be_visible()
    assert page.url.endswith(f"#/entry/{ids[lonely]}")


def test_the_legend_takes_families_off_the_map_and_back(page):
    whole = page.evaluate(INK)
    boxes = page.locator(".legend input")
    for place in range(3):
        boxes.nth(place).uncheck()
    page.evaluate(SETTLE)
    assert page.evaluate(INK) == 0
    boxes.first.check()
    page.evaluate(SETTLE)
    assert 0 < page.evaluate(INK) < whole


def test_the_map_is_moved_and_zoomed_by_wheel_drag_and_keys_and_comes_back(page, cloud):
    _, _, positions = cloud
    lonely = find_lonely(positions)
    across, down = page.evaluate(SPOT, positions[lonely].tolist())
    tip = page.locator(".tip")
    page.mouse.move(across, down)
    expect(tip).to_be_visible()
    page.evaluate(SETTLE)
    whole = page.evaluate(PICTURE)
    # What is under the wheel stays there.
    page.mouse.wheel(0, -300)
    page.wait_for_function(CHANGED, arg=whole)
    page.mouse.move(across + 1, down)
    expect(tip).to_be_visible()
    page.mouse.down()
    page.mouse.move(across + 90, down + 40, steps=4)
    page.mouse.up()
    page.mouse.move(across + 91, down + 40)
    expect(tip).to_be_visible()
    page.mouse.move(across, down)
    page.get_by_label("All photos").click()
    page.mouse.move(across, down)
    expect(tip).to_be_visible()
    canvas = page.locator(".surface canvas")
    canvas.press("0")
    page.evaluate(SETTLE)
    whole = page.evaluate(PICTURE)
    canvas.press("+")
    page.wait_for_function(CHANGED, arg=whole)
    canvas.press("0")
    page.wait_for_function(f"(whole) => !({CHANGED})(whole)", arg=whole)


def test_two_fingers_zoom_the_map(page):
    pinch = """() => {
      const canvas = document.querySelector(".surface canvas");
      canvas.setPointerCapture = () => {};
      const { left, top, width, height } = canvas.getBoundingClientRect();
      const touch = (type, pointerId, apart) => {
        const place = { clientX: left + width / 2 + apart, clientY: top + height / 2 };
        canvas.dispatchEvent(new PointerEvent(type, { pointerId, pointerType: "touch", bubbles: true, ...place }));
      };
      touch("pointerdown", 1, -40);
      touch("pointerdown", 2, 40);
      touch("pointermove", 1, -120);
      touch("pointermove", 2, 120);
      touch("pointerup", 1, -120);
      touch("pointerup", 2, 120);
    }"""
    before = page.evaluate(INK)
    page.evaluate(pinch)
    page.evaluate(SETTLE)
    assert page.evaluate(INK) != before


def test_keys_move_the_map_and_enter_opens_the_photo_in_the_middle(page, cloud):
    ids, _, positions = cloud
    page.locator(".surface canvas").focus()
    page.keyboard.press("+")
    for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "-", "0"):
        page.keyboard.press(key)
    middle = int(np.linalg.norm(positions, axis=1).argmin())
    for _ in range(12):
        if page.locator(".tip").is_visible():
            break
        page.keyboard.press("ArrowRight" if positions[middle, 0] > 0 else "ArrowLeft")
    expect(page.locator("#announcer")).to_have_text(re.compile("in the middle"))
    page.keyboard.press("Enter")
    expect(page.locator(".entry .verdict h1")).to_be_visible()
    assert page.url.rpartition("/")[2] in ids


def test_a_photo_that_was_asked_about_is_on_the_map_where_the_server_says(visit, photos, http_get):
    page = visit()
    place = http_get("/v1/identify", photos[0].read_bytes())["map"]
    pick(page, photos[0])
    page.get_by_label("See the photo on the map").click()
    expect(page.locator(".pin img")).to_be_visible()
    page.evaluate(SETTLE)
    across, down = page.evaluate(SPOT, [place["x"], place["y"]])
    pinned = page.locator(".pin").bounding_box()
    assert pinned is not None
    assert (pinned["x"], pinned["y"]) == pytest.approx((across, down), abs=2)
    page.get_by_label("Yours: the photo").click()
    page.evaluate(SETTLE)
    moved, stage = page.locator(".pin").bounding_box(), page.locator(".surface").bounding_box()
    assert moved is not None
    assert stage is not None
    assert moved["x"] == pytest.approx(stage["x"] + stage["width"] / 2, abs=2)


def test_a_map_that_changed_is_shown_even_if_the_snapshot_has_the_number_that_it_had(visit):
    page = visit("#/map")
    canvas = page.locator(".surface canvas")
    expect(canvas).to_have_attribute("aria-label", re.compile("^Map of 18 photos"))

    def take_one_out(route):
        reply = route.fetch()
        body = reply.json()
        for name, width in (("ids", 8), ("family_index", 4), ("x", 4), ("y", 4)):
            body[name] = base64.b64encode(base64.b64decode(body[name])[width:]).decode()
        route.fulfill(response=reply, json=body, headers={**reply.headers, "etag": '"another"'})

    page.route("**/v1/map", take_one_out)
    page.goto(page.url.replace("#/map", "#/gallery"))
    expect(page.locator(".tile")).to_have_count(3)
    page.go_back()
    expect(canvas).to_have_attribute("aria-label", re.compile("^Map of 17 photos"))


def test_a_map_that_stayed_is_not_drawn_anew(page):
    page.evaluate("() => { document.querySelector('.surface canvas').dataset.before = 'yes'; }")
    page.goto(page.url.replace("#/map", "#/gallery"))
    expect(page.locator(".tile")).to_have_count(3)
    page.go_back()
    expect(page.locator(".surface canvas")).to_have_attribute("data-before", "yes")


def test_a_family_has_one_mark_on_the_map_and_beside_its_name(visit):
    page = visit()
    # As after an answer that named a family which the map doesn't have.
    page.evaluate("async () => (await import('/core/marker.js')).learnFamilies(['aaa'])")
    page.get_by_role("link", name="Map").click()
    marks = page.locator(".legend .mark path")
    expect(marks).to_have_count(3)
    page.evaluate(SETTLE)
    legend = {mark.get_attribute("fill") for mark in marks.all()}
    palette = set(page.evaluate("async () => (await import('/core/marker.js')).LIGHT"))
    assert palette & set(page.evaluate(COLOURS)) == legend


def test_an_index_without_a_map_is_told_with_what_makes_one(visit):
    page = visit()
    error = {"code": "NOT_FOUND", "reason": "MAP_MISSING", "message": "none", "field": "", "details": {}}
    refusal = {"error": {**error, "retry_after_s": None, "request_id": "1"}}
    page.route("**/v1/map", lambda route: route.fulfill(status=404, json=refusal))
    page.goto(page.url + "#/map")
    expect(page.locator(".failure")).to_contain_text("beedex index build")


def test_families_have_marks_of_their_own_that_colour_blind_people_tell_apart(visit):
    page = visit()
    choose = """async (isDark) => {
      const { chooseMark } = await import("/core/marker.js");
      return Array.from({ length: 48 }, (_, place) => chooseMark(place, isDark));
    }"""
    for is_dark in (False, True):
        marks = page.evaluate(choose, is_dark)
        assert len({(mark["colour"], mark["shape"]) for mark in marks}) == 48
        for one, other in itertools.combinations(marks[:8], 2):
            if one["shape"] == other["shape"]:
                assert all(tell_apart(one, other, defect) > 15 for defect in DEFECTS.values()), (one, other)


def tell_apart(one, other, defect):
    """The distance in CIELAB, 1976, as seen with a defect of colour vision."""
    first, second = (see(mark["colour"], np.array(defect)) for mark in (one, other))
    return float(np.linalg.norm(first - second))


def see(colour, defect):
    shares = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    seen = TO_XYZ @ np.clip(defect @ linear, 0, 1) / WHITE
    root = np.where(seen > 0.008856, np.cbrt(seen), 7.787 * seen + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])
