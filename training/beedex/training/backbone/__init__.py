"""The frozen backbone: its weights, its taps, and the features of photos, computed once."""
