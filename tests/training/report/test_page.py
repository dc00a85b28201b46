"""The report as a file: complete, self-contained, safe with any name, the same every time."""

import base64
import hashlib
import io
import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from beedex.index.calibration import FamiliarityThreshold
from beedex.index.figure import Figure
from beedex.training.report import (
    EmbeddingMap,
    History,
    Origin,
    ReportContent,
    ReportedPhoto,
    Results,
    write_report,
)
from beedex.training.report.page import render_report

EVIL = '<script>alert(1)</script>"onload="x\'&amp;{{ 7*7 }}'
SECTIONS = {"results", "families", "confusion", "calibration", "map", "lookups", "doubts", "training", "taps", "origin"}


def test_every_row_of_every_part_is_shown(content: ReportContent, read_page) -> None:
    page = read_page(render_report(content))

    rows = [[re.sub(r"\s+", " ", cell) for cell in row if cell] for row in page.rows]
    for expected in (
        ["trained embedder", "0.81 0.70 to 0.90"],
        ["linear probe", "0.79 0.68 to 0.89"],
        ["frozen features", "0.61 0.51 to 0.71"],
        ["chance", "0.33"],
        ["trained embedder", "0.55 0.44 to 0.66"],
        ["amber", "6", "6", "0.90 0.70 to 1.00"],
        ["clover", "6", "2", "too few to judge"],
        ["clover", "6", "2", "0.5", "3.5"],
        ["0.55", "0.50", "0.20 to 0.80", "4"],
        ["0.91", "0.93", "0.80 to 1.00", "14"],
        ["mixed9, mean", "0.41 0.38 to 0.44"],
        ["mixed7, GeM chosen", "0.46 0.42 to 0.49"],
    ):
        assert expected in rows, expected
    text = page.find("body")[0].text
    for said in (
        content.origin.command,
        content.origin.fingerprint,
        content.origin.gallery_digest,
        content.origin.weights,
        "0123abc",
        "numpy 2.0",
        "Five folds by group.",
        "The trained embedder beats frozen features.",
        "One photo was left out.",
        "clover taken for amber (2\N{MULTIPLICATION SIGN})",
        "0.07 (0.03 to 0.11)",
        "0.84 (0.75 to 0.93)",
        "a probability of 0.62",
        "Step 120: halved the learning rate. Rank 1.2.",
        "The weights of step 300 were kept.",
    ):
        assert said in text, said


def test_what_tells_a_photo_unknown_is_not_mixed_up_with_what_tells_a_vector(content: ReportContent, read_page) -> None:
    assert content.calibration is not None
    calibration = replace(
        content.calibration,
        unknown_below=0.84,
        false_reject_rate=0.39,
        familiarity=FamiliarityThreshold(
            unfamiliar_below=0.0225,
            false_reject_rate=Figure(value=0.1, low=0.05, high=0.16),
            false_accept_rate=Figure(value=0.51, low=0.44, high=0.58),
        ),
    )

    text = read_page(render_report(replace(content, calibration=calibration))).find("body")[0].text
    without = read_page(render_report(content)).find("body")[0].text

    photos, vectors = text.index("UNKNOWN for a photo, by its features"), text.index("UNKNOWN for a vector alone")
    for said in ("a familiarity of 0.022", "0.10 (0.05 to 0.16) of them", "0.51 (0.44 to 0.58) of the photos"):
        assert photos < text.index(said) < vectors, said
    for said in ("a similarity of 0.84", "0.39 of them"):
        assert vectors < text.index(said), said
    assert "UNKNOWN for" not in without


def test_each_photo_is_a_mark_on_the_map_that_says_which_it_is(content: ReportContent, read_page) -> None:
    page = read_page(render_report(content))

    marks = [element for element in page.find("use") if "data-photo" in element.attributes]
    assert sorted(int(mark.attributes["data-photo"]) for mark in marks) == list(range(18))
    for mark in marks:
        photo = content.photos[int(mark.attributes["data-photo"])]
        assert mark.text.startswith(f"{photo.family}\n{photo.path}\nheld out, its nearest photo was ")
        assert {"--t", "--f"} <= set(re.findall(r"--\w", mark.attributes["style"]))
    assert "was trained on these very photos" in page.find(id="map")[0].text


