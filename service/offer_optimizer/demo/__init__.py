"""A shop whose truth is known, driven through the real service: what `make demo` shows."""
