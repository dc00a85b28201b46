"""What calls are before anything travels: methods, requests, and how replies are read."""
