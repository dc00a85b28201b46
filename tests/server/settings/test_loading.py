"""The configuration out of file, variables and flags."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from beedex.server.config import ServerConfig
from beedex.server.errors import ConfigError
from beedex.server.settings.effective import render_effective
from beedex.server.settings.keys import list_keys
from beedex.server.settings.loading import load_settings

SECRET = "hunter2-hunter2"  # noqa: S105 - made up


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Inner(Section):
    """Deeper.

    Attributes:
        size: how large it is,
            in all.
        files: some files.
        headers: who we are.
        secret: is secret.
    """

    size: Annotated[int, Field(ge=1)] = 3
    files: tuple[Path, ...] = ()
    headers: dict[str, SecretStr] = {}
    secret: SecretStr | None = None


class Outer(Section):
    """A configuration with every kind of key.

    Attributes:
        place: a file.
    """

    place: Path
    words: tuple[str, ...] = ("a",)
    share: float = 0.5
    is_on: bool = False
    names: dict[str, str] = {}
    inner: Inner = Inner()


@pytest.fixture
def write(tmp_path):
    def write_file(text):
        path = tmp_path / "conf" / "c.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write_file


def load(model=Outer, *, file=None, environment=None, assignments=(), **flags):
    named = {name: (f"--{name}", value) for name, value in flags.items()}
    return load_settings(model, file=file, environment=environment or {}, flags=named, assignments=assignments)


def fail(*args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        load(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_flags_win_over_assignments_over_variables_over_the_file_over_defaults(write):
    file = write('place = "/file"\nshare = 0.1\nis_on = true\nwords = ["f"]\n[inner]\nsize = 10\n')
    settings = load(
        file=file,
        environment={
            "BEEDEX_SERVER_PLACE": "/variable",
            "BEEDEX_SERVER_SHARE": "0.2",
            "BEEDEX_SERVER_INNER__SIZE": "20",
        },
        assignments=["inner.size=30", "place=/assignment"],
        place="/flag",
    )

    assert settings.config == Outer(place=Path("/flag"), share=0.2, is_on=True, words=("f",), inner=Inner(size=30))
    assert settings.places == {
        "place": "--place",
        "share": "BEEDEX_SERVER_SHARE",
        "is_on": f"{file}, is_on",
        "words": f"{file}, words",
        "inner.size": "--set inner.size",
    }


def test_a_flag_that_was_not_given_wins_over_nothing():
    assert load(environment={"BEEDEX_SERVER_PLACE": "/variable"}, place=None).config.place == Path("/variable")


def test_every_kind_of_value_can_be_said_by_a_variable():
    config = load(
        environment={
            "BEEDEX_SERVER_PLACE": "here",
            "BEEDEX_SERVER_WORDS": "a, b,c",
            "BEEDEX_SERVER_IS_ON": "true",
            "BEEDEX_SERVER_NAMES": "a=1,b=x=y",
            "BEEDEX_SERVER_INNER__FILES": "x,/y",
            "BEEDEX_SERVER_INNER__SECRET": SECRET,
        }
    ).config

    assert (config.place, config.words, config.is_on) == (Path("here"), ("a", "b", "c"), True)
    assert config.names == {"a": "1", "b": "x=y"}
    assert config.inner.files == (Path("x"), Path("/y"))
    assert config.inner.secret == SecretStr(SECRET)


def test_relative_paths_in_the_file_are_relative_to_it_and_others_are_not(write):
    file = write('place = "p"\n[inner]\nfiles = ["x", "/y", "../z"]\n')

    assert load(file=file).config.place == file.parent / "p"
    assert load(file=file).config.inner.files == (file.parent / "x", Path("/y"), file.parent / ".." / "z")
    assert load(file=file, place="q").config.place == Path("q")


def test_an_empty_variable_counts_as_not_set():
    assert load(environment={"BEEDEX_SERVER_SHARE": ""}, place="x").config.share == 0.5


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "sahre = 1",
            "there is no key sahre (did you mean share?); known are place, words, share, is_on, names, inner.size",
        ),
        (
            "[inner]\nsiez = 1",
            "there is no key inner.siez (did you mean inner.size?); known are inner.size, inner.files",
        ),
        ("size = 1", "there is no key size (did you mean inner.size?)"),
        ("[iner]\nsize = 1", "there is no key iner"),
        ("[share]\nx = 1", "share: expected a valid number, received \"{'x': 1}\""),
        ("inner = 3", "inner is expected to be a section, [inner], received a value"),
        ("zzzzzz = 1", "there is no key zzzzzz; known are place"),
    ],
)
def test_a_key_that_there_is_not_is_refused_with_the_known_ones(write, text, fault):
    file = write(text)
    message = fail(file=file, place="x")

    assert message.startswith(str(file))
    assert fault in message


@pytest.mark.parametrize(
    ("variable", "fault"),
    [
        ("BEEDEX_SERVER_SAHRE", "(did you mean BEEDEX_SERVER_SHARE?); known are BEEDEX_SERVER_PLACE, "),
        ("BEEDEX_SERVER_INNER_SIZE", "(did you mean BEEDEX_SERVER_INNER__SIZE?)"),
        ("BEEDEX_SERVER_INNER__SIEZ", "known are BEEDEX_SERVER_INNER__SIZE, BEEDEX_SERVER_INNER__FILES, "),
        ("BEEDEX_SERVER_INNER", "known are BEEDEX_SERVER_PLACE"),
        ("beedex_server_share", "(did you mean BEEDEX_SERVER_SHARE?)"),
        ("BEEDEX_SERVER_PORT", "known are BEEDEX_SERVER_PLACE"),
    ],
)
def test_a_variable_that_there_is_not_is_refused_with_the_known_ones(variable, fault):
    message = fail(environment={variable: "secret value"}, place="x")

    assert message.startswith(f"there is no environment variable {variable}")
    assert fault in message
    assert "secret value" not in message


def test_variables_that_kubernetes_sets_for_a_service_of_that_name_are_none_of_ours():
    environment = {
        "BEEDEX_SERVER_SERVICE_HOST": "10.0.0.1",
        "BEEDEX_SERVER_SERVICE_PORT": "50051",
        "BEEDEX_SERVER_SERVICE_PORT_GRPC": "50051",
        "BEEDEX_SERVER_PORT": "tcp://10.0.0.1:50051",
        "BEEDEX_SERVER_PORT_50051_TCP": "tcp://10.0.0.1:50051",
        "BEEDEX_SERVER_PORT_50051_TCP_PROTO": "tcp",
        "BEEDEX_SERVER_PORT_50051_TCP_ADDR": "10.0.0.1",
        "BEEDEX_SERVER_HTTP_SERVICE_HOST": "10.0.0.2",
        "OTHER": "x",
    }

    assert load(environment=environment, place="x").places == {"place": "--place"}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (
            {"environment": {"BEEDEX_SERVER_SHARE": "half"}},
            "BEEDEX_SERVER_SHARE: expected a valid number, .* 'half'",
        ),
        ({"assignments": ["inner.size=0"]}, "--set inner.size: expected greater than or equal to 1, received '0'"),
        ({"assignments": ["inner.size"]}, "--set: expected KEY=VALUE"),
        ({"assignments": ["inner.siez=1"]}, r"--set: there is no key inner.siez \(did you mean inner.size\?\)"),
        ({"assignments": ["names=x"]}, "--set names: expected NAME=VALUE,NAME=VALUE"),
        ({"is_on": "perhaps"}, "--is_on: expected a valid boolean, .*received 'perhaps'"),
    ],
)
def test_a_wrong_value_is_one_line_with_place_expected_and_received(given, fault):
    with pytest.raises(ConfigError, match=f"^{fault}"):
        load(**{"place": "x", **given})


def test_a_wrong_value_of_the_file_names_the_file_and_the_key(write):
    file = write("[inner]\nsize = 0\nfiles = ['a', 1]\n")

    assert fail(file=file, place="x") == (
        f"{file}, inner.size: expected greater than or equal to 1, received 0; "
        f"{file}, inner.files: Input is not a valid path for <class 'pathlib.Path'>, received 1"
    )


def test_a_key_that_must_be_there_is_named_with_its_ways():
    assert fail() == "place is missing; give it by a flag, as BEEDEX_SERVER_PLACE, or in the configuration file"


def test_a_rule_over_several_keys_names_the_section():
    message = fail(ServerConfig, index_dir="x", assignments=["tls.key=k"])

    assert message == "tls: certificate and key go together: expected both or neither, received one"


def test_a_rule_of_our_own_says_what_was_received_once():
    message = fail(ServerConfig, index_dir="x", assignments=["listen=nowhere"])

    assert message == "--set listen: listen must be HOST:PORT, such as 127.0.0.1:50051, received listen='nowhere'"


def test_a_long_wrong_value_is_cut(write):
    assert len(fail(file=write(f'share = "{"x" * 10_000}"'), place="x")) < 400


@pytest.mark.parametrize(
    ("text", "fault"), [("a = ", "is expected to be TOML: Invalid value"), (b"\xff", "is expected to be TOML: 'utf-8'")]
)
def test_a_file_that_is_no_toml_is_refused(tmp_path, text, fault):
    file = tmp_path / "c.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())

    assert fault in fail(file=file, place="x")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert (
        fail(file=tmp_path / "none")
        == f"the configuration {tmp_path / 'none'} can't be read: No such file or directory"
    )


@pytest.mark.parametrize(
    "source",
    [
        {"assignments": [f"inner.headers={SECRET}"]},
        {"file": f'[inner]\nsecret = ["{SECRET}"]\n'},
        {"file": f'[inner]\nheaders = "{SECRET}"\n'},
        {"file": f'[inner]\nsecrte = "{SECRET}"\n'},
        {"file": f'[inner]\nsecret = "{SECRET}'},
        {"environment": {"BEEDEX_SERVER_INNER__SECRTE": SECRET}},
        {"environment": {"BEEDEX_SERVER_INNER__HEADERS": SECRET}},
    ],
)
def test_no_error_quotes_a_secret(write, source):
    if "file" in source:
        source = {"file": write(source["file"])}
    with pytest.raises(ConfigError) as caught:
        load(place="x", **source)

    links = [caught.value, caught.value.__cause__, caught.value.__context__ if caught.value.__cause__ else None]
    assert SECRET not in " ".join(map(repr, links))


def test_what_is_printed_is_a_file_with_the_same_configuration_but_secrets(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = write('words = ["\\u00e9 \\"x\\"", "\\u007f\\U0001F41D"]\nnames = {"a b" = "c"}\n')
    settings = load(
        file=file,
        environment={"BEEDEX_SERVER_INNER__SECRET": SECRET, "BEEDEX_SERVER_INNER__HEADERS": f"authorization={SECRET}"},
        assignments=["inner.files=x,/y", "is_on=yes"],
        place="p",
    )
    text = render_effective(settings)
    again = load(file=write(text)).config

    assert SECRET not in text
    assert "# secret is secret  # BEEDEX_SERVER_INNER__SECRET" in text.splitlines()
    assert f'place = "{tmp_path}/p"  # --place' in text.splitlines()
    assert "size = 3  # default" in text.splitlines()
    expected = settings.config.model_copy(update={"place": tmp_path / "p"}).model_dump(exclude={"inner"})
    assert again.model_dump(exclude={"inner"}) == expected
    assert again.inner.files == (tmp_path / "x", Path("/y"))
    assert again.inner.secret is None


def test_no_text_of_a_source_breaks_out_of_its_comment(tmp_path):
    file = tmp_path / "a\n[inner]\nsize = 7\n#.toml"
    file.write_text('share = 0.25\nplace = "/x"')
    text = render_effective(load(file=file))
    again = tmp_path / "again.toml"
    again.write_text(text)

    assert load(file=again).config == load(file=file).config


def test_secrets_are_masked_wherever_a_configuration_is_shown():
    config = load(environment={"BEEDEX_SERVER_INNER__SECRET": SECRET}, place="x").config

    assert SECRET not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"


def test_what_a_key_means_is_what_its_docstring_says():
    keys = list_keys(Outer)

    assert keys["inner.size"].text == "how large it is, in all."
    assert keys["place"].text == "a file."
    assert keys["words"].text == ""
