"""Find the people of a clip: detectors, quarter turns, the tracker, and the boxes that are kept."""
