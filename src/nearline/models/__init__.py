"""Numerical models that sources and rankers share: graphs, sessions, training. The extra `deep` brings what they need."""
