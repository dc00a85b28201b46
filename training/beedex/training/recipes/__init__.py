"""Recipes: what an embedder is trained on, in which stages, and what is chosen on the way."""
