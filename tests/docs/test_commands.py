"""Every command that a page names exists, with the options that it is given there."""

import re

import pytest
from tests.docs.pages import ROOT
from typer.core import TyperGroup
from typer.main import get_command

from beedex.client.command import build_app
from beedex.client.parts import load_parts

PATTERNS = ("*.md", "docs/*.md", "deploy/*.md", "deploy/*.service", "deploy/*.cron", "training/weights/*.md")
PAGES = sorted(str(path.relative_to(ROOT)) for pattern in PATTERNS for path in ROOT.glob(pattern))

# docs/command.md shows what becomes of it.
WRONG_ON_PURPOSE = "--wrong"

# In a code span, in an indented line, behind a prompt, or by its whole path; as far as the shell's own signs.
NAMED = re.compile(r"(?:`|^ {4}|\$ |bin/)beedex ([a-z][^`#|&;>(\n]*)", re.MULTILINE)


def list_named_commands(page):
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    return [match[1].strip() for match in NAMED.finditer(text)]


@pytest.fixture(scope="module")
def root():
    return get_command(build_app(load_parts()))


@pytest.mark.parametrize("page", [page for page in PAGES if list_named_commands(page)])
def test_the_commands_of_a_page_exist_with_their_options(page, root):
    for line in list_named_commands(page):
        words = line.split()
        command = root
        while isinstance(command, TyperGroup) and words and re.fullmatch("[a-z]+", words[0]):
            name = words.pop(0)
            assert name in command.commands, line
            command = command.commands[name]
        known = {name for item in command.params for name in (*item.opts, *item.secondary_opts)} | {"--help"}
        given = {word.split("=")[0] for word in words if re.match("--?[a-z]", word)}
        assert given <= known | {WRONG_ON_PURPOSE}, line
