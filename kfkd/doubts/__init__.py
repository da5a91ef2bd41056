"""How far a net believes itself to be off, and what that is worth."""
