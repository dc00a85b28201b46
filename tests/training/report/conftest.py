"""A report on a small gallery that knows everything there is to show, and a reader of pages."""

from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from beedex.index.metrics import Figure
from beedex.training.report import (
    CalibrationEvidence,
    Confusion,
    Doubt,
    EmbeddingMap,
    FamilyRow,
    FigureRow,
    GuardAction,
    History,
    Lookups,
    Origin,
    ReliabilityBin,
    ReportContent,
    ReportedPhoto,
    Results,
    Tap,
)

VOID = {"meta", "link", "br", "img", "input", "wbr", "hr"}
ReadPage = Callable[[str], "Page"]


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    ancestors: tuple["Element", ...]
    text: str = ""  # with that of what is inside


@dataclass
class Page(HTMLParser):
    """Every element of a page; fails on tags that don't close as they opened."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(self.open))
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def find(self, tag: str | None = None, **attributes: str) -> list[Element]:
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            element
            for element in self.elements
            if tag in (None, element.tag)
            and all(value in element.attributes.get(name, "").split() for name, value in wanted.items())
        ]

    @property
    def rows(self) -> list[list[str]]:
        """The texts of each table row's cells."""
        return [
            [cell.text.strip() for cell in self.elements if cell.tag in ("td", "th") and row in cell.ancestors]
            for row in self.find("tr")
        ]


@pytest.fixture
def read_page() -> ReadPage:
    def read(html: str) -> Page:
        page = Page()
        page.feed(html)
        page.close()
        assert not page.open
        return page

    return read


@pytest.fixture
def content(tiny_gallery: Path) -> ReportContent:
    """18 photos of three families; the vectors are drawn, the photos real."""
    paths = sorted(path.relative_to(tiny_gallery) for path in tiny_gallery.glob("*/*.jpg"))
    photos = tuple(ReportedPhoto(path=str(path), family=path.parts[0], group=path.stem) for path in paths)
    families = tuple(sorted({photo.family for photo in photos}))
    count, generator = len(photos), np.random.default_rng(0)
    embeddings = generator.normal(size=(count, 16)).astype(np.float32)
    similarities = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -np.inf)
    neighbors = np.argsort(-similarities, axis=1)[:, :5]
    steps = np.arange(1, 401)
    return ReportContent(
        title="Eighteen photos",
        origin=Origin(
            command="beedex train 'my photos' --out embedder",
            fingerprint="ab" * 32,
            weights="drawn at random",
            gallery_digest="cd" * 32,
            git_revision="0123abc",
            versions={"numpy": "2.0"},
        ),
        results=Results(
            figures=(
                FigureRow(
                    name="Recall@1",
                    trained=Figure(value=0.813, low=0.702, high=0.904),
                    probe=Figure(value=0.794, low=0.681, high=0.885),
                    frozen=Figure(value=0.606, low=0.505, high=0.707),
                    chance=0.333,
                ),
                FigureRow(name="MAP@R", trained=Figure(value=0.551, low=0.442, high=0.663)),
            ),
            families=(
                FamilyRow(family="amber", photos=6, groups=6, recall=Figure(value=0.9, low=0.7, high=1.0), judged=True),
                FamilyRow(family="blue", photos=6, groups=6, recall=Figure(value=0.8, low=0.6, high=0.9), judged=True),
                FamilyRow(family="clover", photos=6, groups=2, recall=None, judged=False),
            ),
            comparisons=("The trained embedder beats frozen features.",),
            protocol="Five folds by group.",
            notes=("One photo was left out.",),
        ),
        families=families,
        photos=photos,
        read_photo=lambda photo: (tiny_gallery / photos[photo].path).read_bytes(),
        embedding_map=EmbeddingMap(embeddings=embeddings, features=embeddings[:, ::-1].copy(), trained_on=True),
        confusion=Confusion(counts=np.array([[5.0, 1, 0], [0, 6, 0], [2, 0.5, 3.5]])),
        calibration=CalibrationEvidence(
            bins=(
                ReliabilityBin(confidence=0.55, right=Figure(value=0.5, low=0.2, high=0.8), count=4),
                ReliabilityBin(confidence=0.91, right=Figure(value=0.93, low=0.8, high=1.0), count=14),
            ),
            expected_error=Figure(value=0.071, low=0.032, high=0.113),
            open_set_auroc=Figure(value=0.842, low=0.751, high=0.925),
            temperature=0.05,
            match_from=0.62,
            note="Fitted on 18 photos.",
        ),
        lookups=Lookups(
            photos=np.arange(count),
            average_precision=np.linspace(0, 1, count),
            hits=(np.arange(count) % 2).astype(np.float64),
            neighbors=neighbors,
            similarities=np.take_along_axis(similarities, neighbors, axis=1),
        ),
        doubts=(Doubt(photo=3, said=1, probability=0.83, label_probability=0.04),),
        histories=(
            History(
                name="Head",
                steps=steps,
                loss=np.exp(-steps / 100),
                active_share=np.exp(-steps / 80),
                positive_distance=1 - steps / 800,
                negative_distance=1 + steps / 800,
                learning_rate=np.full(400, 1e-3),
                validation_steps=np.array([100, 200, 300, 400]),
                validation_map_at_r=np.array([0.3, 0.5, 0.6, 0.55]),
                best_step=300,
                actions=(GuardAction(step=120, action="halved the learning rate", evidence="Rank 1.2."),),
            ),
        ),
        taps=(
            Tap(name="mixed9, mean", map_at_r=Figure(value=0.412, low=0.381, high=0.443)),
            Tap(name="mixed7, GeM", map_at_r=Figure(value=0.456, low=0.424, high=0.487), chosen=True),
        ),
    )
