"""The unit, the image and the example of deploy/ fit the server that they start."""

import configparser
import re
from pathlib import Path

import pytest

from beedex.server.config import ServerConfig
from beedex.server.settings.loading import load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def read_unit():
    """What the unit says, the last of what is said twice."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(DEPLOY / "beedex.service")
    return parser["Service"]


def read_instructions():
    """(instruction, words) of the Dockerfile, its lines joined."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def test_systemd_waits_for_longer_than_the_server_takes_to_stop():
    example = load_settings(ServerConfig, file=DEPLOY / "beedex.toml", environment={}, flags={}).config

    assert float(read_unit()["TimeoutStopSec"]) > example.grace_s + 5
    assert example.grace_s == ServerConfig.model_fields["grace_s"].default


def test_systemd_does_not_try_a_wrong_configuration_again():
    unit = read_unit()

    assert (unit["Type"], unit["Restart"], unit["RestartPreventExitStatus"]) == ("notify", "on-failure", "2")


def test_the_example_is_what_the_unit_may_read_and_write():
    unit = read_unit()
    example = load_settings(ServerConfig, file=DEPLOY / "beedex.toml", environment={}, flags={}).config

    assert example.index_dir.is_relative_to(unit["ReadWritePaths"])
    assert example.tls.certificate is not None
    assert example.access.tokens is not None
    assert not example.access.allow_insecure


def test_the_image_is_no_roots_and_its_variables_are_a_configuration():
    instructions = read_instructions()
    environment = dict(
        word.split("=", 1) for name, words in instructions if name == "ENV" for word in words.split() if "=" in word
    )
    config = load_settings(ServerConfig, environment=environment, flags={}).config

    assert [words for name, words in instructions if name == "USER"] == ["10001:10001"]
    assert not config.access.allow_insecure
    assert config.watch.http_listen == "127.0.0.1:8080"
    (check,) = [words for name, words in instructions if name == "HEALTHCHECK"]
    assert check.endswith('CMD ["python", "-m", "beedex.server.healthcheck"]')


@pytest.mark.parametrize("copied", ["protos", "index", "training", "server", "client", "pyproject.toml"])
def test_the_image_is_made_of_what_the_context_holds(copied):
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    words = {word for name, words in read_instructions() if name == "COPY" for word in words.split()}

    assert copied in kept
    assert copied in words
    assert (ROOT / copied).exists()


def test_the_image_has_what_the_lock_has():
    def read(file):
        return set(re.findall(r"^([a-z0-9._-]+==\S+)", file.read_text(), re.MULTILINE))

    assert read(DEPLOY / "requirements.txt") <= read(ROOT / "requirements.lock")
    assert read(DEPLOY / "build-requirements.txt") <= read(ROOT / "requirements.lock")
