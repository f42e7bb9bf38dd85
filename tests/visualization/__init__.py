"""Tests of the visualization room."""
