"""What `python -m competition check` looks at: labels, every image, and a picture of some."""
