"""Who may do what and how much: keys, quotas, browser sessions, requests that were sent before."""
