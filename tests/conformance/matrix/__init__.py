"""The matrix: which scenario shows which event and which member of the published protocol."""
