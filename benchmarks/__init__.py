"""Figures that others can repeat: retryd beside a floor, in one run on one server."""
