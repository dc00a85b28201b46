"""What docstrings and signatures say, as Markdown."""

import re
from importlib import import_module

import griffe
from docs.reference.pages import write_table

__all__ = ["list_attributes", "load_client", "read_summary", "read_text", "write_arguments", "write_signature"]

# Longer signatures have a line for each parameter.
LINE_LENGTH = 88


def load_client(root: str = "client") -> griffe.Module:
    """Read the sources of `beedex.client`; nothing of it is imported."""
    options: griffe.GoogleOptions = {"returns_named_value": False, "returns_multiple_items": False, "warnings": False}
    loaded = griffe.load(
        "beedex.client",
        search_paths=[root],
        docstring_parser="google",
        docstring_options=options,
        resolve_aliases=True,
    )
    if not isinstance(loaded, griffe.Module):
        raise TypeError(f"expected beedex.client to be a module, received {loaded}")
    return loaded


def read_text(source: griffe.Object) -> str:
    """Return a docstring's prose with what it returns and raises; arguments and attributes have tables of their own."""
    parts = []
    for section in _parse(source):
        if section.kind is griffe.DocstringSectionKind.text:
            parts.append(section.value)
        elif section.kind is griffe.DocstringSectionKind.returns:
            parts.append(f"**Returns** {' '.join(_read_result(source, item) for item in section.value)}")
        elif section.kind is griffe.DocstringSectionKind.raises:
            told = "; ".join(f"`{item.annotation}`: {_flow(item.description)}" for item in section.value)
            parts.append(f"**Raises** {told}")
        elif section.kind is griffe.DocstringSectionKind.admonition and section.value.kind == "example":
            parts.append(f"```pycon\n{section.value.description}\n```")
    return "\n\n".join(_flow_paragraphs(part) for part in parts)


def read_summary(source: griffe.Object) -> str:
    """Return a docstring's first sentence, without its full stop."""
    if source.docstring is None:
        raise ValueError(f"{source.path} has no docstring, which the reference is made of")
    return _flow(source.docstring.value.split("\n\n")[0]).removesuffix(".")


def write_arguments(source: griffe.Function | griffe.Class, function: griffe.Function) -> str:
    """Return a table of a signature's parameters, or nothing if none is described.

    Args:
        source: whose docstring describes them.
        function: whose they are.
    """
    described = {
        item.name: item.description
        for section in _parse(source)
        if section.kind is griffe.DocstringSectionKind.parameters
        for item in section.value
    }
    rows = [
        [f"`{parameter.name}`", f"`{_annotate(parameter)}`", _default(parameter), described[parameter.name]]
        for parameter in function.parameters
        if parameter.name in described
    ]
    return write_table(["argument", "type", "default", ""], rows) if rows else ""


def list_attributes(source: griffe.Class) -> list[tuple[str, str, str]]:
    """Return name, type and meaning of the fields of a class, and of those it has from others but `Answer`.

    Raises:
        ValueError: one of them is not described.
    """
    found: dict[str, tuple[str, str, str]] = {}
    for owner in [*reversed(source.mro()), source]:
        described = {
            item.name: item.description
            for section in _parse(owner)
            if section.kind is griffe.DocstringSectionKind.attributes
            for item in section.value
        }
        if owner.name == "Answer" and owner is not source:
            continue
        for name, member in owner.members.items():
            # Names in capitals are how a base is told what it is the base of.
            if not isinstance(member, griffe.Attribute) or name.startswith("_") or name == name.upper():
                continue
            if name not in described:
                raise ValueError(f"{owner.path} doesn't say what its attribute {name} is")
            found[name] = (name, _find_type(source, owner, member), described[name])
    return list(found.values())


def write_signature(name: str, function: griffe.Function, *, returns: bool = True) -> str:
    """Return a call as Python writes it, without `self`."""
    words: list[str] = []
    is_keyword = False
    for parameter in function.parameters:
        if parameter.name == "self":
            continue
        if parameter.kind is griffe.ParameterKind.keyword_only and not is_keyword:
            words.append("*")
            is_keyword = True
        default = "" if parameter.default is None else f" = {_evaluate(parameter.default)}"
        words.append(f"{parameter.name}: {_annotate(parameter)}{default}")
    result = f" -> {_unquote(function.returns)}" if returns and function.returns is not None else ""
    line = f"{name}({', '.join(words)}){result}"
    if len(line) <= LINE_LENGTH:
        return line
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){result}"


def _find_type(source: griffe.Class, owner: griffe.Class, member: griffe.Attribute) -> str:
    if member.annotation is None:
        # Set in a method: what the parameter of its name is.
        made = owner.members["__init__"]
        return _annotate(made.parameters[member.name]) if isinstance(made, griffe.Function) else ""
    kind = _unquote(member.annotation)
    for base in source.bases:
        if isinstance(base, griffe.ExprSubscript) and str(base.left) == owner.name:
            kind = re.sub(r"\bT\b", _unquote(base.slice), kind)
    return kind


def _parse(source: griffe.Object) -> list[griffe.DocstringSection]:
    return [] if source.docstring is None else source.docstring.parsed


def _annotate(parameter: griffe.Parameter) -> str:
    return _unquote(parameter.annotation)


def _unquote(annotation: object) -> str:
    return str(annotation).replace('"', "").replace("'", "")


def _default(parameter: griffe.Parameter) -> str:
    return "required" if parameter.default is None else f"`{_evaluate(parameter.default)}`"


def _evaluate(default: str | griffe.Expr) -> str:
    """Return a default as its value, where the code has a constant's name."""
    if not isinstance(default, griffe.ExprName):
        return str(default)
    module, _, name = default.canonical_path.rpartition(".")
    return repr(getattr(import_module(module), name))


def _read_result(source: griffe.Object, item: griffe.DocstringReturn) -> str:
    # What stands before a colon is taken for a type, where it isn't the signature's.
    begun = str(item.annotation)
    is_type = isinstance(source, griffe.Function) and begun == str(source.returns)
    return _flow(item.description if is_type else f"{begun}: {item.description}")


def _flow_paragraphs(text: str) -> str:
    # The lines of examples and drawings stay as they are.
    return "\n\n".join(part if part.startswith(("```", "    ")) else _flow(part) for part in text.split("\n\n"))


def _flow(text: str) -> str:
    return " ".join(text.split())
