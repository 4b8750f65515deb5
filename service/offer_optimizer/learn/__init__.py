"""Folds the ledger into examples and models."""
