"""How long the client takes to import, beside grpc alone.

    python tests/benchmarks/client_import.py [--rounds 15]

Each import is timed within a fresh process, without the start of Python; the processes take turns. The package loads
nothing before a name is asked of it, and is to take at most 1.5 times what grpc takes. The first name loads the rest;
whoever makes calls needs grpc and the messages, so that these are the floor.
"""

import argparse
import statistics
import subprocess
import sys
from collections import defaultdict

MOST_RATIO = 1.5

TIMED = "import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"

BASE = "import grpc"
CLIENT = "import beedex.client"
MESSAGES = "import grpc; from beedex.v1 import embedding_pb2, index_pb2, search_pb2"
STATEMENTS = (BASE, CLIENT, MESSAGES, "from beedex.client import Client")


def time_import(statement: str) -> float:
    """Return the seconds that a statement takes in a fresh process."""
    command = [sys.executable, "-c", TIMED.format(statement=statement)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> int:
    """Print medians and ratios; fail if the client takes too long."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15, help="how often each is imported")
    rounds = parser.parse_args().rounds
    seconds = defaultdict(list)
    for count in range(rounds + 1):
        for statement in STATEMENTS:
            taken_s = time_import(statement)
            # The first round reads the files from the disk.
            if count:
                seconds[statement].append(taken_s)
    medians = {statement: statistics.median(taken) for statement, taken in seconds.items()}
    for statement, median in medians.items():
        print(f"{statement:72} {median * 1000:6.0f} ms  {median / medians[BASE]:5.2f}")
    return 0 if medians[CLIENT] <= MOST_RATIO * medians[BASE] else 1


if __name__ == "__main__":
    sys.exit(main())
