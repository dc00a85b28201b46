"""What every call goes through: handlers and what surrounds them, works, traffic, queries, statuses, streams."""
