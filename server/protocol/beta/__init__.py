"""The beta dialect, for clients that send `OpenAI-Beta: realtime=v1`: another shape of the GA dialect."""
