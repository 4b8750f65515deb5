"""The gRPC edge: bytes in, core values to the ports of `decide`, bytes out."""
