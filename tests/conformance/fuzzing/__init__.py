"""Random events against a real server: a grammar, mutations of what it makes, and a driver with an oracle."""
