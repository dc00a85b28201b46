"""Pictures on terminals: what is written is read back by decoders that know only the protocols."""

import base64
import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from beedex.client.pictures.choice import PictureProtocol, detect_protocol
from beedex.client.pictures.sixel import encode_sixel
from beedex.client.pictures.strip import Picture, count_fitting, show_strip

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
COLUMNS, ROWS, GAP = 14, 7, 2
CELL_PX = (6, 12)


class Screen(io.StringIO):
    """A terminal of 80 x 24 that says nothing of its cells' size."""

    def fileno(self):
        raise io.UnsupportedOperation("no descriptor")

    def isatty(self):
        return True


def open_screen(**options):
    settings: dict[str, Any] = {"width": 80, "height": 24, "color_system": "truecolor"}
    return Console(file=Screen(), force_terminal=True, **(settings | options))


def encode(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return file.getvalue()


def fill(colour, height=60, width=60):
    return np.full((height, width, 3), colour, np.uint8)


def show(contents, protocol, **options):
    console = open_screen(**options)
    shown = show_strip(console, [Picture(content, f"photo {n}") for n, content in enumerate(contents)], protocol)
    assert isinstance(console.file, Screen)
    return shown, console.file.getvalue()


def decode_kitty(text):
    """Yield (keys, bytes) of each picture, its chunks joined."""
    keys: dict[str, str] = {}
    payload = ""
    for control, chunk in re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", text):
        found = dict(pair.split("=") for pair in control.split(",") if pair)
        assert len(chunk) <= 4096
        assert len(chunk) % 4 == 0
        keys, payload = keys | found, payload + chunk
        if found["m"] == "0":
            yield keys, base64.b64decode(payload, validate=True)
            keys, payload = {}, ""


def decode_iterm2(text):
    """Yield (keys, bytes) of each picture."""
    for control, payload in re.findall("\x1b\\]1337;File=([^:]*):([^\x07]*)\x07", text):
        yield dict(pair.split("=") for pair in control.split(";")), base64.b64decode(payload, validate=True)


def decode_sixel(sequence):
    """Draw a sixel sequence as DEC describes it, and return (H, W, 3) float in [0, 1]."""
    body = re.fullmatch(r'\x1bP[\d;]*q"(\d+);(\d+);(\d+);(\d+)(.*)\x1b\\', sequence, re.DOTALL)
    assert body is not None
    width, height = int(body[3]), int(body[4])
    canvas = np.full((height + 6, width, 3), np.nan)
    colours, colour, left, top = {}, None, 0, 0
    for number, system, x, y, z, count, character, control in re.findall(
        r"#(\d+)(?:;(\d);(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~$-])", body[5]
    ):
        if number:
            if system:
                assert system == "2"
                colours[number] = np.array([int(x), int(y), int(z)]) / 100
            colour = colours[number]
        elif control == "$":
            left = 0
        elif control == "-":
            left, top = 0, top + 6
        else:
            sixel, times = character or control, int(count or 1)
            for row in range(6):
                if (ord(sixel) - 63) >> row & 1:
                    canvas[top + row, left : left + times] = colour
            left += times
            assert left <= width
    assert np.isnan(canvas[height:]).all()
    return canvas[:height]


def list_sixels(text):
    return re.findall(r"\x1bP.*?\x1b\\", text, re.DOTALL)


def test_kitty_gets_a_png_that_covers_its_cells_undistorted_and_leaves_the_cursor_and_stdin_alone():
    photos = [encode(fill(RED), "JPEG"), encode(fill(BLUE, 120, 60))]
    shown, text = show(photos, PictureProtocol.KITTY)
    decoded = list(decode_kitty(text))

    assert shown
    assert len(decoded) == 2
    for (keys, content), colour, (columns, rows) in zip(decoded, (RED, BLUE), ((14, 7), (7, 7)), strict=True):
        assert (keys["a"], keys["f"], keys["q"], keys["C"]) == ("T", "100", "2", "1")
        assert (int(keys["c"]), int(keys["r"])) == (columns, rows)
        with Image.open(io.BytesIO(content)) as image:
            assert image.format == "PNG"
            assert np.abs(np.asarray(image).astype(int) - colour).max() <= 2


def test_iterm2_gets_the_file_as_it_is():
    content = encode(fill(RED), "JPEG")
    shown, text = show([content], PictureProtocol.ITERM2)
    [(keys, received)] = decode_iterm2(text)

    assert shown
    assert received == content
    assert keys == {"inline": "1", "size": str(len(content)), "width": "14", "height": "7", "preserveAspectRatio": "1"}


def test_sixels_are_the_photo_within_its_box():
    pixels = np.concatenate([fill(RED, 84, 30), fill(GREEN, 84, 54)], axis=1)
    shown, text = show([encode(pixels)], PictureProtocol.SIXEL)
    [sequence] = list_sixels(text)
    drawn = decode_sixel(sequence)

    assert shown
    assert drawn.shape == (ROWS * CELL_PX[1], COLUMNS * CELL_PX[0], 3)
    assert np.abs(drawn - pixels / 255).max() <= 0.02


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (6, 6), (13, 40)])
def test_sixels_of_any_size_are_near_the_photo(shape):
    generator = np.random.default_rng(0)
    # As many colours as are kept, so that nothing is lost.
    pixels = generator.integers(0, 2, (*shape, 3)).astype(np.uint8) * 255
    drawn = decode_sixel(encode_sixel(pixels).decode("ascii"))

    assert np.abs(drawn - pixels / 255).max() <= 0.02


