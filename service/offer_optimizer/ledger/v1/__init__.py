"""Generated code; see proto/."""
