"""Run by `make wheel-check` in an environment that has only the wheel and what it depends on.

Python gets -P there: this file's own folder holds folders named like the parts.
"""

import importlib.util
import sys
from importlib.metadata import files

import beedex.client

HEAVY = ("tensorflow", "keras", "faiss", "openvino", "PIL")
LEAKS = ("client", "index", "protos", "server", "training")


def main() -> int:
    """Print what was looked at; fail on the first thing that is wrong."""
    # The package loads its modules with the first name that is asked of it.
    _ = beedex.client.Client
    loaded = [name for name in HEAVY if name in sys.modules]
    installed = [name for name in HEAVY if importlib.util.find_spec(name)]
    leaked = [name for name in LEAKS if importlib.util.find_spec(name)]
    tops = {str(file).split("/")[0] for file in files("beedex") or ()}
    strangers = sorted(top for top in tops if top != "beedex" and not top.endswith(".dist-info") and top != "..")
    print(f"beedex.client imports as {beedex.client.__version__}; the wheel holds {sorted(tops)}")
    faults = {"loaded": loaded, "installed": installed, "at the top level": leaked, "beside beedex": strangers}
    for fault, names in faults.items():
        print(f"{fault}: {names or 'none'}")
    return 1 if any(faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
