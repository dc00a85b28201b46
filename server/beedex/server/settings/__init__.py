"""Where a server's configuration comes from: a file, environment variables and flags, of which later ones win.

Not pydantic-settings: it ignores a variable whose first word it doesn't know, doesn't tell which source a wrong value
is from, and takes some 60 ms to import.
"""
