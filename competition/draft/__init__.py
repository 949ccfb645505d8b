"""A first spec for a new contest, guessed from its files; every guess says what it was seen from."""
