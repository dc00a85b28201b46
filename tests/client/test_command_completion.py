"""Completion in the shells that are on this machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent

needs = {
    shell: pytest.mark.skipif(shutil.which(shell) is None, reason=f"needs {shell}") for shell in ("bash", "zsh", "fish")
}
in_every_shell = pytest.mark.parametrize("shell", [pytest.param(shell, marks=mark) for shell, mark in needs.items()])

OPTIONS_BY_SHELL = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}


@pytest.fixture
def home(tmp_path):
    return tmp_path


@pytest.fixture
def run(home):
    """A function that runs words of a shell in a home of its own, in which `beedex` is found."""

    def run_in(shell, script):
        # The command mustn't take the shell's place, by which it finds out which shell it is.
        command = [shell, *OPTIONS_BY_SHELL[shell], "-c", f"{script}\ntrue"]
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        assert done.stderr == ""
        return done.stdout

    return run_in


BASH_COMPLETION = """
complete_words() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _beedex_completion beedex
    printf '%s\\n' "${COMPREPLY[@]}"
}
"""


@needs["bash"]
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("beedex id", {"identify"}),
        ("beedex nei", {"neighbors"}),
        ("beedex identify --wa", {"--watch"}),
        ("beedex identify --pictures si", {"sixel"}),
        ("beedex index ro", {"rollback"}),
        ("beedex status --to", {"--token-file"}),
        ("beedex identify bee", {""}),
    ],
)
def test_bash_completes_commands_options_and_values_and_leaves_files_to_itself(words, found, run):
    printed = run("bash", f'eval "$(beedex --show-completion)"\n{BASH_COMPLETION}\ncomplete_words {words}')

    assert set(printed.rstrip("\n").split("\n")) == found


@needs["fish"]
def test_fish_completes_commands_with_what_they_do(run):
    printed = run("fish", 'beedex --show-completion | source; complete -C "beedex nei"')

    assert printed.startswith("neighbors\tFind the indexed photos")


@needs["zsh"]
def test_zsh_is_told_commands_with_what_they_do(run):
    script = (
        'eval "$(_TYPER_COMPLETE_ARGS="beedex nei" _BEEDEX_COMPLETE=complete_zsh beedex | sed s/_arguments/print/)"'
    )
    assert "neighbors" in run("zsh", script)


@in_every_shell
def test_the_script_is_one_that_the_shell_can_read(shell, run, home):
    script = home / "completion"
    script.write_text(run(shell, "beedex --show-completion"))
    subprocess.run([shell, "-n", script], check=True)

    assert "beedex" in script.read_text()


@in_every_shell
def test_installing_writes_into_the_shells_own_files_and_twice_is_as_once(shell, run, home):
    files = {
        "bash": (".bashrc", ".bash_completions/beedex.sh"),
        "zsh": (".zshrc", ".zfunc/_beedex"),
        "fish": (".config/fish/completions/beedex.fish",),
    }[shell]
    run(shell, "beedex --install-completion")
    first = [(home / name).read_text() for name in files]
    run(shell, "beedex --install-completion")

    assert all(first)
    assert [(home / name).read_text().strip() for name in files] == [text.strip() for text in first]


@needs["bash"]
def test_a_shell_that_reads_what_was_installed_completes(run, home):
    run("bash", "beedex --install-completion")
    printed = run("bash", f"source {home}/.bashrc\n{BASH_COMPLETION}\ncomplete_words beedex snap")

    assert printed == "snapshots\n"


def test_completing_loads_neither_grpc_nor_anything_heavy():
    code = (
        "import sys\n"
        "from beedex.client.command import main\n"
        "main([])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    variables = {"_BEEDEX_COMPLETE": "complete_bash", "COMP_WORDS": "beedex id", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **variables}, check=True
    )

    assert done.stdout == "identify\n"
    heavy = {"grpc", "numpy", "asyncio", "PIL", "faiss", "openvino", "tensorflow", "keras"}
    assert heavy & set(done.stderr.split()) == set()
