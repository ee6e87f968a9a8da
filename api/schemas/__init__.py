"""The pydantic models of requests and responses: they validate, and OpenAPI is generated from them."""
