"""Files that are read again when they change."""

import logging

import pytest

from beedex.server.access.followed import FollowedFiles, warn_of_readers
from beedex.server.errors import CredentialsError


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "file"
    file.write_text("one")
    return file


def read_checked(file):
    text = file.read_text()
    if "bad" in text:
        raise CredentialsError(f"{text} is bad")
    return text


def follow(file, **options):
    return FollowedFiles("words", [file], lambda: read_checked(file), **options)


def test_what_a_file_says_now_holds_and_nothing_is_read_twice(file):
    followed = follow(file)
    first = followed.current

    assert first == "one"
    assert followed.current is first
    file.write_text("three")
    assert followed.current == "three"


def test_a_file_that_is_replaced_is_a_change_even_at_the_same_size_and_time(file, tmp_path):
    followed = follow(file)
    other = tmp_path / "other"
    other.write_text("two")
    other.replace(file)

    assert followed.current == "two"


def test_a_link_that_points_elsewhere_is_a_change(file, tmp_path):
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(file)
    other.write_text("two")
    followed = follow(link)
    fresh = tmp_path / "fresh"
    fresh.symlink_to(other)
    fresh.replace(link)

    assert followed.current == "two"


def test_what_can_not_be_used_leaves_the_old_and_is_logged_once(file, caplog):
    followed = follow(file)
    file.write_text("bad one")
    with caplog.at_level(logging.ERROR):
        seen = [followed.current for _ in range(3)]

    assert seen == ["one"] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "the words changed to what can't be used; those before hold on: bad one is bad"
    ]
    file.write_text("good")
    assert followed.current == "good"


def test_a_file_that_goes_away_leaves_the_old_until_it_is_back(file, caplog):
    followed = follow(file)
    file.unlink()

    assert followed.current == "one"
    assert "No such file" in caplog.text
    file.write_text("back")
    assert followed.current == "back"


def test_a_look_holds_for_a_while(file):
    clock = Clock()
    followed = follow(file, look_every_s=1.0, clock=clock)
    file.write_text("three")
    clock.now_s += 0.9

    assert followed.current == "one"
    clock.now_s += 0.1
    assert followed.current == "three"


def test_contents_that_were_written_while_they_were_read_are_read_again(file):
    texts = iter(["two"])

    def read():
        text = file.read_text()
        if (late := next(texts, None)) is not None:
            file.write_text(late)
        return text

    assert FollowedFiles("words", [file], read).current == "two"


def test_files_that_never_stand_still_are_an_error(file):
    def read():
        file.write_text(file.read_text() + "x")

    with pytest.raises(CredentialsError, match="the words change faster than they can be read"):
        FollowedFiles("words", [file], read)


def test_a_file_that_is_not_there_at_the_beginning_is_an_error_with_its_name(tmp_path):
    with pytest.raises(CredentialsError, match=r"the words can't be read: .*/file: No such file"):
        follow(tmp_path / "file")


@pytest.mark.parametrize(("mode", "is_warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_private_file_that_everybody_reads_is_warned_of(file, caplog, mode, is_warned):
    file.chmod(mode)
    warn_of_readers(file)

    assert ("can be read by everybody" in caplog.text) is is_warned