def test_half_blocks_are_the_photo_two_rows_a_cell():
    pixels = np.concatenate([fill(RED, 7, 14), fill(BLUE, 7, 14)])
    shown, text = show([encode(pixels)], PictureProtocol.BLOCKS)
    lines = text.split("\n")
    rows = [re.findall(r"38;2;(\d+);(\d+);(\d+)(?:;48;2;(\d+);(\d+);(\d+))?m▀", line) for line in lines[:ROWS]]
    drawn = np.array([[list(map(int, cell)) for cell in row] for row in rows]).reshape(ROWS, COLUMNS, 2, 3)

    assert shown
    assert np.array_equal(drawn.transpose(0, 2, 1, 3).reshape(14, 14, 3), pixels)


def test_half_blocks_need_colours():
    assert show([encode(fill(RED))], PictureProtocol.BLOCKS, color_system=None) == (False, "")


@pytest.mark.parametrize("protocol", ["kitty", "iterm2", "sixel"])
def test_every_picture_has_its_place_and_the_words_stand_under_it(protocol):
    _, text = show([encode(fill(RED))] * 7, PictureProtocol(protocol))
    moves = re.findall("\x1b7(?:\x1b\\[(\\d+)C)?", text)

    # The room is made first, so that nothing scrolls while pictures are drawn.
    assert text.startswith("\n" * ROWS + f"\x1b[{ROWS}A\x1b7")
    assert [int(move or 0) for move in moves] == [place * (COLUMNS + GAP) for place in range(count_fitting(80))]
    assert text.count("\x1b8") == len(moves) == 5
    captions = text.split(f"\x1b[{ROWS}B\r")[1]
    assert captions == (" " * GAP).join(f"photo {n}".ljust(COLUMNS) for n in range(5)).rstrip() + "\n"


def test_a_photo_that_is_none_or_missing_leaves_its_place_empty():
    shown, text = show([None, b"no photo", encode(fill(RED))], PictureProtocol.SIXEL)

    assert shown
    assert len(list_sixels(text)) == 1
    assert f"\x1b[{2 * (COLUMNS + GAP)}C\x1bP" in text
    assert show([None, b"no photo"], PictureProtocol.SIXEL) == (False, "")


def test_a_terminal_that_is_too_low_shows_none():
    assert show([encode(fill(RED))], PictureProtocol.KITTY, height=ROWS + 1) == (False, "")


@pytest.mark.parametrize(
    ("protocol", "kind", "can"),
    [
        ("iterm2", "JPEG", True),
        ("kitty", "PNG", True),
        ("kitty", "JPEG", False),
        ("sixel", "PNG", False),
        ("blocks", "PNG", False),
    ],
)
def test_without_pillow_only_what_needs_no_decoding_is_shown(protocol, kind, can, monkeypatch):
    monkeypatch.setattr("beedex.client.pictures.strip.can_decode", lambda: False)
    content = encode(fill(RED, 60, 120), kind)
    shown, text = show([content], PictureProtocol(protocol))

    assert shown is can
    assert bool(text) is can
    if protocol == "kitty" and can:
        [(keys, received)] = decode_kitty(text)
        assert received == content
        assert (keys["c"], keys["r"]) == ("14", "4")


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-256color"}, "none"),
        ({}, "none"),
        ({"TERM": "dumb"}, "none"),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, "none"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, "none"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-sixel"}, "sixel"),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, "none"),
        ({"TERM": "tmux-256color", "LC_TERMINAL": "iTerm2"}, "none"),
        ({"TERM": "xterm-kitty", "TMUX": "default,1,0"}, "none"),
    ],
)
def test_only_a_terminal_that_is_known_for_pictures_gets_them(environment, protocol):
    assert detect_protocol(environment, is_terminal=True) == protocol
    assert detect_protocol(environment, is_terminal=False) == "none"
