"""The client alone, with the oldest and the newest of what it needs, against the server of this checkout.

`make compat` makes the environments and names their Pythons in BEEDEX_CLIENT_PYTHONS; elsewhere there is none to
try.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

PYTHONS = os.environ.get("BEEDEX_CLIENT_PYTHONS", "").split()
SCRIPT = Path(__file__).with_name("roundtrip.py")


@pytest.mark.skipif(not PYTHONS, reason="`make compat` runs it")
def test_both_clients_work_with_the_oldest_and_the_newest_of_what_they_need(address, tiny_gallery):
    photo = min(tiny_gallery.rglob("*.jpg"))
    versions = []
    for python in PYTHONS:
        command = [python, "-P", "-W", "error", str(SCRIPT), address, str(photo)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        document = json.loads(done.stdout)
        versions.append(document["versions"])
        print(python, document["versions"])

        assert document["heavy"] == []
        for answer in document["answers"]:
            assert answer == {
                "family": photo.parent.name,
                "has_request_id": True,
                "nearest": photo.relative_to(tiny_gallery).as_posix(),
                "families": 3,
                "stream": [photo.parent.name] * 2,
                "photo_bytes": photo.stat().st_size,
                "reason": "NOT_A_PHOTO",
            }

    # Otherwise they are not what they are called.
    assert versions[0] != versions[-1]
