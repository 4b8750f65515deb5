"""What is kept on disk: segments, ledger, snapshots, catalog."""
