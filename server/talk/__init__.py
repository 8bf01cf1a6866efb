"""The client behind `parley talk`: a recording in, a conversation, latencies and the spoken reply out."""
