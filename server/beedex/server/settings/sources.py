"""What each source says: a TOML file, environment variables, flags."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beedex.server.errors import ConfigError
from beedex.server.settings.keys import LEVEL_SEPARATOR, VARIABLE_PREFIX, Key, suggest

__all__ = ["Given", "read_assignments", "read_file", "read_variables"]

# Kubernetes tells a pod of every service of its namespace by variables, and one may well be called beedex-server.
VARIABLE_OF_A_SERVICE = re.compile(
    rf"{VARIABLE_PREFIX}([A-Z0-9_]+_)?"
    r"(SERVICE_HOST=.*|SERVICE_PORT(_[A-Z0-9_]+)?=\d+|PORT=\w+://.*|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=.*)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A value that a source gives.

    Attributes:
        place: where, in words: the file and key, the variable, or the flag.
        value: not yet checked.
    """

    place: str
    value: object


def read_file(path: Path, keys: Mapping[str, Key]) -> dict[str, Given]:
    """Read a TOML file; its relative paths are relative to it.

    Raises:
        ConfigError: it can't be read, isn't TOML, or has a key that there isn't.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the configuration {path} can't be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path} is expected to be TOML: {error}") from error
    return {
        name: Given(place=f"{path}, {name}", value=_anchor(value, keys[name], path.parent))
        for name, value in _flatten(document, (), keys, path)
    }


def read_variables(environment: Mapping[str, str], keys: Mapping[str, Key]) -> dict[str, Given]:
    """Read the environment variables that begin with BEEDEX_SERVER_; empty ones count as not there.

    Raises:
        ConfigError: one names a key that there isn't.
    """
    by_variable = {key.variable: name for name, key in keys.items()}
    found: dict[str, Given] = {}
    for variable, text in environment.items():
        if not variable.upper().startswith(VARIABLE_PREFIX) or not text:
            continue
        name = by_variable.get(variable)
        if name is not None:
            found[name] = Given(place=variable, value=_parse(text, keys[name], variable))
        elif VARIABLE_OF_A_SERVICE.fullmatch(f"{variable}={text}") is None:
            raise ConfigError(f"there is no environment variable {_miss(variable, list(by_variable), LEVEL_SEPARATOR)}")
    return found


def read_assignments(words: Sequence[str], keys: Mapping[str, Key]) -> dict[str, Given]:
    """Read the KEY=VALUE of `--set`.

    Raises:
        ConfigError: one has no `=`, or names a key that there isn't.
    """
    found: dict[str, Given] = {}
    for word in words:
        name, is_there, text = word.partition("=")
        name = name.strip()
        if not is_there:
            raise ConfigError("--set: expected KEY=VALUE, such as lane.capacity=32; received no `=`")
        if name not in keys:
            raise ConfigError(f"--set: there is no key {_miss(name, list(keys), '.')}")
        place = f"--set {name}"
        found[name] = Given(place=place, value=_parse(text, keys[name], place))
    return found


def _flatten(
    table: Mapping[str, Any], path: tuple[str, ...], keys: Mapping[str, Key], file: Path
) -> Iterator[tuple[str, object]]:
    for word, value in table.items():
        name = ".".join((*path, word))
        is_section = any(known.startswith(f"{name}.") for known in keys)
        if name in keys:
            yield name, value
        elif not is_section:
            raise ConfigError(f"{file}: there is no key {_miss(name, list(keys), '.')}")
        elif isinstance(value, dict):
            yield from _flatten(value, (*path, word), keys, file)
        else:
            raise ConfigError(f"{file}: {name} is expected to be a section, [{name}], received a value")


def _miss(name: str, known: Sequence[str], separator: str) -> str:
    """Return a name with the one that may be meant, and the known ones: of its section, or all of them."""
    section = name.rpartition(separator)[0]
    beside = [other for other in known if section and other.rpartition(separator)[0] == section]
    return f"{name}{suggest(name, known)}; known are {', '.join(beside or known)}"


def _anchor(value: object, key: Key, folder: Path) -> object:
    if not key.is_path:
        return value
    if isinstance(value, list):
        return [_anchor(item, key, folder) for item in value]
    return folder / value if isinstance(value, str) else value


def _parse(text: str, key: Key, place: str) -> object:
    """Return what a text means where there are only texts: `a,b` for lists, `name=value,name=value` for tables."""
    if key.holds_pairs:
        pairs = [pair.partition("=") for pair in text.split(",")]
        if not all(is_there for _, is_there, _ in pairs):
            raise ConfigError(f"{place}: expected NAME=VALUE,NAME=VALUE; received a part without `=`")
        return {name.strip(): value.strip() for name, _, value in pairs}
    return [item.strip() for item in text.split(",")] if key.holds_several else text
