"""The kit's own networks, registered in timm. To add one, copy a file here, register it, and import it below.

Every layer is defined in these files and starts from random weights, so they are allowed where a contest forbids
pre-trained and pre-defined networks.
"""

from models import plain_cnn, residual

__all__ = ["plain_cnn", "residual"]
