"""The pydantic models of requests and responses: they validate, and OpenAPI is generated from them.

Names, docstrings and descriptions are published, so they address users of the API. A field may be added to a response,
and an optional one to a request; clients break if one is renamed, removed or given another meaning.
"""
