"""Small pictures on terminals that can show them."""
