"""Readers and writers of log formats."""
