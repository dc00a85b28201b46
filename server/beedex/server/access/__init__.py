"""Who may come in: certificates, tokens, roles, and where a server may listen without them."""
