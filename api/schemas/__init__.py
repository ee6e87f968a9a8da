"""The models of requests and answers, which validate and are described in OpenAPI."""
