"""The embedding lane: the bounded way of photos through decoding and inference."""
