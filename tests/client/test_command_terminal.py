"""The commands on a terminal, in a pipe, and when they are interrupted: processes of their own."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading

import pytest

PATIENCE_S = 60
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*3\d(?:;\d+)*m")
ESCAPE = b"\x1b"


class Terminal:
    """A terminal of 100 columns, and what was written on it."""

    def __init__(self):
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 1000, 600))
        self._written = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        # Reading fails once nobody has the other end open.
        while True:
            try:
                self._written += os.read(self._ours, 65536)
            except OSError:
                return

    def finish(self):
        os.close(self.theirs)
        self._reader.join(PATIENCE_S)
        os.close(self._ours)
        return bytes(self._written)


def start(address, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, variables=None):
    kept = {"PATH", "HOME", "PYTHONPATH", "LANG"}
    environment = {name: value for name, value in os.environ.items() if name in kept}
    environment |= {"TERM": "xterm-256color", "BEEDEX_TARGET": address} | (variables or {})
    command = [sys.executable, "-m", "beedex.client", *map(str, words)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)


def run_on_terminal(address, *words, **variables):
    terminal = Terminal()
    with start(address, *words, stdout=terminal.theirs, stderr=terminal.theirs, variables=variables) as process:
        code = process.wait(PATIENCE_S)
    return code, terminal.finish()


def run_in_pipe(address, *words, **variables):
    with start(address, *words, variables=variables) as process:
        printed, said = process.communicate(timeout=PATIENCE_S)
    return process.returncode, printed, said


@pytest.fixture
def photo(tiny_gallery):
    return tiny_gallery / "amber" / "amber_000.jpg"


def test_a_terminal_has_colours(address, photo):
    code, written = run_on_terminal(address, "identify", photo)

    assert code == 0
    assert b"\x1b[1;32mMATCH" in written


def test_no_color_is_honoured(address, photo):
    code, written = run_on_terminal(address, "identify", photo, NO_COLOR="1")

    assert code == 0
    assert b"MATCH" in written
    assert COLOUR.search(written) is None


def test_a_pipe_has_no_colours_unless_they_are_forced(address, photo):
    code, printed, said = run_in_pipe(address, "identify", photo)
    assert (code, said) == (0, b"")
    assert ESCAPE not in printed

    _, printed, _ = run_in_pipe(address, "identify", photo, FORCE_COLOR="1")
    assert COLOUR.search(printed) is not None


def test_many_photos_show_a_bar_on_a_terminal_and_the_document_stays_clean(address, tiny_gallery):
    terminal = Terminal()
    words = ("identify", tiny_gallery, "--json")
    with start(address, *words, stderr=terminal.theirs) as process:
        printed, _ = process.communicate(timeout=PATIENCE_S)
    drawn = terminal.finish()

    assert len(json.loads(printed)) == 18
    assert b"18/18" in drawn
    assert b"photos" in drawn


def test_tables_come_whole_between_two_drawings_of_the_bar(address, tiny_gallery):
    code, written = run_on_terminal(address, "identify", tiny_gallery, "-k", "1")
    lines = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", written).replace(b"\r", b"\n").split(b"\n")

    assert code == 0
    assert sum(b"MATCH" in line for line in lines) == 18
    assert not [line for line in lines if b"MATCH" in line and b"/18" in line]


def test_few_photos_in_a_pipe_are_not_commented(address, tiny_gallery):
    code, _, said = run_in_pipe(address, "identify", tiny_gallery, "--json")

    assert (code, said) == (0, b"")


@pytest.mark.parametrize(
    ("variables", "begin"),
    [
        ({"TERM_PROGRAM": "iTerm.app"}, b"\x1b]1337;File="),
        ({"TERM": "xterm-kitty"}, b"\x1b_Ga=T"),
        ({"TERM": "foot"}, b"\x1bP0;1;0q"),
    ],
)
def test_a_terminal_that_is_known_for_pictures_shows_the_query_and_its_neighbors(variables, begin, address, photo):
    code, written = run_on_terminal(address, "identify", photo, "-k", "2", **variables)

    assert code == 0
    assert written.count(begin) == 3
    assert b"query" in written


def test_other_terminals_and_pipes_show_no_pictures(address, photo):
    _, written = run_on_terminal(address, "identify", photo)
    assert b"query" not in written
    _, written = run_on_terminal(address, "identify", photo, "--pictures", "none", TERM="xterm-kitty")
    assert b"query" not in written
    _, printed, _ = run_in_pipe(address, "identify", photo, TERM="xterm-kitty")
    assert ESCAPE not in printed


def test_a_photo_that_comes_through_a_pipe_of_a_name_is_read_once(address, photo, tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(photo.read_bytes()), daemon=True).start()
    code, written = run_on_terminal(address, "identify", pipe, "-k", "2", "--pictures", "iterm2")

    assert code == 0
    assert written.count(b"\x1b]1337;File=") == 2


def test_pictures_that_were_asked_for_and_can_not_be_shown_are_told_of_once(address, tiny_gallery):
    photos = sorted(tiny_gallery.glob("amber/*.jpg"))[:2]
    code, printed, said = run_in_pipe(address, "identify", *photos, "--pictures", "blocks")

    assert code == 0
    assert printed.count(b"MATCH") == 2
    assert said.count(b"blocks need colours") == 1


def test_ctrl_c_ends_with_what_was_done_so_far(address, photo, tmp_path):
    never = tmp_path / "never.jpg"
    os.mkfifo(never)
    with start(address, "identify", photo, never) as process:
        # Up to the empty line behind the first answer.
        assert process.stdout is not None
        shown = list(iter(process.stdout.readline, b"\n"))
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=PATIENCE_S)

    assert (process.returncode, rest) == (130, b"")
    assert b"MATCH" in shown[0]
    assert said == b"beedex: interrupted: 1 of 2 photos were answered\n"


def test_ctrl_c_leaves_one_document_of_what_was_done_so_far(address, photo, tmp_path):
    never = tmp_path / "never.jpg"
    os.mkfifo(never)
    terminal = Terminal()
    words = ("identify", photo, never, "--json")
    with start(address, *words, stderr=terminal.theirs) as process:
        while b"1/2" not in bytes(terminal._written):
            terminal._reader.join(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=PATIENCE_S)
    terminal.finish()

    assert process.returncode == 130
    assert [answer["family"] for answer in json.loads(printed)] == ["amber"]


def test_ctrl_c_leaves_no_vectors(address, photo, tmp_path):
    never, out = tmp_path / "never.jpg", tmp_path / "vectors.npy"
    os.mkfifo(never)
    terminal = Terminal()
    with start(address, "embed", photo, never, "--out", out, stderr=terminal.theirs) as process:
        while b"1/2" not in bytes(terminal._written):
            terminal._reader.join(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    terminal.finish()

    assert process.returncode == 130
    assert sorted(tmp_path.iterdir()) == [never]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_every_name_and_every_encoding_can_be_printed(encoding, address, photo, tmp_path):
    odd = os.fsencode(tmp_path) + b"/b\xffe\xc3\xa9.jpg"
    shutil.copy(photo, odd)
    variables = {"PYTHONIOENCODING": encoding}
    code, printed, said = run_in_pipe(address, "identify", tmp_path, "--json", **variables)
    assert (code, said) == (0, b"")
    [answer] = json.loads(printed.decode(encoding))
    assert os.fsencode(answer["photo"]) == odd

    code, printed, said = run_in_pipe(address, "identify", tmp_path, **variables)
    assert (code, said) == (0, b"")
    assert b"MATCH" in printed


@pytest.mark.skipif(shutil.which("head") is None, reason="needs head")
def test_a_reader_that_goes_away_in_the_middle_is_no_error(address, tiny_gallery):
    with start(address, "identify", tiny_gallery) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        head = subprocess.run(["head", "-n", "1"], stdin=process.stdout, capture_output=True, check=True)  # noqa: S607
        process.stdout.close()
        said = process.stderr.read()

    assert head.stdout.count(b"\n") == 1
    assert said == b""
