"""What requests share while jobs run: the hub that notifies subscribers, forecasts, snapshots and a cache."""
