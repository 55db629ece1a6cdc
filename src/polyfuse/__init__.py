"""polyfuse learns from tables whose cells are text, images, sound, video and numbers."""
