"""Multi-domain recommendation: Domain Negotiation and Domain Regularization over any PyTorch model."""

__version__ = "0.1.0"
