"""The services of beedex.v1: they translate between messages and the engine, and decide nothing."""
