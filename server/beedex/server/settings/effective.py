"""The whole configuration as a server has it, as TOML that it takes again."""

from enum import Enum
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel, SecretBytes, SecretStr

from beedex.server.settings.keys import Key, list_keys
from beedex.server.settings.loading import Settings

__all__ = ["render_effective"]


def render_effective(settings: Settings[Any]) -> str:
    """Return a line for each key with where its value is from.

    What is not set, and what is secret, is a comment: a mask that was read again would become the secret. Paths are
    absolute, since the text may go anywhere.
    """
    lines: list[str] = []
    section: tuple[str, ...] = ()
    for name, key in list_keys(type(settings.config)).items():
        if key.path[:-1] != section:
            section = key.path[:-1]
            lines += ["", f"[{'.'.join(section)}]"]
        lines.append(_render_line(key, _find(settings.config, key), settings.places.get(name, "default")))
    return "\n".join(lines) + "\n"


def _render_line(key: Key, value: object, place: str) -> str:
    # Where the value is from is words of a file, a variable or a flag: a line of them stays a comment.
    comment = " ".join(place.split())
    if value is None:
        return f"# {key.path[-1]} is not set  # {comment}"
    if key.is_secret:
        return f"# {key.path[-1]} is secret  # {comment}"
    return f"{key.path[-1]} = {_render_value(_to_plain(value))}  # {comment}"


def _render_value(value: object) -> str:
    if not isinstance(value, dict):
        return tomlkit.item(value).as_string()
    # On its key's line, not as a section of its own.
    table = tomlkit.inline_table()
    table.update(value)
    return table.as_string()


def _find(config: BaseModel, key: Key) -> object:
    value: Any = config
    for name in key.path:
        value = getattr(value, name)
    return value


def _to_plain(value: object) -> Any:  # noqa: ANN401 - what TOML has
    match value:
        case SecretStr() | SecretBytes():
            raise TypeError("a secret is not to be shown")
        case Enum():
            return _to_plain(value.value)
        case Path():
            return str(value.absolute())
        case tuple() | list() | set() | frozenset():
            return [_to_plain(item) for item in value]
        case dict():
            return {str(name): _to_plain(item) for name, item in value.items()}
        case _:
            return value
