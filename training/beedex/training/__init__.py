"""The trainer: online triplet loss on an InceptionV3 embedder, honest evaluation, and the embedder bundle."""
