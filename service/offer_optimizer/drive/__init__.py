"""Pushes a randomised test from a table through a running service, and says what the service earned on it.

The replay method, live: every row is decided `deferred`; where the chosen offer is the one that the row was
assigned in the test, its reward is sent, otherwise the decision is never activated and so never learned.
Source: L. Li, W. Chu, J. Langford, X. Wang, "Unbiased Offline Evaluation of Contextual-bandit-based News
Article Recommendation Algorithms", WSDM 2011, algorithm 3.
"""
