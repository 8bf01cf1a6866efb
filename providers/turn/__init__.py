"""Engines that say whether a speaker has finished."""
