"""Imitation of the sign-in service (Microsoft Entra ID): people and applications sign in, tokens come out."""
