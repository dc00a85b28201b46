"""Tokens: how they are made, kept and recognized, and `beedex token new`."""

import hashlib
import json
import os
import re
import stat

import pytest

from beedex.client.command import main
from beedex.server.access.roles import Role
from beedex.server.access.tokens import Holder, TokenBook, hash_token, make_token, read_tokens
from beedex.server.errors import CredentialsError

DIGEST = hash_token("a token")


def find(book, token):
    """The holder that there must be."""
    holder = book.find(token)
    assert holder is not None
    return holder


def test_a_token_is_256_random_bits_behind_a_prefix_that_scanners_find():
    tokens = {make_token() for _ in range(100)}

    assert len(tokens) == 100
    # 43 characters of 64 kinds are 258 bits.
    assert all(re.fullmatch(r"beedex_[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_what_is_kept_is_the_sha256_of_what_is_shown():
    assert hash_token("beedex_x") == hashlib.sha256(b"beedex_x").hexdigest()


def test_a_token_is_found_whichever_line_it_is_on_and_a_near_one_is_not():
    tokens = [make_token() for _ in range(5)]
    book = TokenBook(Holder(name=f"n{i}", role=Role.READER, digest=hash_token(t)) for i, t in enumerate(tokens))

    assert [find(book, token).name for token in tokens] == ["n0", "n1", "n2", "n3", "n4"]
    for near in (tokens[0][:-1], tokens[0] + "x", tokens[0].upper(), "", hash_token(tokens[0]), "\udcff"):
        assert book.find(near) is None


def test_a_token_file_has_comments_and_several_tokens_of_one_holder(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# who\n\nbob reader {DIGEST}  # the old one\n  bob admin {hash_token('new')}\n")
    book = read_tokens(file)

    assert len(book) == 2
    assert (find(book, "a token").role, find(book, "new").role) == (Role.READER, Role.ADMIN)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("bob reader", "line 1: expected `name role sha256`, received 2 words"),
        (f"bob the reader {DIGEST}", "received 4 words"),
        (f"bob root {DIGEST}", "line 1: the second word is expected to be reader or admin"),
        (f"../bob reader {DIGEST}", "line 1: the first word is expected to be a name"),
        (f"{'b' * 65} reader {DIGEST}", "line 1: the first word is expected to be a name"),
        (f"\nbob reader {DIGEST[:-1]}", "line 2: the third word .* received 63 characters"),
        (f"bob reader {DIGEST.upper()}", "lower-case hex"),
        (f"bob reader {DIGEST}\nann admin {DIGEST}", "line 2: the same token is on an earlier line"),
    ],
)
def test_a_token_file_that_is_none_is_refused_with_line_and_reason(tmp_path, text, fault):
    file = tmp_path / "tokens"
    file.write_text(text)

    with pytest.raises(CredentialsError, match=fault):
        read_tokens(file)


@pytest.mark.parametrize("line", ["{token}", "bob reader {token}", "bob {token} reader", "{token} reader bob"])
def test_a_token_that_was_put_into_the_file_by_mistake_is_not_quoted(tmp_path, line):
    file, token = tmp_path / "tokens", make_token()
    file.write_text(line.format(token=token))

    with pytest.raises(CredentialsError) as caught:
        read_tokens(file)

    assert token not in str(caught.value)
    assert token not in repr(caught.value)


def test_a_token_file_that_everybody_may_change_is_refused(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"bob reader {DIGEST}")
    file.chmod(0o666)

    with pytest.raises(CredentialsError, match=r"can be changed by everybody .*-rw-rw-rw-.*; chmod o-w"):
        read_tokens(file)


def test_a_token_file_of_other_bytes_is_refused(tmp_path):
    file = tmp_path / "tokens"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(CredentialsError, match="expected lines"):
        read_tokens(file)


def test_what_knows_a_token_does_not_show_it():
    holder = Holder(name="bob", role=Role.READER, digest=DIGEST)

    assert DIGEST not in repr(holder)
    assert DIGEST not in repr(TokenBook([holder]))


def test_token_new_prints_a_token_once_and_the_line_that_recognizes_it(capsys, tmp_path):
    assert main(["token", "new", "--role", "admin", "--name", "bob", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    file = tmp_path / "tokens"
    file.write_text(answer["line"])

    assert (answer["name"], answer["role"]) == ("bob", "admin")
    assert answer["token"] not in answer["line"]
    assert read_tokens(file).find(answer["token"]) == Holder(
        name="bob", role=Role.ADMIN, digest=hash_token(answer["token"])
    )


def test_token_new_adds_to_a_file_and_keeps_its_mode_and_its_last_open_line(capsys, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"ann admin {DIGEST}")
    file.chmod(0o640)

    assert main(["token", "new", "--name", "bob", "--file", str(file)]) == 0
    shown = capsys.readouterr().out
    book = read_tokens(file)

    assert [find(book, token).name for token in re.findall("beedex_[A-Za-z0-9_-]+", shown)] == ["bob"]
    assert find(book, "a token").name == "ann"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_token_new_makes_the_file(capsys, tmp_path):
    assert main(["token", "new", "--name", "bob", "--file", str(tmp_path / "tokens")]) == 0
    assert len(read_tokens(tmp_path / "tokens")) == 1
    assert "bob reader" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a b", "a\nroot admin 0", "-x", "é", "x" * 65, "#"])
def test_token_new_refuses_names_that_would_say_something_else_in_the_file(capsys, tmp_path, name):
    file = tmp_path / "tokens"

    assert main(["token", "new", f"--name={name}", "--file", str(file)]) == 1
    assert "a token's name is expected to be" in capsys.readouterr().err
    assert not file.exists()


def test_token_new_adds_nothing_to_a_file_that_it_does_not_understand(capsys, tmp_path):
    file = tmp_path / "tokens"
    file.write_text("not a token file")

    assert main(["token", "new", "--name", "bob", "--file", str(file)]) == 1
    assert "line 1: expected `name role sha256`" in capsys.readouterr().err
    assert file.read_text() == "not a token file"


def test_token_new_says_where_it_can_not_write(capsys, tmp_path):
    assert main(["token", "new", "--name", "bob", "--file", os.fspath(tmp_path / "no" / "tokens")]) == 1
    assert "can't be written: No such file or directory" in capsys.readouterr().err
