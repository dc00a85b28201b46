"""Fitting a network to batches of triplets: batches, steps, validation, guard, checkpoints."""
