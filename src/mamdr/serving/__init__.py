"""Serving: scores of published versions, and the service that gives them over HTTP."""
