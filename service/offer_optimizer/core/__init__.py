"""Types and pure rules. Nothing here does I/O, reads a clock, draws entropy, logs or knows protobuf."""
