"""Photos on the caller's side: what one may be, and what of it travels."""
