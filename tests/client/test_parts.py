"""One command line out of several parts, of which some are not installed."""

import pytest
import typer
from typer.testing import CliRunner

from beedex.client.command import build_app, main
from beedex.client.parts import Part, describe_missing, load_parts


def make_app(*paths):
    """An app whose commands print their own path; "gallery check" stands in the group gallery."""
    app, groups = typer.Typer(), {}
    for path in paths:
        *group, name = path.split()
        branch = app
        if group:
            if group[0] not in groups:
                groups[group[0]] = typer.Typer(help="Galleries.")
                app.add_typer(groups[group[0]], name=group[0])
            branch = groups[group[0]]
        branch.command(name, help=f"Does {path}.")(lambda path=path: typer.echo(f"ran {path}"))
    return app


INDEX = Part(extra="index", app=make_app("gallery check", "index build"))
TRAIN = Part(extra="train", app=make_app("train", "gallery draw"))
NO_TRAIN = Part(extra="train", missing=("tensorflow",), app=TRAIN.app)
NO_INDEX = Part(extra="index", missing=("faiss",), app=INDEX.app)


def run(parts, *words):
    return CliRunner().invoke(build_app(parts), words)


@pytest.mark.parametrize("path", ["gallery check", "gallery draw", "index build", "train"])
@pytest.mark.parametrize("parts", [(INDEX, TRAIN), (TRAIN, INDEX)])
def test_groups_of_the_same_name_are_one(parts, path):
    done = run(parts, *path.split())

    assert done.exit_code == 0
    assert done.output.strip() == f"ran {path}"


@pytest.mark.parametrize("missing", [(), ("faiss",)])
def test_commands_that_a_part_gathers_from_several_modules_are_its_own(missing, monkeypatch, capsys):
    gathered = typer.Typer()
    gathered.add_typer(make_app("gallery check"))
    gathered.add_typer(make_app("index build"))
    part = Part(extra="index", missing=missing, app=gathered)
    monkeypatch.setattr("beedex.client.command.load_parts", lambda: (part, TRAIN))

    assert main(["gallery", "check"]) == (2 if missing else 0)
    assert ("pip install 'beedex[index]'" if missing else "ran gallery check") in "".join(capsys.readouterr())
    if missing:
        assert describe_missing([part]) == (
            "Not installed here: gallery check, index build: pip install 'beedex[index]'."
        )


def test_what_can_not_run_does_not_show():
    done = run((INDEX, NO_TRAIN), "--help")

    assert "gallery" in done.output
    assert "Does train" not in done.output
    assert "Does gallery draw" not in run((INDEX, NO_TRAIN), "gallery", "--help").output


def test_the_help_says_what_is_missing_and_how_to_get_it():
    sentence = describe_missing((INDEX, NO_TRAIN))

    assert sentence == "Not installed here: train, gallery draw: pip install 'beedex[train]'."
    assert describe_missing((INDEX, TRAIN)) == ""


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((INDEX, NO_TRAIN), ["train"]),
        ((INDEX, NO_TRAIN), ["train", "DIR", "--out", "x", "--help"]),
        ((INDEX, NO_TRAIN), ["gallery", "draw", "DIR"]),
        ((NO_INDEX, TRAIN), ["index"]),
        ((NO_INDEX, TRAIN), ["index", "build", "--index", "x"]),
        ((NO_INDEX, TRAIN), ["gallery", "check"]),
        ((NO_INDEX, NO_TRAIN), ["gallery", "check"]),
    ],
)
def test_calling_what_is_missing_names_the_extra_and_is_wrong_usage(parts, words, monkeypatch, capsys):
    monkeypatch.setattr("beedex.client.command.load_parts", lambda: parts)
    extra = next(part.extra for part in parts if part.missing)

    assert main(words) == 2
    assert f"pip install 'beedex[{extra}]'" in capsys.readouterr().err


def test_a_part_that_can_not_be_imported_is_named_where_its_command_is_asked_for(monkeypatch, capsys):
    broken = Part(extra="train", fault="No module named 'x'")
    monkeypatch.setattr("beedex.client.command.load_parts", lambda: (INDEX, broken))

    assert main(["train"]) == 2
    assert "the part 'train' can't be loaded: No module named 'x'" in capsys.readouterr().err


def test_the_clients_own_part_is_always_there():
    client = next(part for part in load_parts() if part.extra == "")

    assert client.missing == ()
    assert {"identify", "neighbors", "embed"} <= {command.name for command in client.app.registered_commands}
