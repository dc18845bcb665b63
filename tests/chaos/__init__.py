"""Load on a real gateway while its sources break and heal at random."""
