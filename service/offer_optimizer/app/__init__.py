"""The composition root: parts are put together here, and clock and entropy are read here."""
