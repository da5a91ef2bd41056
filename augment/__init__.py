"""Image and keypoint transforms, and named mixes of them."""