def test_the_worst_and_the_best_queries_come_with_what_they_found(content: ReportContent, read_page) -> None:
    page = read_page(render_report(content))

    queries = [
        figure for figure in page.find("figure", class_="query") if page.find(id="lookups")[0] in figure.ancestors
    ]
    shown = [svg.attributes["aria-label"] for figure in queries for svg in page.find("svg") if figure in svg.ancestors]
    names = [f"{photo.family}: {photo.path}" for photo in content.photos]
    assert shown == [names[i] for i in (*range(12), *range(17, 11, -1))]
    marks = [svg.attributes["aria-label"] for svg in page.find("svg", class_="verdict")]
    assert set(marks) == {"same family:", "another family:"}
    lookups = content.lookups
    assert lookups is not None
    same = [content.photos[n].family == content.photos[0].family for n in lookups.neighbors[0]]
    assert marks[:5] == ["same family:" if right else "another family:" for right in same]


def test_the_page_asks_for_nothing_and_forbids_it(content: ReportContent, read_page) -> None:
    html = render_report(content)
    page = read_page(html)

    for element in page.elements:
        for name, value in element.attributes.items():
            if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
                assert value.startswith(("#", "data:")), value
            assert not name.startswith("on"), name
    assert "url(" not in html
    assert "@import" not in html
    assert not {"img", "iframe", "object", "embed", "base", "form"} & {element.tag for element in page.elements}
    policy = next(m.attributes["content"] for m in page.find("meta") if m.attributes.get("http-equiv"))
    scripts = page.find("script")
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].text.encode()).digest()).decode()
    assert policy == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_names_are_shown_as_they_are_and_never_run(content: ReportContent, read_page) -> None:
    families = (EVIL, *content.families[1:])
    photos = tuple(
        ReportedPhoto(
            path=f"{EVIL}/{photo.path}", family=EVIL if photo.family == "amber" else photo.family, group=photo.group
        )
        for photo in content.photos
    )
    results = replace(content.results, protocol=EVIL, notes=(EVIL,), comparisons=(EVIL,))
    origin = replace(content.origin, command=EVIL, weights=EVIL, versions={EVIL: EVIL})
    tidy = read_page(render_report(content))

    html = render_report(replace(content, title=EVIL, families=families, photos=photos, results=results, origin=origin))

    page = read_page(html)
    assert page.find("title")[0].text == EVIL
    assert html.count("<script") == 1
    assert "49" not in page.find("h1")[0].text

    def outline(elements):
        """Tags and names of attributes; a path's breaks after its slashes aside."""
        return [(element.tag, sorted(element.attributes)) for element in elements if element.tag != "wbr"]

    # The evil name is one more version and nothing else: it made no element and no attribute.
    assert outline(page.elements) == outline(tidy.elements)


def test_a_name_that_is_no_text_does_not_stop_the_report(content: ReportContent, tmp_path: Path) -> None:
    name = b"bees/\xff.jpg".decode("utf-8", "surrogateescape")
    photos = (ReportedPhoto(path=name, family="amber", group="g"), *content.photos[1:])

    write_report(tmp_path / "report.html", replace(content, photos=photos))

    assert "\\udcff.jpg" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_same_content_gives_the_same_bytes(content: ReportContent, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, content)

    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_ids_are_unique_and_every_reference_leads_to_one(content: ReportContent, read_page) -> None:
    page = read_page(render_report(content))

    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        for name in ("href", "aria-labelledby"):
            value = element.attributes.get(name, "")
            if value.startswith("#") or (value and name == "aria-labelledby"):
                assert value.removeprefix("#") in ids, value


