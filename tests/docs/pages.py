"""The code of a page: its blocks by section, run as a reader would, and what they print held against what is shown."""

import ast
import contextlib
import doctest
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]

# As conftest.py has it.
SERVED_AT = "127.0.0.1:50051"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# What the generator makes is made of docstrings, whose examples run as such.
REGION = re.compile(r"<!-- made from the code: [a-z-]+ -->.*?<!-- end -->", re.DOTALL)

NAMED = re.compile(r"\b[0-9a-f]{12,64}\b")
DECIMAL = re.compile(r"-?\b\d+\.\d+\b")
# Another CPU's last digits.
TOLERANCE = 0.025
COMMAND_TIMEOUT_S = 60


@dataclass(frozen=True, kw_only=True)
class Block:
    """Code of a page.

    Attributes:
        language: python, pycon or console; text is what the block before it prints.
        code: its lines.
        shown: the output that the page shows below, for python.
    """

    language: str
    code: str
    shown: str | None = None


@dataclass(kw_only=True)
class Section:
    """What stands under one heading of the second level: a reader's session from begin to end."""

    page: str
    title: str
    blocks: list[Block]
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})

    def run(self, address: str) -> None:
        """Run the blocks in the working directory; *address* is that of the server which the page takes for granted."""
        for block in self.blocks:
            code = block.code.replace(SERVED_AT, address)
            if block.language == "python":
                printed = self.run_python(code)
                if block.shown is not None:
                    assert_alike(printed, block.shown)
            elif block.language == "pycon":
                self.run_session(code)
            elif block.language == "console":
                run_commands(code, address)

    def run_python(self, code: str) -> str:
        """Run a program; return what it prints."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{self.page}, {self.title}", "exec"), self.namespace)  # noqa: S102 - our own pages
        return printed.getvalue()

    def run_session(self, code: str) -> None:
        """Type what stands behind the prompts, and look at each answer."""
        for example in doctest.DocTestParser().get_examples(code):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                self.type_in(example)
            assert_alike(printed.getvalue(), example.want)

    def run_cell(self, code: str) -> Any:
        """Run a notebook's cell; return the value of its last line, which a notebook would show."""
        *lines, last = ast.parse(code).body
        exec(compile(ast.Module(lines, []), self.page, "exec"), self.namespace)  # noqa: S102 - our own pages
        assert isinstance(last, ast.Expr)
        return eval(compile(ast.Expression(last.value), self.page, "eval"), self.namespace)  # noqa: S307 - as above

    def type_in(self, example: doctest.Example) -> None:
        code = compile(ast.Interactive(ast.parse(example.source).body), self.title, "single")
        try:
            exec(code, self.namespace)  # noqa: S102 - our own pages
        except Exception as error:
            if example.exc_msg is None:
                raise
            print("Traceback (most recent call last):\n    ...")
            print(f"{type(error).__module__}.{type(error).__qualname__}: {error}")


def list_sections(page: str) -> list[Section]:
    """The sections of a page that have code to run."""
    text = REGION.sub("", (ROOT / page).read_text(encoding="utf-8"))
    sections = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE):
        title, _, body = part.partition("\n")
        found = [(match[1], match[2]) for match in FENCE.finditer(body)]
        blocks = [
            Block(language=language, code=code, shown=shown if kind == "text" else None)
            for (language, code), (kind, shown) in pairwise([*found, ("", "")])
            if language in {"python", "pycon", "console"}
        ]
        if blocks:
            sections.append(Section(page=page, title=title, blocks=blocks))
    return sections


def run_commands(code: str, address: str) -> None:
    """Run the lines that begin with a $ in a shell; hold what each prints against the lines below it."""
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        command, shown = split_command(part)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/bash", "-c", command],
            env={**os.environ, "PATH": path, "BEEDEX_TARGET": address},
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if shown.strip():
            assert_alike(done.stdout + done.stderr, shown)
        else:
            assert done.returncode == 0, done.stderr


def split_command(part: str) -> tuple[str, str]:
    """A command, which may go on behind a backslash, and what is shown of its output."""
    lines = part.splitlines(keepends=True)
    last = next(place for place, line in enumerate(lines) if not line.endswith("\\\n"))
    return "".join(lines[: last + 1]), "".join(lines[last + 1 :])


def assert_alike(found: str, shown: str) -> None:
    """Documents have the same keys and types; other text may differ in last digits, ids, and what ... leaves out."""
    if shown.lstrip().startswith(("{", "[{")):
        assert_same_shape(json.loads(found), json.loads(shown), "the document")
        return
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    is_alike = doctest.OutputChecker().check_output(even_out(shown), even_out(found), flags)
    assert is_alike, f"shown:\n{shown}\nfound:\n{found}"
    if "..." not in shown:
        np.testing.assert_allclose(read_decimals(found), read_decimals(shown), atol=TOLERANCE)


def even_out(text: str) -> str:
    lines = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    return DECIMAL.sub("#", NAMED.sub("ID", lines))


def read_decimals(text: str) -> NDArray[np.float64]:
    return np.array(DECIMAL.findall(text), float)


def assert_same_shape(found: Any, shown: Any, where: str) -> None:
    """Every key is shown and no other; of a list, the first element says what all are."""
    if found is None or shown is None:
        return
    assert isinstance(found, type(shown)) or {type(found), type(shown)} == {int, float}, (
        f"{where}: {found!r}, {shown!r}"
    )
    if isinstance(found, dict):
        assert list(found) == list(shown), where
        for key, value in found.items():
            assert_same_shape(value, shown[key], f"{where}, {key}")
    elif isinstance(found, list) and found and shown:
        assert_same_shape(found[0], shown[0], f"{where}, its first")
