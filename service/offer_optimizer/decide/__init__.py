"""The decision path, in pure steps."""
