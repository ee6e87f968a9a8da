"""Jobs in the database: transitions, claims, dispatch order, events, sweeps, queries and forecasts."""
