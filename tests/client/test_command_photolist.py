"""Which photos the words of a command mean."""

import io
import os

import pytest

from beedex.client.command.photolist import NamedPhoto, NoPhotoError, list_photos


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "sub/c.webp", ".git/d.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def list_names(*words, stdin=b""):
    return [photo.name for photo in list_photos(words, io.BytesIO(stdin))]


@pytest.mark.usefixtures("folder")
def test_a_folder_is_its_photos_and_those_of_its_folders_by_name_without_hidden_ones():
    assert list_names("photos") == ["photos/a.png", "photos/b.JPG", "photos/sub/c.webp"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("photos/*", ["photos/a.png", "photos/b.JPG", "photos/sub/c.webp"]),
        ("photos/*.png", ["photos/a.png"]),
        ("photos/**/*.webp", ["photos/sub/c.webp"]),
        ("photos/[ab].*", ["photos/a.png", "photos/b.JPG"]),
    ],
)
def test_a_pattern_that_the_shell_left_is_expanded(pattern, names):
    assert list_names(pattern) == names


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder):
    (folder / "x[1].jpg").write_bytes(b"x")

    assert list_names("photos/x[1].jpg") == ["photos/x[1].jpg"]


@pytest.mark.usefixtures("folder")
def test_a_named_file_is_taken_whatever_it_is_called_and_whether_or_not_it_is_there():
    assert list_names("photos/notes.txt", "nowhere.jpg") == ["photos/notes.txt", "nowhere.jpg"]


def test_a_photo_that_is_meant_twice_is_taken_once_in_its_first_place(folder):
    os.link(folder / "a.png", folder / "other-name.png")
    (folder / "link.png").symlink_to(folder / "a.png")

    assert list_names(
        "photos/sub/c.webp", "photos/a.png", "photos/link.png", "photos/../photos/a.png", "-", "-", stdin=b"x"
    ) == [
        "photos/sub/c.webp",
        "photos/a.png",
        "-",
    ]


def test_links_in_a_circle_end(folder):
    (folder / "sub" / "up").symlink_to(folder)

    assert list_names("photos") == ["photos/a.png", "photos/b.JPG", "photos/sub/c.webp"]


def test_a_name_that_no_file_can_have_is_one_of_the_photos_and_fails_by_itself():
    name = "x" * 300

    assert list_names(name) == [name]


def test_a_dash_without_a_stdin_is_an_error_and_the_others_need_none():
    assert list_photos(["bee.jpg"], None) == [NamedPhoto("bee.jpg", "bee.jpg")]
    with pytest.raises(NoPhotoError, match="a closed stdin"):
        list_photos(["-"], None)


def test_stdin_is_a_photo_by_the_name_of_a_dash():
    assert list_photos(["-"], io.BytesIO(b"bytes")) == [NamedPhoto("-", b"bytes")]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["photos/a.png", "photos/.git/*"], None),
        (["photos/a.png", "nothing*"], "the pattern nothing*"),
        (["photos/a.png", "empty"], "the folder empty"),
        (["-"], "received nothing"),
    ],
)
def test_a_word_that_means_no_photo_is_one_error_that_names_it(words, said, tmp_path):
    (tmp_path / "empty").mkdir()
    if said is None:
        assert list_names(*words) == ["photos/a.png", "photos/.git/d.jpg"]
        return
    with pytest.raises(NoPhotoError) as caught:
        list_names(*words)
    assert said in str(caught.value)


def test_a_terminal_is_no_photo():
    class Terminal(io.BytesIO):
        def isatty(self):
            return True

    with pytest.raises(NoPhotoError, match="received a terminal"):
        list_photos(["-"], Terminal())
