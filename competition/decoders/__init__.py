"""Bytes of a file as the planes of an 8-bit image, one module for each way of storing them."""
