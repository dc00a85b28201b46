"""How long the command takes to say its help, and to complete a word, beside Python with typer and rich alone.

    .venv/bin/python tests/benchmarks/command_start.py --rounds 15

Each is the fastest of its rounds, in processes of their own, taken in turns.
"""

import argparse
import os
import subprocess
import sys
import time

BARE = [sys.executable, "-c", "import typer, rich"]

# What typer itself takes for a help of one command, which no program that uses it can go below.
LEAST = [sys.executable, "-c", "import typer; app = typer.Typer(); app.command()(lambda: None); app(['--help'])"]

COMMAND = [sys.executable, "-m", "beedex.client"]
COMPLETION = {"_BEEDEX_COMPLETE": "complete_bash", "COMP_WORDS": "beedex id", "COMP_CWORD": "1"}


def measure(command: list[str], variables: dict[str, str]) -> float:
    """Return the seconds that a process takes."""
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env={**os.environ, **variables})
    return time.perf_counter() - started


def main() -> None:
    """Print the times as multiples of the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    runs: dict[str, tuple[list[str], dict[str, str]]] = {
        "import typer, rich": (BARE, {}),
        "the help of a typer app of one command": (LEAST, {}),
        "beedex --help": ([*COMMAND, "--help"], {}),
        "beedex identify --help": ([*COMMAND, "identify", "--help"], {}),
        "completing a word": (COMMAND, COMPLETION),
    }
    best = {name: float("inf") for name in runs}
    for _ in range(rounds):
        for name, (command, variables) in runs.items():
            best[name] = min(best[name], measure(command, variables))
    bare = best["import typer, rich"]
    for name, seconds in best.items():
        print(f"{name:40} {seconds / bare:5.2f} x  {seconds * 1000:6.0f} ms")


if __name__ == "__main__":
    main()
