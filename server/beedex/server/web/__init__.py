"""The web page and the JSON API: HTTP on the server's own event loop, answered by what answers gRPC."""
