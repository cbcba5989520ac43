"""What comes after a run: steering between principles without training anew."""
