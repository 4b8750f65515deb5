"""Offer Optimizer: picks what to show each visitor, and learns from what the visitor does."""

__version__ = "0.1.0"
