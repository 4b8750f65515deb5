"""Policies, their contract and their registry."""
