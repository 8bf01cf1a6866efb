"""Inworld's guide to its Realtime API, played against a running server in the wording of both editions."""
