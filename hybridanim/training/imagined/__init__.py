"""Training of imagined motion: tracks of clips -> the network that goes on from a first pose."""
