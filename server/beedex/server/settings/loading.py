"""One configuration out of all sources, and the place of every value in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from beedex.server.errors import ConfigError
from beedex.server.settings.keys import Key, list_keys
from beedex.server.settings.sources import Given, read_assignments, read_file, read_variables

__all__ = ["Settings", "load_settings"]

# What pydantic says before what it expects.
PYDANTIC_OPENING = "Input should be "
PYDANTIC_OWN_ERROR = "Value error, "

LONGEST_QUOTE_CHARACTERS = 100

Config = TypeVar("Config", bound=BaseModel)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(Generic[Config]):
    """A configuration with the place of every value.

    Attributes:
        config: the configuration, checked.
        places: by key, where its value is from; those that are not in it have their default.
    """

    config: Config
    places: Mapping[str, str]


def load_settings(
    model: type[Config],
    *,
    file: Path | None = None,
    environment: Mapping[str, str],
    flags: Mapping[str, tuple[str, object]],
    assignments: Sequence[str] = (),
) -> Settings[Config]:
    """Join what all sources say; flags win over variables, and variables over the file.

    Args:
        model: what a configuration has.
        file: TOML.
        environment: the process's variables.
        flags: by key, the flag and its value; those of the value None were not given.
        assignments: KEY=VALUE of the flags that have no name of their own; named ones win.

    Raises:
        ConfigError: a source can't be read, a key is unknown, or a value is wrong.
    """
    keys = list_keys(model)
    given = read_file(file, keys) if file is not None else {}
    given |= read_variables(environment, keys)
    given |= read_assignments(assignments, keys)
    given |= {name: Given(place=flag, value=value) for name, (flag, value) in flags.items() if value is not None}
    tree: dict[str, Any] = {}
    for name, one in given.items():
        *sections, last = keys[name].path
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[last] = one.value
    places = {name: one.place for name, one in given.items()}
    try:
        return Settings(config=model.model_validate(tree), places=places)
    except ValidationError as error:
        faults = [_word(fault, keys, places) for fault in error.errors(include_url=False, include_context=False)]
        # Without the cause: pydantic's error quotes values that may be secret.
        raise ConfigError("; ".join(faults)) from None


def _word(fault: Any, keys: Mapping[str, Key], places: Mapping[str, str]) -> str:  # noqa: ANN401 - pydantic's own dictionary
    """Return one clause: the place, what was expected there, and what was received."""
    location = tuple(map(str, fault["loc"]))
    name = next(
        (".".join(location[:end]) for end in range(len(location), 0, -1) if ".".join(location[:end]) in keys), ""
    )
    if not name:
        # A rule about several keys of a section.
        return _expect(fault, ".".join(location) or "the configuration")
    if fault["type"] == "missing" and keys[name].path == location:
        return f"{name} is missing; give it by a flag, as {keys[name].variable}, or in the configuration file"
    clause = _expect(fault, places.get(name, name))
    if fault["type"] == "value_error":
        # Our own words, which say what was received.
        return clause
    return f"{clause}, received {'a value that is kept secret' if keys[name].is_secret else _quote(fault['input'])}"


def _expect(fault: Any, place: str) -> str:  # noqa: ANN401 - as above
    message: str = fault["msg"]
    if message.startswith(PYDANTIC_OPENING):
        return f"{place}: expected {message.removeprefix(PYDANTIC_OPENING)}"
    return f"{place}: {message.removeprefix(PYDANTIC_OWN_ERROR)}"


def _quote(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float) else repr(str(value))
    return text if len(text) <= LONGEST_QUOTE_CHARACTERS else text[: LONGEST_QUOTE_CHARACTERS - 3] + "..."
