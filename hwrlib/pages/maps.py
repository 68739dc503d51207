"""What the network that finds lines computes: four maps of a page. Numbers that need no torch."""

STRIDE = 4  # px of the page per px of the maps
DEPTH = 16  # the page's sides are padded to multiples of this
BASELINE, ENDS, ABOVE, BELOW = range(4)  # where baselines are, their ends, and how far lines reach above and below
