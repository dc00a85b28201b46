"""The way of calls to the server and back: channels, deadlines, retries, credentials, failures."""
