"""How well turn taking works: recordings with known truth, several systems, one virtual clock."""
