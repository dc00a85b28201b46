"""The main job from end to end, on drawn photos: draw, train, index, serve, identify.

Every step is a `beedex` command in a process of its own, printed before it runs, so that a reader can do the same with
photos of their own. Held-out photos show individuals that no step before has seen.
"""

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["DemoError", "DemoSettings", "run_demo"]

# The seeds draw different individuals: none of the second gallery is in the first. The drawings were not tuned on the
# second one.
GALLERY_SEED = 7
HELD_OUT_SEED = 1009

# Loading OpenVINO and the snapshot takes one or two seconds on two cores; a loaded machine is slower.
SERVER_START_S = 120.0
SERVER_STOP_S = 30.0
POLL_S = 0.05


class DemoError(Exception):
    """A step of the demo failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoSettings:
    """How large a demo is.

    Attributes:
        home: where everything is written; what is there from an earlier demo is used again.
        per_family: photos to train on, for each of the six types.
        held_out_per_family: photos to identify.
        weights: of the backbone, as for `beedex train`.
    """

    home: Path
    per_family: int = 24
    held_out_per_family: int = 16
    weights: str = "bundled"


@dataclass(slots=True)
class _Steps:
    """Runs commands, says which, and keeps their times."""

    say: Callable[[str], None]
    show_output: bool
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, step: str, *words: str | Path, capture: bool = False, spelled: str = "") -> str:
        """Run one command to its end and return its stdout if *capture*.

        It is printed as *spelled*, where that is given: as a shell would expand it to the same words.
        """
        self.say("$ " + (spelled or " ".join(["beedex", *map(str, words)])))
        started = time.monotonic()
        stdout = subprocess.PIPE if capture else None if self.show_output else sys.stderr
        done = subprocess.run(_spell(words), stdout=stdout, text=True, check=False)  # noqa: S603 - our own command
        self.seconds[step] = round(time.monotonic() - started, 1)
        if done.returncode != 0:
            raise DemoError(f"the step `{step}` failed with exit code {done.returncode}; its own error stands above")
        return done.stdout or ""


def run_demo(settings: DemoSettings, *, say: Callable[[str], None], show_output: bool) -> dict[str, Any]:
    """Run all steps.

    Args:
        settings: how large, and where.
        say: takes each line that the demo itself prints.
        show_output: whether the steps print on stdout, too; else on stderr.

    Returns:
        `recall_at_1` of the answers over gRPC, `frozen_recall_at_1` of the untrained features on the same photos,
        `chance_recall_at_1`, `n`, `answers` as `identify --json` has them, and `seconds` by step.

    Raises:
        DemoError: a step failed.
    """
    home = settings.home
    home.mkdir(parents=True, exist_ok=True)
    gallery, held_out, bundle, index = (home / name for name in ("gallery", "held-out", "embedder", "index"))
    steps = _Steps(say, show_output)
    _draw(steps, "draw", gallery, settings.per_family, GALLERY_SEED)
    _draw(steps, "draw_held_out", held_out, settings.held_out_per_family, HELD_OUT_SEED)
    cache = home / "cache"
    steps.run("train", "train", gallery, "--out", bundle, "--weights", settings.weights, "--cache", cache)
    steps.run("index", "index", "build", gallery, "--embedder", bundle, "--index", index)
    evaluated = steps.run("evaluate", "evaluate", bundle, held_out, "--reference", gallery, "--json", capture=True)
    family_by_photo = _read_families(held_out)
    with _serve(steps, index, home / "server.address") as target:
        some = _choose_one_of_each(family_by_photo)[:3]
        steps.run("identify_some", "identify", *some, "--target", target, "-k", "3")
        options = ("--target", target, "-k", "3", "--json")
        spelled = " ".join(["beedex", "identify", f"{held_out}/*/*.jpg", *options])
        answered = steps.run("identify", "identify", *family_by_photo, *options, capture=True, spelled=spelled)
    offline, answers = json.loads(evaluated), json.loads(answered)
    right = [answer["neighbors"][0]["family"] == family_by_photo[answer["photo"]] for answer in answers]
    return {
        "n": len(answers),
        "recall_at_1": sum(right) / len(right),
        "frozen_recall_at_1": offline["frozen"]["recall_at_1"]["value"],
        "chance_recall_at_1": offline["chance_recall_at_1"],
        "offline_recall_at_1": offline["recall_at_1"],
        "answers": answers,
        "seconds": steps.seconds,
    }


def _draw(steps: _Steps, step: str, directory: Path, per_family: int, seed: int) -> None:
    steps.run(step, "gallery", "draw", directory, "--per-family", str(per_family), "--seed", str(seed))


def _read_families(gallery: Path) -> dict[str, str]:
    """Return the family of each photo of a drawn gallery, by the photo's path."""
    with (gallery / "gallery.csv").open(newline="", encoding="utf-8") as file:
        return {str(gallery / row["path"]): row["family"] for row in csv.DictReader(file)}


def _choose_one_of_each(family_by_photo: dict[str, str]) -> list[str]:
    return list({family: photo for photo, family in reversed(family_by_photo.items())}.values())


@contextmanager
def _serve(steps: _Steps, index: Path, address: Path) -> Iterator[str]:
    """Run the server while the block runs, and yield its HOST:PORT."""
    words = ("serve", "--index", index, "--listen", "127.0.0.1:0", "--ready-file", address)
    steps.say("$ " + " ".join(["beedex", *map(str, words)]) + " &")
    address.unlink(missing_ok=True)
    started = time.monotonic()
    stdout = None if steps.show_output else sys.stderr
    server = subprocess.Popen(_spell(words), stdout=stdout)  # noqa: S603 - our own command
    try:
        while not address.exists():
            if server.poll() is not None:
                raise DemoError(f"the server ended with exit code {server.returncode}; its own error stands above")
            if time.monotonic() - started > SERVER_START_S:
                raise DemoError(f"the server wasn't ready after {SERVER_START_S:.0f} s; see what it printed above")
            time.sleep(POLL_S)
        steps.seconds["serve"] = round(time.monotonic() - started, 1)
        yield address.read_text().strip()
    finally:
        server.terminate()
        try:
            server.wait(SERVER_STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _spell(words: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-m", "beedex.client", *map(str, words)]
