"""Pairwise judging: pairs, verdicts, what they add up to, and how far judges and people agree (paper, Figure 4)."""
