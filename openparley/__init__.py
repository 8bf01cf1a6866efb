"""What packages of others may build on: the contract suite for engines, in `openparley.testing`."""
