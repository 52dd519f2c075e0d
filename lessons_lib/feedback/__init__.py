"""Feedback losses: each says where a model should look, or what it must not know from the rest. One file a paper."""
