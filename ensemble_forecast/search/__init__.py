"""The search: one study a family, one-thread workers, a ledger that survives kill -9. The only owner of optuna."""
