"""What the pages show is what happens: code runs and prints that, references are of the code, links lead somewhere."""

import re

import pytest
from docs.reference.pages import fill
from docs.reference.writing import PAGES
from tests.docs.pages import ROOT, list_sections

RUN_PAGES = ("docs/sdk.md", "docs/command.md", "docs/documents.md")
SECTIONS = [section for page in RUN_PAGES for section in list_sections(page)]
ALL_PAGES = [
    *("README.md", "CONTRIBUTING.md", "deploy/README.md"),
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: f"{section.page}: {section.title}")
@pytest.mark.usefixtures("reader")
def test_a_sections_code_does_what_the_page_shows(section, examples_address):
    section.run(examples_address)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.name)
def test_a_reference_is_that_of_the_code(page):
    assert page.read() == page.make(), "run `make docs`"


def test_a_region_that_nobody_makes_is_refused():
    page = "<!-- made from the code: call -->\n<!-- end -->"

    with pytest.raises(ValueError, match=r"each of \['calls'\], received a page with \['call'\]"):
        fill(page, {"calls": lambda: ""})


@pytest.mark.parametrize("page", ALL_PAGES)
def test_every_local_link_leads_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.exists(), target
        if anchor:
            assert anchor in list_anchors(linked.read_text(encoding="utf-8")), target


def list_anchors(text):
    """What a heading is called in links: its words in lower case, joined by dashes."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
