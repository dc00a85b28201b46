"""The server's own configuration: its command, its flags, its page, its example."""

import inspect
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from beedex.client.command import main
from beedex.server.__main__ import main as main_of_module
from beedex.server.commands import serve_index
from beedex.server.config import ServerConfig
from beedex.server.settings.flags import FLAG_BY_KEY
from beedex.server.settings.keys import list_keys
from beedex.server.settings.loading import load_settings
from beedex.server.settings.reference import render_reference

ROOT = Path(__file__).parents[3]


def test_every_key_is_explained():
    assert [name for name, key in list_keys(ServerConfig).items() if not key.text] == []


def test_the_page_about_the_configuration_is_what_the_code_says():
    page = (ROOT / "docs" / "server-config.md").read_text()

    assert page == render_reference(), "run python -m beedex.server.settings.reference docs/server-config.md"


def test_the_page_is_the_same_on_every_machine(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 77)
    code = "from beedex.server.settings.reference import render_reference; print(render_reference())"
    preset = "import os; os.cpu_count = lambda: 77; os.sched_getaffinity = lambda _: set(range(77)); "
    shown = subprocess.run([sys.executable, "-c", preset + code], capture_output=True, text=True, check=True).stdout

    assert shown.strip() == render_reference().strip()


def test_every_flag_stands_for_a_key_that_there_is(capsys):
    assert main(["serve", "--help"]) == 0
    shown = capsys.readouterr().out

    assert set(FLAG_BY_KEY) <= set(list_keys(ServerConfig))
    assert all(f"{flag} " in shown for flag in FLAG_BY_KEY.values())
    assert "Example: beedex serve --config beedex.toml" in shown


def test_the_example_is_a_configuration():
    file = ROOT / "deploy" / "beedex.toml"
    settings = load_settings(ServerConfig, file=file, environment={}, flags={})

    assert settings.config.index_dir.is_absolute()
    assert tomllib.loads(file.read_text())


def test_print_config_shows_where_each_value_is_from_and_can_be_served_again(capsys, tmp_path, monkeypatch):
    file = tmp_path / "bees.toml"
    file.write_text('index_dir = "bees"\n[lane]\ncapacity = 8\n')
    monkeypatch.setenv("BEEDEX_SERVER_LANE__CAPACITY", "16")
    words = ["serve", "--config", str(file), "--listen", "127.0.0.1:0", "--set", "limits.max_k=5", "--print-config"]

    assert main(words) == 0
    shown = capsys.readouterr().out
    assert f'index_dir = "{tmp_path}/bees"  # {file}, index_dir' in shown
    assert 'listen = "127.0.0.1:0"  # --listen' in shown
    assert "capacity = 16  # BEEDEX_SERVER_LANE__CAPACITY" in shown
    assert "max_k = 5  # --set limits.max_k" in shown
    assert "grace_s = 25.0  # default" in shown

    monkeypatch.delenv("BEEDEX_SERVER_LANE__CAPACITY")
    file.write_text(shown)
    assert main(["serve", "--config", str(file), "--print-config"]) == 0
    again = capsys.readouterr().out
    values = [line.partition("  #")[0] for line in shown.splitlines()]
    assert [line.partition("  #")[0] for line in again.splitlines()] == values


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "index_dir is missing"),
        (["--index", "x", "--set", "lane.capcity=1"], "did you mean lane.capacity?"),
        (["--index", "x", "--threads", "none"], "--threads"),
        (["--config", "/no/such.toml"], "the configuration /no/such.toml can't be read"),
    ],
)
def test_wrong_usage_of_either_command_is_one_line_and_2(capsys, words, fault):
    assert main(["serve", *words]) == 2
    assert main_of_module(words) == 2
    lines = capsys.readouterr().err.splitlines()

    assert len(lines) == 2
    assert all(line.startswith("beedex: error: ") and fault in line for line in lines)
    assert [line.rpartition("see `")[2] for line in lines] == [
        "beedex serve --help`",
        "python -m beedex.server --help`",
    ]


def test_an_unknown_variable_ends_the_server_in_one_line(capsys, monkeypatch):
    monkeypatch.setenv("BEEDEX_SERVER_LANE_CAPACITY", "1")

    assert main_of_module(["--index", "x"]) == 2
    assert "did you mean BEEDEX_SERVER_LANE__CAPACITY?" in capsys.readouterr().err


def test_a_server_for_everybody_ends_in_one_line_before_it_binds(capsys, tmp_path):
    assert main(["serve", "--index", str(tmp_path), "--listen", "[::]:50051"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]

    assert last.startswith("beedex: error: listening on [::]:50051 lets other machines in")


def test_each_flag_of_the_command_has_its_key():
    named = set(inspect.signature(serve_index).parameters)

    assert named - {"config", "assignments", "print_config", "ready_file"} == {
        "index", "gallery", "listen", "threads", "tls_certificate", "tls_key", "tls_client_ca", "tokens", "insecure",
        "web",
    }  # fmt: skip
    assert len(FLAG_BY_KEY) == 10


@pytest.mark.parametrize("module", ["pydantic_settings", "tomlkit", "starlette", "opentelemetry"])
def test_what_a_plain_start_does_not_need_is_not_imported_for_it(module):
    code = (
        "import sys; from beedex.server.commands import _load; "
        f"_load(None, {{'index_dir': 'x'}}, []); print({module!r} in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown.strip() == "False"
