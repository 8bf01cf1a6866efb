"""Routers: which model answers a request, and which one when that fails."""
