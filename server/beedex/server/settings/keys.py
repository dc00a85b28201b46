"""The keys of the configuration: what files, variables and flags may name."""

import difflib
import inspect
import re
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

__all__ = ["LEVEL_SEPARATOR", "VARIABLE_PREFIX", "Key", "list_keys", "suggest"]

VARIABLE_PREFIX = "BEEDEX_SERVER_"
LEVEL_SEPARATOR = "__"

# An entry of a docstring's "Attributes:".
ATTRIBUTE = re.compile(r"^(\w+): (.*)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One value of the configuration.

    Attributes:
        path: its names from the outermost section on, such as ("lane", "capacity").
        field: pydantic's word on it.
        text: what it means, as its section's docstring says.
    """

    path: tuple[str, ...]
    field: FieldInfo
    text: str

    @property
    def name(self) -> str:
        """As messages and `--set` name it."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return VARIABLE_PREFIX + LEVEL_SEPARATOR.join(self.path).upper()

    @property
    def kinds(self) -> frozenset[Any]:
        """The plain types that its value is made of."""
        return frozenset(_list_kinds(self.field.annotation))

    @property
    def is_path(self) -> bool:
        """Whether it names files."""
        return Path in self.kinds

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be shown."""
        return bool(self.kinds & {SecretStr, SecretBytes})

    @property
    def holds_several(self) -> bool:
        """Whether its value is a list."""
        return bool(self.kinds & {tuple, list, set, frozenset})

    @property
    def holds_pairs(self) -> bool:
        """Whether its value is a table of names that nobody knows beforehand."""
        return dict in self.kinds


def list_keys(model: type[BaseModel]) -> dict[str, Key]:
    """Return every key of a model and of its sections, by name, in the model's order."""
    return {key.name: key for key in _walk(model, ())}


def suggest(received: str, known: Sequence[str]) -> str:
    """Return ` (did you mean NAME?)` for a name that may be a slip of one of *known*, and nothing otherwise."""
    # Whoever leaves out or mistakes the section still means the key.
    by_end = {name.rpartition(".")[2]: name for name in reversed(known)}
    by_case = {name.lower(): name for name in known}
    close = [by_case[name] for name in difflib.get_close_matches(received.lower(), list(by_case), n=1)] or [
        by_end[end] for end in difflib.get_close_matches(received.rpartition(".")[2], list(by_end), n=1)
    ]
    return f" (did you mean {close[0]}?)" if close else ""


def _walk(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[Key]:
    texts = _read_attributes(model)
    sections = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections.append((name, field.annotation))
        else:
            yield Key(path=(*path, name), field=field, text=texts.get(name, ""))
    # Last, since in TOML what follows a section's head belongs to that section.
    for name, section in sections:
        yield from _walk(section, (*path, name))


def _read_attributes(model: type[BaseModel]) -> dict[str, str]:
    """Return what the docstring says of each attribute; nothing where docstrings were left out (`python -OO`)."""
    _, _, block = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")
    texts: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(block).splitlines():
        entry = ATTRIBUTE.match(line)
        if entry is not None:
            name, texts[name] = entry.group(1), entry.group(2)
        elif name:
            texts[name] = f"{texts[name]} {line.strip()}".strip()
    return texts


def _list_kinds(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - annotations are of any type
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _list_kinds(get_args(annotation)[0])
    elif origin in {Union, types.UnionType}:
        for part in get_args(annotation):
            yield from _list_kinds(part)
    elif origin is not None:
        yield origin
        for part in get_args(annotation):
            yield from _list_kinds(part)
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield Enum
    else:
        yield annotation
