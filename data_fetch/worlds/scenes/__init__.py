"""The scenes world: people and things in places, with captions, questions, masks and the biases a lesson asks for."""
