"""What calls return, and how it is shown."""
