"""The kit's own networks, registered in timm. To add one, copy a file here, register it, and import it below.

Every layer is defined in these files and starts from random weights, so they are allowed where a contest forbids
pre-trained and pre-defined networks.
"""

from models import compact_cnn, plain_cnn, residual, wide_residual

__all__ = ["compact_cnn", "plain_cnn", "residual", "wide_residual"]
