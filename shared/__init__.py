"""What the API and the workers agree on: states, params, tables, messages, storage.

Imports neither `api` nor `worker`. The pure rooms (`states`, `params`, `errors`, `clock`, `ids`) import
nothing but the standard library and pydantic; `tests/architecture` keeps it so.
"""
