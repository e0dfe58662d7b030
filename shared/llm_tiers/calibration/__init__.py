"""Calibration: which policy, at which setting of its knob, reaches an accuracy or keeps to a budget."""

from llm_tiers.calibration.aims import aim_of
from llm_tiers.calibration.calibrate import Calibration, calibrate, candidates_of
from llm_tiers.calibration.sources import Sample, sample_of
from llm_tiers.calibration.sweep import Sweep

__all__ = ["Calibration", "Sample", "Sweep", "aim_of", "calibrate", "candidates_of", "sample_of"]
