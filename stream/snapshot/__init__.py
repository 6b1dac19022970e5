"""Sessions as bytes: written on one machine, read and continued on another."""
