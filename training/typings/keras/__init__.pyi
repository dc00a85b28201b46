# pyright infers types from keras's untyped or partly typed source and gets them wrong (a Keras variable becomes
# "OpenVINOKerasTensor"); mypy takes all of it as Any, and with this so does pyright.
from typing import Any

def __getattr__(name: str) -> Any: ...
