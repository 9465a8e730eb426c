"""``meshchaos init``: what a user's manifests are about, and the first files of a project for them."""
