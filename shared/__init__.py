"""What the API and the workers share: states, errors, settings, painting, imaging, database, messaging and storage.

Invariant: nothing here imports `api` or `worker`; `lint-imports` checks it.
"""
