"""The page about the configuration, made from the code.

`python -m beedex.server.settings.reference docs/server-config.md` writes it.
"""

import sys
from enum import Enum
from pathlib import Path

import tomlkit
from pydantic import BaseModel

from beedex.server.config import ServerConfig
from beedex.server.settings.flags import FLAG_BY_KEY
from beedex.server.settings.keys import Key, list_keys

__all__ = ["render_reference"]

OPENING = """\
# The server's configuration

Written by `python -m beedex.server.settings.reference docs/server-config.md`; a test compares it with the code.

A value comes from a TOML file (`beedex serve --config FILE`), from an environment variable, or from a flag; a later one
of these wins. A key without a flag of its own has `--set KEY=VALUE`, such as `--set lane.capacity=32`. `beedex serve
--print-config` prints the whole configuration as the server would have it, with where each value is from.

- Names that aren't here are refused, in the file and among the variables that begin with `BEEDEX_SERVER_`.
- A relative path in the file is relative to the file; elsewhere to the working directory.
- In variables and flags, lists are written `JPEG,PNG`, and tables `name=value,name=value`. An empty variable counts as
  not set.
- None, below, is a key that is not set.
- Certificates and tokens are read again when their files change. Everything else needs a restart.
"""


def render_reference() -> str:
    """Return the page: a table for each section."""
    lines = [OPENING]
    section: tuple[str, ...] | None = None
    for key in list_keys(ServerConfig).values():
        if key.path[:-1] != section:
            section = key.path[:-1]
            lines += [
                *([f"\n## `[{'.'.join(section)}]`\n"] if section else []),
                "| key | default | meaning |",
                "|---|---|---|",
            ]
        lines.append(_render_row(key))
    return "\n".join(lines) + "\n"


def _render_row(key: Key) -> str:
    flag = FLAG_BY_KEY.get(key.name)
    names = [f"`{key.name}`", *([f"`{flag}`"] if flag else []), f"`{key.variable}`"]
    text = key.text.replace("|", "\\|")
    return f"| {'<br>'.join(names)} | {_render_default(key)} | {text} |"


def _render_default(key: Key) -> str:
    if key.field.is_required():
        return "required"
    if key.field.default_factory is not None:
        return "by the machine"
    value = key.field.default
    if value is None:
        return "not set"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, BaseModel | Path):
        value = str(value)
    return f"`{tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render_reference(), encoding="utf-8")
