"""How `beedex --help` is laid out: which commands stand together, in which order, and how their words flow."""

import inspect
from collections.abc import Mapping

import typer
from typer.core import TyperGroup
from typer.main import get_command_name

__all__ = ["PANELS", "CommandLayout", "lay_out"]

# By what people come for; a command that isn't here comes last, under typer's own title.
PANELS: Mapping[str, tuple[str, ...]] = {
    "Ask a server": ("identify", "neighbors", "embed", "families", "photo", "status", "snapshots"),
    "Run a server": ("serve", "token"),
    "Gallery, training, index": ("gallery", "train", "evaluate", "index"),
    "Begin here": ("demo", "doctor"),
}
_ORDER = [name for names in PANELS.values() for name in names]


class CommandLayout(TyperGroup):
    """The commands in the order of `PANELS`."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's own, by another name
        """Return the names in that order, others behind."""
        return sorted(super().list_commands(ctx), key=_place)


def _place(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def lay_out(app: typer.Typer) -> None:
    """Give the commands of *app* their panels, and let the paragraphs of all helps flow."""
    for command in app.registered_commands:
        if command.callback is not None:
            name = command.name or get_command_name(command.callback.__name__)
            command.rich_help_panel = _find_panel(name)
    for group in app.registered_groups:
        if isinstance(group.name, str):
            group.rich_help_panel = _find_panel(group.name)
    _reflow_all(app)


def _find_panel(name: str) -> str | None:
    return next((panel for panel, names in PANELS.items() if name in names), None)


def _reflow_all(app: typer.Typer) -> None:
    for command in app.registered_commands:
        text = command.help or inspect.getdoc(command.callback)
        if text:
            command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _reflow_all(group.typer_instance)