def test_the_page_can_be_read_without_seeing_it(content: ReportContent, read_page) -> None:
    page = read_page(render_report(content))

    levels = [int(element.tag[1]) for element in page.elements if re.fullmatch(r"h[1-6]", element.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for element in page.find("th"):
        assert element.attributes.get("scope") in ("col", "row", "rowgroup", "colgroup")
    for element in page.find("svg"):
        labelled = element.attributes.get("aria-label") or element.attributes.get("aria-hidden") == "true"
        assert labelled, element
    for element in page.find("figure"):
        tile = "tile" in element.attributes.get("class", "")
        assert tile or any(element in caption.ancestors for caption in page.find("figcaption"))
    focusable = [element for element in page.elements if element.attributes.get("tabindex") == "0"]
    assert len(focusable) < 12
    assert page.find("html")[0].attributes["lang"] == "en"


def test_the_contents_list_the_sections_that_are_there(content: ReportContent, read_page) -> None:
    page = read_page(render_report(content))

    links = [a.attributes["href"].removeprefix("#") for a in page.find("a") if page.find("nav")[0] in a.ancestors]
    assert set(links) == SECTIONS
    assert links == [section.attributes["id"] for section in page.find("section")]


def test_a_report_of_hardly_anything_leaves_the_rest_out(read_page) -> None:
    content = ReportContent(
        kind="Evaluation report",
        title="Nothing yet",
        origin=Origin(command="beedex evaluate", fingerprint="f", weights="w", gallery_digest="d"),
        results=Results(figures=(), protocol="None."),
        families=(),
        photos=(),
        read_photo=lambda _: b"",
    )

    page = read_page(render_report(content))

    assert [section.attributes["id"] for section in page.find("section")] == ["results", "origin"]
    assert page.find("p", class_="kind")[0].text == "Evaluation report"


def test_values_that_are_no_numbers_are_dashes(content: ReportContent, read_page) -> None:
    nan = np.full(2, np.nan)
    history = History(name="Head", steps=np.array([1, 2]), loss=nan)
    assert content.lookups is not None
    lookups = replace(content.lookups, average_precision=np.full(18, np.nan), hits=np.full(18, np.nan))

    page = read_page(render_report(replace(content, histories=(history,), lookups=lookups)))

    assert "nan" not in page.find("main")[0].text.lower()
    assert "None: every query" in page.find(id="lookups")[0].text
    assert not page.find("svg", aria_label="Loss")


def test_photos_that_are_gone_show_an_empty_tile_and_are_counted(content: ReportContent, read_page) -> None:
    def read_photo(photo: int) -> bytes | NDArray[np.uint8]:
        if photo == 0:
            raise FileNotFoundError
        return content.read_photo(photo) if photo != 1 else b"no photo"

    page = read_page(render_report(replace(content, read_photo=read_photo)))

    assert {image.attributes["id"] for image in page.find("image")} == {f"p{i}" for i in range(2, 18)}
    assert "2 photos could not be read again" in page.find(id="origin")[0].text
    assert page.find("div", class_="empty")


@pytest.mark.slow
def test_a_large_gallery_is_sampled_evenly_and_stays_small(content: ReportContent, read_page) -> None:
    count, rng = 2400, np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [2200, 150, 50])
    photos = tuple(
        ReportedPhoto(path=f"{i}.jpg", family=content.families[label], group=str(i)) for i, label in enumerate(labels)
    )
    picture = rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)
    vectors = (np.eye(8)[labels] + rng.normal(0, 0.1, (count, 8))).astype(np.float32)

    html = render_report(
        replace(
            content,
            photos=photos,
            read_photo=lambda _: picture,
            embedding_map=EmbeddingMap(embeddings=vectors, trained_on=False),
            lookups=None,
            doubts=None,
        )
    )

    page = read_page(html)
    marks = [int(e.attributes["data-photo"]) for e in page.find("use") if "data-photo" in e.attributes]
    assert len(marks) == 2000
    assert np.bincount(labels[marks]).tolist() == [1800, 150, 50]
    pictures = [int(image.attributes["id"][1:]) for image in page.find("image")]
    assert np.bincount(labels[pictures]).tolist() == [800, 150, 50]
    assert "Of 2400 photos, 2000 are shown, drawn evenly from the families." in page.find(id="map")[0].text
    assert "1000 of the marks have no picture" in page.find(id="map")[0].text
    # Noise is the worst picture for JPEG.
    assert len(html) < 14e6


def test_a_report_of_150_photos_is_below_two_megabytes(content: ReportContent) -> None:
    generator = np.random.default_rng(0)
    photos = tuple(ReportedPhoto(path=f"{i}.jpg", family="amber", group=str(i)) for i in range(150))
    file = io.BytesIO()
    Image.fromarray(generator.integers(0, 255, (40, 60, 3), dtype=np.uint8)).resize((600, 400)).save(file, "JPEG")
    vectors = generator.normal(size=(150, 8)).astype(np.float32)

    html = render_report(
        replace(
            content,
            photos=photos,
            read_photo=lambda _: file.getvalue(),
            embedding_map=EmbeddingMap(embeddings=vectors, trained_on=True),
            lookups=None,
            doubts=None,
        )
    )

    assert html.count("<image") == 150
    assert len(html.encode()) < 2e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"families": ("amber", "blue")}, "the family of every photo"),
        ({"embedding_map": EmbeddingMap(embeddings=np.zeros((3, 2), np.float32), trained_on=True)}, "18 photos"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(content: ReportContent, change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(content, **change)
