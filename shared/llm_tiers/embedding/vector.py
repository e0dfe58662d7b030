"""The type of the vectors that an embedding returns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Vector"]

Vector = NDArray[np.float32]
"""An embedding: one dimension, unit length."""
