"""Jobs in the database: transitions, claims, the order of dispatch, events, failures, queries."""
