"""A contest's rows: read from whatever holds them, with their labels and their images."""
