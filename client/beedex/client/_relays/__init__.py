"""Many photos on their way through streams, in threads or in tasks."""
