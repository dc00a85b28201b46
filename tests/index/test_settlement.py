"""What a build makes of changes: the rules."""

import pytest

from beedex.index.changes import Change
from beedex.index.entries import Entry
from beedex.index.settlement import Settlement

SHA256 = "a" * 64


def put_in(family, *, settled=False, gallery=None):
    entry = Entry(sha256=SHA256, family=family, path="1.jpg")
    return Change(sequence=1, sha256=SHA256, entry=entry, is_settled=settled, gallery_family=gallery)


def taken_out(*, settled=False, gallery=None):
    return Change(sequence=1, sha256=SHA256, entry=None, is_settled=settled, gallery_family=gallery)


# What the gallery says now, None for nothing; and the family that is noted for a change that is kept.
KEPT = [
    ("the gallery lacks the photo", put_in("mason"), None, None),
    ("the gallery says another family", put_in("mason"), "honey", "honey"),
    ("it says so as before", put_in("mason", gallery="honey"), "honey", "honey"),
    ("it changed its mind before the change was settled", put_in("mason", gallery="wool"), "honey", "honey"),
    ("it still lacks the photo", put_in("mason", settled=True), None, None),
    ("it still says another family", put_in("mason", settled=True, gallery="honey"), "honey", "honey"),
    ("its file can't be read today", put_in("mason", settled=True, gallery="honey"), None, "honey"),
    ("its file can't be read at the first build", put_in("mason", gallery="honey"), None, "honey"),
    ("the photo is there", taken_out(), "honey", "honey"),
    ("the photo is still there", taken_out(settled=True, gallery="honey"), "honey", "honey"),
    ("the photo taken out can't be read today", taken_out(settled=True, gallery="honey"), None, "honey"),
    ("the photo was never in the gallery", taken_out(), None, None),
]
DROPPED = [
    ("the gallery says the same", put_in("mason"), "mason"),
    ("the gallery says the same by now", put_in("mason", settled=True, gallery="honey"), "mason"),
    ("the gallery says something new", put_in("mason", settled=True, gallery="honey"), "wool"),
    ("the gallery has the photo for the first time", put_in("mason", settled=True), "honey"),
    ("the gallery put the photo elsewhere", taken_out(settled=True, gallery="honey"), "mason"),
    ("the gallery has what was taken out for the first time", taken_out(settled=True), "honey"),
]


@pytest.mark.parametrize(("change", "says", "noted"), [rule[1:] for rule in KEPT], ids=[rule[0] for rule in KEPT])
def test_a_change_is_kept_while(change, says, noted):
    settlement = Settlement.judge([change], {SHA256: says} if says else {})

    assert (settlement.kept, settlement.dropped) == ({change: noted}, ())
    assert settlement.is_news is not (change.is_settled and change.gallery_family == noted)


@pytest.mark.parametrize(("change", "says"), [rule[1:] for rule in DROPPED], ids=[rule[0] for rule in DROPPED])
def test_a_change_is_dropped_when(change, says):
    settlement = Settlement.judge([change], {SHA256: says})

    assert (settlement.kept, settlement.dropped) == ({}, (change,))
    assert settlement.is_news
    assert settlement.apply({}) == {}


@pytest.mark.parametrize(
    ("change", "copies", "is_in"),
    [
        (put_in("mason"), (), True),  # its vector is known
        (put_in("mason"), {SHA256}, True),
        (put_in("mason", gallery="honey"), (), False),
        (put_in("mason", gallery="honey"), {SHA256}, True),
        (taken_out(gallery="honey"), {SHA256}, False),
    ],
)
def test_a_photo_that_the_gallery_held_and_holds_no_more_is_in_only_by_a_copy(change, copies, is_in):
    settlement = Settlement.judge([change], {}, copies)

    assert settlement.apply({}) == ({SHA256: change.entry} if is_in else {})
    assert list(settlement.kept) == [change]


def test_changes_take_the_place_of_what_the_gallery_says_and_nothing_else():
    gallery = {digit * 64: Entry(sha256=digit * 64, family="honey", path=f"{digit}.jpg") for digit in "abc"}
    out = Change(sequence=2, sha256="b" * 64, entry=None)
    change = put_in("mason")

    settlement = Settlement.judge([change, out], dict.fromkeys(gallery, "honey"))

    assert settlement.apply(gallery) == {SHA256: change.entry, "c" * 64: gallery["c" * 64]}
    assert settlement.taken_out == {"b" * 64}
