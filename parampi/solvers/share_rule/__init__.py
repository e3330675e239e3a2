"""The stop rule that measures which share of the worst case comes true."""
