"""Judging embedders on photos that they weren't trained on."""
