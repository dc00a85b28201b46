"""The gRPC server: an index directory in, answers to embed and nearest-family queries out."""
